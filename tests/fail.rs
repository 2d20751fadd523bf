//! The first child that fails ends the group, and every sibling is dropped before the group says so.

mod kit;

use std::rc::Rc;
use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, Child, SIZES, Task};

/// Everyone but the one that failed, in the order they were added.
fn siblings(n: usize, failed: usize) -> Vec<usize> {
    (0..n).filter(|id| *id != failed).collect()
}

fn dropped_siblings(cast: &Cast, failed: usize) -> Vec<usize> {
    let mut dropped = cast.dropped();
    dropped.retain(|id| *id != failed);
    dropped
}

/// `try_join_all` hides the error behind a slow sibling from 31 futures on (futures-rs issue 2866).
#[test]
fn last_fails_at_its_first_poll() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell(n - 1, Act::Fail);
        let mut group: Group<Child> = cast.children().collect();

        assert_eq!(task.poll(&mut group), Poll::Ready(Err(n - 1)));
        cast.assert_all_dropped_once();
        assert_eq!(dropped_siblings(&cast, n - 1), siblings(n, n - 1));
        assert_eq!(cast.polled(), Vec::from_iter(0..n));
        assert!(group.is_empty());
        assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    }
}

#[test]
fn last_fails_when_woken() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled().len(), n);
        cast.tell(n - 1, Act::Fail);
        cast.wake(n - 1);

        assert_eq!(task.poll(&mut group), Poll::Ready(Err(n - 1)));
        assert_eq!(cast.polled(), [n - 1]);
        cast.assert_all_dropped_once();
        assert_eq!(dropped_siblings(&cast, n - 1), siblings(n, n - 1));
    }
}

#[test]
fn any_fails_while_the_others_wait() {
    for failed in (0..70).step_by(if cfg!(miri) { 23 } else { 1 }) {
        let (cast, task) = (Cast::new(70), Task::default());
        cast.tell(failed, Act::Fail);
        let mut group: Group<Child> = cast.children().collect();

        assert_eq!(task.poll(&mut group), Poll::Ready(Err(failed)));
        cast.assert_all_dropped_once();
        assert_eq!(dropped_siblings(&cast, failed), siblings(70, failed));
        assert!((0..70).all(|id| cast.polls(id) <= 1));
    }
}

#[test]
fn siblings_that_succeed_in_the_same_poll_change_nothing() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Succeed);
        cast.tell(n - 1, Act::Fail);
        let mut group: Group<Child> = cast.children().collect();

        assert_eq!(task.poll(&mut group), Poll::Ready(Err(n - 1)));
        cast.assert_all_dropped_once();
        assert_eq!(cast.polled().len(), n);
    }
}

#[test]
fn running_and_queued_are_dropped_in_order() {
    let (cast, task) = (Cast::new(9), Task::default());
    let mut group = Group::unboxed().with_limit(4);
    group.extend(cast.children());
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1, 2, 3]);
    cast.tell(2, Act::Fail);
    cast.wake(2);

    assert_eq!(task.poll(&mut group), Poll::Ready(Err(2)));
    assert_eq!(cast.polled(), [2]);
    cast.assert_all_dropped_once();
    assert_eq!(dropped_siblings(&cast, 2), siblings(9, 2));
    assert_eq!((group.len(), group.running(), group.queued()), (0, 0, 0));
}

#[test]
fn first_polled_of_two_failures_wins() {
    let (cast, task) = (Cast::new(5), Task::default());
    cast.tell(1, Act::Fail);
    cast.tell(3, Act::Fail);
    let mut group: Group<Child> = cast.children().collect();

    let first = task.poll(&mut group);
    let winner = *cast.polled().last().unwrap();
    assert_eq!(first, Poll::Ready(Err(winner)));
    assert_eq!(cast.polls(4 - winner), 0);
    cast.assert_all_dropped_once();
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn woken_together_only_one_failure_is_told() {
    let (cast, task) = (Cast::new(65), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    cast.polled();
    cast.tell_all(Act::Fail);
    for id in (0..65).rev() {
        cast.wake(id);
    }

    let first = task.poll(&mut group);
    let [winner] = cast.polled()[..] else {
        panic!("a child was polled after another had failed");
    };
    assert_eq!(first, Poll::Ready(Err(winner)));
    cast.assert_all_dropped_once();
}

#[test]
fn failure_after_other_completions_drops_the_rest() {
    let (cast, task) = (Cast::new(6), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    for id in [4, 0] {
        cast.tell(id, Act::Succeed);
        cast.wake(id);
        assert!(task.poll(&mut group).is_pending());
    }
    assert_eq!(cast.dropped(), [4, 0]);
    assert_eq!(group.finished(), 2);
    cast.tell(3, Act::Fail);
    cast.wake(3);

    assert_eq!(task.poll(&mut group), Poll::Ready(Err(3)));
    assert_eq!(dropped_siblings(&cast, 3), [1, 2, 5]);
    cast.assert_all_dropped_once();
}

#[test]
fn group_is_usable_after_a_failure() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell(0, Act::Fail);
    let mut group: Group<Child> = [cast.child(0), cast.child(1)].into_iter().collect();
    assert_eq!(task.poll(&mut group), Poll::Ready(Err(0)));

    group.push(cast.child(2));
    task.wakes();
    assert!(task.poll(&mut group).is_pending());
    cast.tell(2, Act::Succeed);
    cast.wake(2);
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    cast.assert_all_dropped_once();
}

#[test]
fn next_hands_out_failures_without_ending_the_group() {
    let (cast, task) = (Cast::new(2), Task::default());
    cast.tell(1, Act::Fail);
    let mut group: Group<Child> = cast.children().collect();

    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Err(1))));
    assert_eq!(cast.dropped(), [1]);
    assert_eq!(group.len(), 1);
    assert!(task.poll_while_woken(&mut group.next()).is_pending());
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Ok(()))));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
}

/// The value of a failure that came second, or that nobody polled for, is dropped with its child.
#[test]
fn values_that_nobody_gets_are_dropped() {
    let task = Task::default();
    let value = Rc::new(());
    let mut group = Group::unboxed();
    for _ in 0..3 {
        let value = value.clone();
        group.push(Box::pin(async move { Err::<(), _>(value) }));
    }
    assert_eq!(Rc::strong_count(&value), 4);
    let error = task.poll(&mut group);
    assert_eq!(Rc::strong_count(&value), 2);
    drop(error);
    assert_eq!(Rc::strong_count(&value), 1);
}
