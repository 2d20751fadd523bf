//! Dropping the group drops the children; what outlives it does nothing.

mod kit;

use std::future::{self, Future};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::thread;

use errgroup::Group;
use kit::{Act, Cast, Child, SIZES, Task};

#[test]
fn drop_before_the_first_poll() {
    for n in SIZES {
        let cast = Cast::new(n);
        let group: Group<Child> = cast.children().collect();
        assert_eq!(cast.dropped(), []);
        drop(group);
        assert_eq!(cast.dropped(), Vec::from_iter(0..n));
        assert_eq!(cast.polled(), []);
    }
}

#[test]
fn drop_with_running_and_queued_children() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group = Group::unboxed().with_limit(33);
        group.extend(cast.children());
        assert!(task.poll(&mut group).is_pending());
        drop(group);
        assert_eq!(cast.dropped(), Vec::from_iter(0..n));
        assert_eq!(cast.polled(), Vec::from_iter(0..n.min(33)));
    }
}

#[test]
fn drop_releases_the_waker_of_the_task() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll(&mut group).is_pending());
        assert!(task.wakers() > 0);
        drop(group);
        assert_eq!(task.wakers(), 0, "{n} wakers of children are still alive");
    }
}

#[test]
fn wake_after_drop_touches_nothing() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        drop(group);

        for id in 0..n {
            let waker = cast.waker(id);
            waker.wake_by_ref();
            let clone = waker.clone();
            drop(waker);
            assert!(clone.will_wake(&clone.clone()));
            clone.wake_by_ref();
            clone.wake();
        }
        cast.forget_wakers();
        assert_eq!(task.wakes(), 0);
        assert_eq!(cast.polled().len(), n);
        cast.assert_all_dropped_once();
    }
}

#[test]
fn drop_between_wake_and_poll() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    cast.wake(1);
    assert_eq!(task.wakes(), 1);
    drop(group);
    cast.wake(1);
    cast.wake(2);
    assert_eq!(task.wakes(), 0);
    cast.forget_wakers();
    assert_eq!(cast.polls(1), 1);
    cast.assert_all_dropped_once();
}

#[test]
fn last_waker_dies_in_another_thread() {
    let (cast, task) = (Cast::new(65), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    drop(group);
    let other = cast.clone();
    thread::spawn(move || {
        (0..65).for_each(|id| other.wake(id));
        other.forget_wakers();
    })
    .join()
    .unwrap();
    assert_eq!((task.wakes(), task.wakers()), (0, 0));
    cast.assert_all_dropped_once();
}

#[test]
fn clear_then_wake_then_add() {
    let (cast, task) = (Cast::new(5), Task::default());
    let mut group: Group<Child> = (0..4).map(|id| cast.child(id)).collect();
    assert!(task.poll(&mut group).is_pending());
    group.clear();
    assert_eq!(cast.dropped(), [0, 1, 2, 3]);
    assert!(group.is_empty());
    (0..4).for_each(|id| cast.wake(id));

    cast.tell(4, Act::Succeed);
    group.push(cast.child(4));
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    cast.assert_all_dropped_once();
}

#[test]
fn next_dropped_while_pending_loses_nothing() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    {
        let mut next = group.next();
        assert!(task.poll(&mut next).is_pending());
        cast.tell(1, Act::Fail);
        cast.wake(1);
    }
    assert_eq!(group.len(), 2);
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Err(1))));
}

/// Kept in a static, it is never dropped, as if forgotten, and is no leak to those who look for leaks.
#[test]
fn forgotten_group_leaves_its_wakers_usable() {
    static FORGOTTEN: OnceLock<Group<Child>> = OnceLock::new();
    let (cast, task) = (Cast::new(65), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    task.wakes();
    FORGOTTEN.set(group).expect("the only one");

    (0..65).for_each(|id| cast.wake(id));
    assert_eq!(task.wakes(), 1);
    cast.forget_wakers();
    assert_eq!(cast.polls(64), 1);
    assert_eq!(cast.dropped(), []);
}

/// A child that owns wakers of its siblings: they go when it goes, in the midst of the group's drop.
#[test]
fn child_that_wakes_its_siblings_as_it_drops() {
    struct Last(Cast);

    impl Future for Last {
        type Output = Result<(), usize>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Pending
        }
    }

    impl Drop for Last {
        fn drop(&mut self) {
            (0..4).for_each(|id| self.0.wake(id));
            self.0.forget_wakers();
        }
    }

    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::new_local();
    group.go(cast.child(0));
    group.go(cast.child(1));
    group.go(Last(cast.clone()));
    group.go(cast.child(2));
    group.go(cast.child(3));
    group.go(future::pending());
    assert!(task.poll(&mut group).is_pending());
    drop(group);
    assert!(task.wakes() <= 1);
    assert_eq!(task.wakers(), 0);
    assert_eq!(cast.dropped(), [0, 1, 2, 3]);
}
