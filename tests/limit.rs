//! Under a limit children start first in first out, and never more than it allows.

mod kit;

use std::cell::Cell;
use std::future::{Ready, ready};
use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, Child, LARGE, Task, panic_of};

#[test]
fn children_start_in_order() {
    for limit in 1..=7 {
        let (cast, task) = (Cast::new(7), Task::default());
        let mut group = Group::unboxed().with_limit(limit);
        group.extend(cast.children());
        assert_eq!(cast.polled(), []);
        for id in 0..7 {
            assert!(task.poll_while_woken(&mut group).is_pending());
            let running = (7 - id).min(limit);
            assert_eq!(group.len(), 7 - id);
            assert_eq!(group.running(), running);
            assert_eq!(group.queued(), 7 - id - running);
            assert_eq!(group.finished(), id);
            cast.tell(id, Act::Succeed);
            cast.wake(id);
        }
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!((group.len(), group.finished()), (0, 7));

        let mut started = cast.polled();
        let mut seen = [false; 7];
        started.retain(|id| !std::mem::replace(&mut seen[*id], true));
        assert_eq!(started, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(cast.dropped(), started);
    }
}

#[test]
fn children_that_end_out_of_order_make_room_alike() {
    let (cast, task) = (Cast::new(6), Task::default());
    let mut group = Group::unboxed().with_limit(3);
    group.extend(cast.children());
    assert!(task.poll_while_woken(&mut group).is_pending());
    for (ends, starts) in [(2, 3), (0, 4), (4, 5)] {
        cast.polled();
        cast.tell(ends, Act::Succeed);
        cast.wake(ends);
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), [ends, starts]);
        assert_eq!(group.running(), 3);
    }
    assert_eq!(group.queued(), 0);
}

#[test]
fn never_more_than_the_limit_in_flight() {
    const LIMITS: &[usize] =
        if cfg!(miri) { &[1, 3, 33] } else { &[1, 2, 3, 31, 32, 33, 64, 65, 200] };
    for &limit in LIMITS {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let mut group = Group::unboxed().with_limit(limit);
        for id in 0..200 {
            let (now, most) = (&now, &most);
            group.push(async move {
                now.set(now.get() + 1);
                most.set(now.get().max(most.get()));
                for _ in 0..id % 5 {
                    smol::future::yield_now().await;
                }
                now.set(now.get() - 1);
                Ok::<(), ()>(())
            });
        }
        let task = Task::default();
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert!(most.get() <= limit, "{} of {limit}", most.get());
        assert!(limit > 3 || most.get() == limit);
        assert_eq!(group.finished(), 200);
    }
}

#[test]
fn next_starts_the_queued() {
    let (cast, task) = (Cast::new(5), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed().with_limit(2);
    group.extend(cast.children());
    for done in 1..=5 {
        assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Ok(()))));
        assert_eq!((group.finished(), group.len()), (done, 5 - done));
        assert_eq!(group.running() + group.queued(), group.len());
        assert!(group.running() <= 2);
    }
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    assert_eq!(cast.polled(), [0, 1, 2, 3, 4]);
}

#[test]
fn try_push_at_the_limit_gives_the_future_back() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::unboxed().with_limit(2);
    assert!(group.try_push(cast.child(0)).is_ok());
    assert!(group.try_push(cast.child(1)).is_ok());
    let full = group.try_push(cast.child(2)).unwrap_err();
    assert_eq!((group.len(), group.queued()), (2, 0));
    assert!(task.poll(&mut group).is_pending());
    let child: Child = full.into_inner();
    assert_eq!((child.id, cast.polls(2), cast.drops(2)), (2, 0, 0));

    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert!(task.poll(&mut group).is_pending());
    assert!(group.try_push(child).is_ok());
    assert!(group.try_push(cast.child(3)).is_err());
    assert_eq!(cast.dropped(), [0, 3]);
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polls(2), 1);
}

#[test]
fn try_go_at_the_limit_gives_the_future_back() {
    let cast = Cast::new(4);
    let mut group = Group::new().with_limit(1);
    assert!(group.try_go(cast.child(0)).is_ok());
    let child: Child = group.try_go(cast.child(1)).unwrap_err().into_inner();
    assert_eq!(child.id, 1);
    let mut local = Group::new_local().with_limit(1);
    assert!(local.try_go(child).is_ok());
    let child: Child = local.try_go(cast.child(2)).unwrap_err().into_inner();
    assert_eq!(child.id, 2);
    assert_eq!(cast.dropped(), []);
}

#[test]
fn try_go_gives_back_the_same_allocation() {
    let mut group = Group::new().with_limit(1);
    group.go(ready(()));
    let future = Box::pin(ready(()));
    let address = &*future as *const Ready<()>;
    let back = group.try_go(future).unwrap_err().into_inner();
    assert!(std::ptr::eq(&*back, address));
}

#[test]
fn try_push_without_a_limit_always_finds_room() {
    let mut group = Group::unboxed();
    assert!((0..LARGE).all(|_| group.try_push(ready(())).is_ok()));
    assert_eq!((group.running(), group.queued()), (LARGE, 0));
}

#[test]
fn try_push_while_others_are_queued_is_refused() {
    let cast = Cast::new(3);
    let mut group = Group::unboxed().with_limit(1);
    group.push(cast.child(0));
    group.push(cast.child(1));
    assert!(group.try_push(cast.child(2)).is_err());
    assert_eq!((group.running(), group.queued()), (1, 1));
}

#[test]
fn limit_of_zero_panics() {
    let text = panic_of(|| Group::<Child>::unboxed().with_limit(0));
    assert!(text.contains("limit"), "{text}");
}

#[test]
fn limit_on_a_collected_group_keeps_so_many_running() {
    const LIMITS: &[usize] = if cfg!(miri) { &[1, 33] } else { &[1, 5, 33, 64, 100] };
    for &n in LIMITS {
        let (cast, task) = (Cast::new(100), Task::default());
        let mut group = cast.children().collect::<Group<_>>().with_limit(n);
        assert_eq!((group.running(), group.queued()), (n, 100 - n));
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), Vec::from_iter(0..n));
        cast.tell_all(Act::Succeed);
        (0..n).for_each(|id| cast.wake(id));
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        let mut started = cast.polled();
        started.retain(|id| *id >= n);
        assert_eq!(started, Vec::from_iter(n..100));
        cast.assert_all_dropped_once();
    }
}

#[test]
fn raised_limit_starts_the_queued_in_order() {
    let (cast, task) = (Cast::new(6), Task::default());
    let mut group = Group::unboxed().with_limit(1);
    group.extend(cast.children());
    let mut group = group.with_limit(4);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1, 2, 3]);
    assert_eq!((group.running(), group.queued()), (4, 2));
}

#[test]
fn failure_leaves_the_queued_unpolled() {
    for failed in 0..3 {
        let (cast, task) = (Cast::new(50), Task::default());
        cast.tell_all(Act::Succeed);
        (0..3).for_each(|id| cast.tell(id, Act::Wait));
        let mut group = Group::unboxed().with_limit(3);
        group.extend(cast.children());
        assert!(task.poll(&mut group).is_pending());
        cast.tell(failed, Act::Fail);
        cast.wake(failed);
        assert_eq!(task.poll(&mut group), Poll::Ready(Err(failed)));
        assert!((3..50).all(|id| cast.polls(id) == 0));
        cast.assert_all_dropped_once();
    }
}

#[test]
fn limit_after_a_poll_queues_whom_it_did_not_reach() {
    for n in [2, 8, 9, 33, 100] {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Succeed);
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll(&mut group.next()).is_ready());
        let mut group = group.with_limit(1);
        assert_eq!((group.running(), group.queued()), (1, n - 2));
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!(cast.polled(), Vec::from_iter(0..n));
    }
}

#[test]
fn limit_after_a_poll_holds_back_whom_it_did_not_reach() {
    for n in [2, 8, 9, 33, 100] {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell(0, Act::Succeed);
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll(&mut group.next()).is_ready());
        let mut group = group.with_limit(1);
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), [0, 1]);
    }
}

#[test]
fn limit_after_a_poll_leaves_those_running_that_wait_or_were_woken() {
    for n in [2, 8, 9, 33, 100] {
        let (cast, task) = (Cast::new(n + 1), Task::default());
        let mut group: Group<Child> = (0..n).map(|id| cast.child(id)).collect();
        assert!(task.poll(&mut group).is_pending());
        cast.tell(0, Act::Succeed);
        (0..n).step_by(2).for_each(|id| cast.wake(id));
        assert!(task.poll(&mut group.next()).is_ready());
        group.push(cast.child(n));
        cast.polled();

        let mut group = group.with_limit(1);
        assert_eq!((group.running(), group.queued()), (n - 1, 1));
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), Vec::from_iter((2..n).step_by(2)));
    }
}

#[test]
fn limit_of_a_used_group_keeps_the_order_of_adding() {
    let (cast, task) = (Cast::new(9), Task::default());
    let mut group = Group::unboxed().with_limit(2);
    let keys: Vec<_> = (0..4).map(|id| group.push(cast.child(id))).collect();
    // The slots of 0 to 2 are free again, and those to come are stored before 3.
    keys[..3].iter().for_each(|key| assert!(group.remove(*key)));
    group.extend((4..9).map(|id| cast.child(id)));
    let mut group = group.with_limit(1);
    cast.tell_all(Act::Succeed);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.polled(), Vec::from_iter(3..9));
}

#[test]
fn removing_from_the_middle_of_the_queue_keeps_the_order() {
    let (cast, task) = (Cast::new(10), Task::default());
    cast.tell_all(Act::Succeed);
    cast.tell(0, Act::Wait);
    let mut group = Group::unboxed().with_limit(1);
    let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    for id in [5, 1, 9, 4] {
        assert!(group.remove(keys[id]));
    }
    assert_eq!((group.len(), group.queued()), (6, 5));
    cast.polled();
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.polled(), [0, 2, 3, 6, 7, 8]);
}

#[test]
fn adding_and_removing_queued_children_many_times() {
    const ROUNDS: usize = if cfg!(miri) { 100 } else { 10_000 };
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::unboxed().with_limit(1);
    group.push(cast.child(0));
    assert!(task.poll(&mut group).is_pending());
    for round in 1..=ROUNDS {
        let key = group.push(cast.child(1));
        assert_eq!((group.running(), group.queued()), (1, 1));
        assert!(group.remove(key));
        assert_eq!(cast.drops(1), round);
    }
    assert_eq!(group.len(), 1);
    group.push(cast.child(2));
    group.push(cast.child(3));
    cast.tell_all(Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.polled(), [0, 0, 2, 3]);
}
