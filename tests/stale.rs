//! A waker that outlives its child: at most one poll too many for whoever has the slot now.

mod kit;

use std::task::{Poll, Waker};

use errgroup::Group;
use kit::{Act, Cast, Child, SIZES, Task};

#[test]
fn wake_after_completion_does_nothing() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Succeed);
        cast.tell(0, Act::Wait);
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(group.finished(), n - 1);

        (1..n).for_each(|id| cast.wake(id));
        assert!(task.wakes() <= 1);
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled().len(), n);
        assert_eq!((group.len(), cast.polls(0)), (1, 1));
    }
}

#[test]
fn wake_of_an_old_child_costs_the_new_one_a_poll_at_most() {
    for n in SIZES {
        let (cast, task) = (Cast::new(2 * n), Task::default());
        let mut group: Group<Child> = (0..n).map(|id| cast.child(id)).collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        (0..n).for_each(|id| cast.tell(id, Act::Succeed));
        (0..n).for_each(|id| cast.wake(id));
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));

        group.extend((n..2 * n).map(|id| cast.child(id)));
        assert!(task.poll_while_woken(&mut group).is_pending());
        (0..n).for_each(|id| cast.wake(id));
        assert!(task.wakes() <= 1);
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert!((n..2 * n).all(|id| (1..=2).contains(&cast.polls(id))));
        assert!((0..n).all(|id| cast.polls(id) == 2));

        // The new children have wakers of their own, none the worse for it.
        (n..2 * n).for_each(|id| cast.tell(id, Act::Succeed));
        (n..2 * n).for_each(|id| cast.wake(id));
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!(group.finished(), 2 * n);
    }
}

#[test]
fn wake_between_add_and_first_poll_is_one_poll() {
    let (cast, task) = (Cast::new(2), Task::default());
    cast.tell(0, Act::Succeed);
    let mut group = Group::unboxed();
    group.push(cast.child(0));
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    let stale = cast.waker(0);
    group.push(cast.child(1));
    stale.wake_by_ref();
    stale.wake_by_ref();
    assert!(task.poll_while_woken(&mut group).is_pending());
    stale.wake();
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert!(cast.polls(1) <= 2);
}

#[test]
fn wake_of_a_dead_child_never_starts_a_queued_one() {
    let (cast, task) = (Cast::new(9), Task::default());
    let mut group = Group::unboxed().with_limit(3);
    let keys = [0, 1, 2].map(|id| group.push(cast.child(id)));
    assert!(task.poll(&mut group).is_pending());
    let stale = [1, 2].map(|id| cast.waker(id));
    let wake_stale = || stale.iter().for_each(Waker::wake_by_ref);

    assert!(group.remove(keys[1]));
    assert!(group.remove(keys[2]));
    wake_stale();
    group.extend((3..9).map(|id| cast.child(id)));
    wake_stale();
    for _ in 0..10 {
        assert!(task.poll_while_woken(&mut group).is_pending());
        wake_stale();
        assert_eq!((group.running(), group.queued()), (3, 4));
    }
    assert!((5..9).all(|id| cast.polls(id) == 0));
    assert_eq!(cast.polls(0), 1);
    assert!((3..5).all(|id| (1..=11).contains(&cast.polls(id))));
}

#[test]
fn wake_of_a_removed_child_while_its_successor_is_queued() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = Group::unboxed().with_limit(1);
    let first = group.push(cast.child(0));
    let second = group.push(cast.child(1));
    assert!(task.poll(&mut group).is_pending());
    assert!(group.remove(second));
    group.push(cast.child(2));
    let stale = cast.waker(0);
    stale.wake_by_ref();
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 0]);

    assert!(group.remove(first));
    stale.wake_by_ref();
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert!((1..=2).contains(&cast.polls(2)));
    assert_eq!(cast.polls(1), 0);
}

#[test]
fn wake_of_a_cleared_child_never_starts_a_queued_one() {
    for n in [1, 32, 65] {
        let (cast, task) = (Cast::new(3 * n), Task::default());
        let mut group = Group::unboxed().with_limit(n);
        group.extend((0..n).map(|id| cast.child(id)));
        assert!(task.poll_while_woken(&mut group).is_pending());
        group.clear();
        group.extend((n..3 * n).map(|id| cast.child(id)));
        (0..n).for_each(|id| cast.wake(id));
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!((group.running(), group.queued()), (n, n));
        assert!((2 * n..3 * n).all(|id| cast.polls(id) == 0));
    }
}

/// A million generations of one slot, and the waker of the first still means nobody else.
#[test]
fn first_waker_of_a_much_used_slot() {
    const GENERATIONS: usize = if cfg!(miri) { 200 } else { 1_000_000 };
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group = Group::unboxed();
    let first = group.push(cast.child(0));
    assert!(task.poll(&mut group).is_pending());
    assert!(group.remove(first));
    let other = Cast::new(1);
    for _ in 0..GENERATIONS {
        let key = group.push(other.child(0));
        assert_ne!(key, first);
        assert!(group.remove(key));
    }
    group.push(cast.child(1));
    assert!(!group.remove(first));
    assert!(task.poll_while_woken(&mut group).is_pending());
    cast.wake(0);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert!(cast.polls(1) <= 2);
    assert_eq!(other.polls(0), 0);
}
