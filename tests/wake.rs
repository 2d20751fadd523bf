//! Only woken children are polled, and any number of wakes between two polls wakes the task once.

mod kit;

use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, Child, LARGE, SIZES, Task};

fn waiting(n: usize) -> (Cast, Task, Group<Child>) {
    let (cast, task) = (Cast::new(n), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), Vec::from_iter(0..n));
    (cast, task, group)
}

#[test]
fn one_wake_is_one_poll_of_one_child() {
    let (cast, task, mut group) = waiting(LARGE);
    cast.wake(LARGE / 2);
    assert_eq!(task.wakes(), 1);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [LARGE / 2]);
}

#[test]
fn every_child_alone_can_wake() {
    let (cast, task, mut group) = waiting(130);
    for id in 0..130 {
        cast.wake(id);
        assert_eq!(task.wakes(), 1);
        assert!(task.poll(&mut group).is_pending());
        assert_eq!(cast.polled(), [id]);
    }
}

#[test]
fn poll_without_a_wake_polls_no_child() {
    for n in SIZES {
        let (cast, task, mut group) = waiting(n);
        for _ in 0..3 {
            assert!(task.poll(&mut group).is_pending());
            assert!(task.poll(&mut group.next()).is_pending());
        }
        assert_eq!(cast.polled(), []);
        assert_eq!(task.wakes(), 0);
    }
}

#[test]
fn many_wakes_of_many_children_wake_the_task_once() {
    const COUNTS: &[usize] = if cfg!(miri) { &[1, 10, 41] } else { &[1, 10, 31, 32, 100, 1_000] };
    for &n in COUNTS {
        let (cast, task, mut group) = waiting(n);
        for _ in 0..3 {
            for _ in 0..4 {
                (0..n).for_each(|id| cast.wake(id));
            }
            assert_eq!(task.wakes(), 1);
            assert!(task.poll_while_woken(&mut group).is_pending());
            let mut polled = cast.polled();
            polled.sort_unstable();
            assert_eq!(polled, Vec::from_iter(0..n));
        }
    }
}

#[test]
fn wake_after_a_needless_poll_wakes_the_task() {
    for n in SIZES {
        let (cast, task, mut group) = waiting(n);
        assert!(task.poll(&mut group).is_pending());
        cast.wake(n - 1);
        cast.wake(n / 2);
        assert_eq!(task.wakes(), 1);
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polls(n - 1), 2);
    }
}

#[test]
fn wake_by_value_by_ref_and_by_clone_are_one() {
    let (cast, task, mut group) = waiting(3);
    let waker = cast.waker(1);
    let clone = waker.clone();
    assert!(waker.will_wake(&clone));
    clone.wake_by_ref();
    clone.wake();
    waker.wake();
    assert_eq!(task.wakes(), 1);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [1]);
}

#[test]
fn child_added_after_pending_is_polled_without_a_wake() {
    let (cast, task) = (Cast::new(40), Task::default());
    let mut group = Group::unboxed();
    for id in 0..40 {
        group.push(cast.child(id));
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), [id]);
    }
}

#[test]
fn changed_task_is_the_one_woken() {
    for n in SIZES {
        let (cast, first, mut group) = waiting(n);
        let second = Task::default();
        assert!(second.poll(&mut group).is_pending());
        cast.wake(n / 2);
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
        assert!(first.poll(&mut group.next()).is_pending());
        cast.wake(n / 2);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
    }
}

#[test]
fn replaced_task_waker_is_released() {
    let (cast, first, mut group) = waiting(5);
    let second = Task::default();
    assert!(second.poll(&mut group).is_pending());
    assert_eq!(first.wakers(), 0);
    assert!(second.wakers() > 0);
    cast.tell(0, Act::Fail);
    cast.wake(0);
    assert_eq!(second.poll(&mut group), Poll::Ready(Err(0)));
    drop(group);
    assert_eq!(second.wakers(), 0);
}

#[test]
fn old_task_is_not_polled_for_and_nothing_is_lost() {
    let (cast, first, mut group) = waiting(2);
    cast.tell(1, Act::Fail);
    cast.wake(1);
    assert_eq!(first.wakes(), 1);
    let second = Task::default();
    assert_eq!(second.poll(&mut group), Poll::Ready(Err(1)));
}

#[test]
fn child_woken_during_its_own_poll_is_polled_again() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell(1, Act::Yield(5));
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!([0, 1, 2].map(|id| cast.polls(id)), [1, 6, 1]);
    assert_eq!(cast.dropped(), [1]);
}

#[test]
fn child_woken_by_a_sibling_is_polled() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group = Group::new_local();
    group.go(cast.child(0));
    group.go({
        let cast = cast.clone();
        async move {
            cast.tell(0, Act::Fail);
            cast.wake(0);
            Ok(())
        }
    });
    group.go(cast.child(1));
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Err(0)));
    cast.assert_all_dropped_once();
}
