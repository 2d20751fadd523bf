//! A child that panics as it is polled: the panic goes on to the caller and leaves an empty group. After
//! that, moro aborts, and futures-buffered, FutureGroup and unicycle are stuck for ever.

mod kit;

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, Child, Task, panic_of};

const COUNTS: [usize; 3] = [1, 5, if cfg!(miri) { 17 } else { 70 }];

#[test]
fn panic_at_the_first_poll() {
    for n in COUNTS {
        for bad in 0..n {
            let (cast, task) = (Cast::new(n), Task::default());
            cast.tell(bad, Act::Panic);
            let mut group: Group<Child> = cast.children().collect();

            let text = panic_of(|| task.poll(&mut group));
            assert_eq!(text, format!("poll of child {bad}"));
            cast.assert_all_dropped_once();
            assert!(group.is_empty());
            assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
        }
    }
}

#[test]
fn panic_when_woken() {
    for n in COUNTS {
        for bad in 0..n {
            let (cast, task) = (Cast::new(n), Task::default());
            let mut group: Group<Child> = cast.children().collect();
            assert!(task.poll(&mut group).is_pending());
            cast.tell(bad, Act::Panic);
            cast.wake(bad);

            let text = panic_of(|| task.poll(&mut group));
            assert_eq!(text, format!("poll of child {bad}"));
            cast.assert_all_dropped_once();
            assert_eq!((0..n).map(|id| cast.polls(id)).sum::<usize>(), n + 1);
            assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
        }
    }
}

#[test]
fn panic_through_next() {
    for n in COUNTS {
        for bad in 0..n {
            let (cast, task) = (Cast::new(n), Task::default());
            cast.tell(bad, Act::Panic);
            let mut group: Group<Child> = cast.children().collect();

            let text = panic_of(|| task.poll(&mut group.next()));
            assert_eq!(text, format!("poll of child {bad}"));
            cast.assert_all_dropped_once();
            assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
        }
    }
}

#[test]
fn panic_drops_the_queued_unpolled() {
    let (cast, task) = (Cast::new(5), Task::default());
    cast.tell(1, Act::Panic);
    let mut group = Group::unboxed().with_limit(2);
    group.extend(cast.children());

    assert_eq!(panic_of(|| task.poll(&mut group)), "poll of child 1");
    cast.assert_all_dropped_once();
    assert_eq!(cast.polled(), [0, 1]);
    assert_eq!((group.len(), group.running(), group.queued()), (0, 0, 0));
}

#[test]
fn group_is_usable_after_a_panic() {
    for n in COUNTS {
        let (cast, task) = (Cast::new(n + 2), Task::default());
        cast.tell(n - 1, Act::Panic);
        let mut group: Group<Child> = (0..n).map(|id| cast.child(id)).collect();
        panic_of(|| task.poll(&mut group));

        group.push(cast.child(n));
        group.push(cast.child(n + 1));
        assert!(task.poll_while_woken(&mut group).is_pending());
        for id in [n + 1, n] {
            assert!(task.poll_while_woken(&mut group).is_pending());
            cast.tell(id, Act::Succeed);
            cast.wake(id);
            assert_eq!(task.wakes(), 1);
        }
        assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
        cast.assert_all_dropped_once();
    }
}

#[test]
fn limit_holds_after_a_panic() {
    let (cast, task) = (Cast::new(6), Task::default());
    cast.tell(0, Act::Panic);
    let mut group = Group::unboxed().with_limit(2);
    group.extend((0..3).map(|id| cast.child(id)));
    panic_of(|| task.poll(&mut group));
    cast.polled();

    group.extend((3..6).map(|id| cast.child(id)));
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [3, 4]);
    assert_eq!((group.running(), group.queued()), (2, 1));
}

#[test]
fn wake_after_a_panic_does_nothing() {
    let (cast, task) = (Cast::new(5), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    cast.tell(2, Act::Panic);
    cast.wake(2);
    panic_of(|| task.poll(&mut group));
    (0..5).for_each(|id| cast.wake(id));
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    drop(group);
    (0..5).for_each(|id| cast.wake(id));
    assert_eq!(cast.polled().len(), 6);
    cast.assert_all_dropped_once();
}

#[test]
fn payload_is_the_very_one() {
    #[derive(Debug, PartialEq)]
    struct Payload(u8);

    let task = Task::default();
    let mut group = Group::new_local();
    group.go(async { panic_any(Payload(7)) });
    group.go(async { Ok::<(), ()>(()) });
    let payload = catch_unwind(AssertUnwindSafe(|| task.poll(&mut group))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&Payload(7)));
}
