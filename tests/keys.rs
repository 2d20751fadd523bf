//! A key names one child for ever: it removes that child at most once and no other.

mod kit;

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, LARGE, SIZES, Task};

#[test]
fn remove_before_the_first_poll() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Succeed);
        let mut group = Group::unboxed();
        let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
        assert!(group.remove(keys[n / 2]));
        assert_eq!(cast.dropped(), [n / 2]);
        assert_eq!(group.len(), n - 1);
        assert!(!group.remove(keys[n / 2]));

        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!(cast.polls(n / 2), 0);
        assert_eq!(group.finished(), n - 1);
        cast.assert_all_dropped_once();
    }
}

#[test]
fn remove_of_a_running_child_drops_it_at_once() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = Group::unboxed();
    let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    assert!(group.remove(keys[1]));
    assert_eq!(cast.dropped(), [1]);
    assert_eq!((group.len(), group.running(), group.finished()), (2, 2, 0));
    assert!(!group.remove(keys[1]));

    cast.wake(1);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1, 2]);
    assert!(group.remove(keys[0]));
    assert!(group.remove(keys[2]));
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.dropped(), [0, 2]);
}

#[test]
fn remove_of_a_woken_child_leaves_nothing_to_poll() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group = Group::unboxed();
    let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    cast.wake(0);
    assert!(group.remove(keys[0]));
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1]);
}

#[test]
fn remove_of_a_child_leaves_the_wakes_of_others() {
    let n = 100;
    for (woken, removed) in [(1, 2), (20, 21), (20, 60), (99, 98)] {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group = Group::unboxed();
        let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
        assert!(task.poll(&mut group).is_pending());
        cast.tell(0, Act::Succeed);
        cast.wake(woken);
        cast.wake(0);
        // The first is done, and the round that has both is not over.
        assert!(task.poll(&mut group.next()).is_ready());
        assert!(group.remove(keys[removed]));
        cast.polled();
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), [woken]);
    }
}

#[test]
fn remove_of_a_running_child_starts_a_queued_one_at_the_next_poll() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::unboxed().with_limit(2);
    let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1]);

    assert!(group.remove(keys[1]));
    assert_eq!(cast.dropped(), [1]);
    assert_eq!(cast.polled(), []);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polls(2), 1);
    assert_eq!(cast.polls(3), 0);
    assert_eq!((group.running(), group.queued()), (2, 1));
}

#[test]
fn remove_of_a_queued_child_never_polls_it() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::unboxed().with_limit(1);
    let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    assert!(group.remove(keys[2]));
    assert_eq!(cast.dropped(), [2]);
    assert_eq!((group.len(), group.running(), group.queued()), (3, 1, 2));
    assert!(!group.remove(keys[2]));

    cast.tell_all(Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.polled(), [0, 0, 1, 3]);
    assert_eq!(group.finished(), 3);
    cast.assert_all_dropped_once();
}

#[test]
fn key_of_a_finished_child_removes_nothing() {
    let (cast, task) = (Cast::new(2), Task::default());
    cast.tell(0, Act::Succeed);
    let mut group = Group::unboxed();
    let old = group.push(cast.child(0));
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert!(!group.remove(old));

    let new = group.push(cast.child(1));
    assert_ne!(old, new);
    assert!(!group.remove(old));
    assert!(task.poll(&mut group).is_pending());
    assert!(!group.remove(old));
    assert_eq!((group.len(), cast.drops(1)), (1, 0));
    assert!(group.remove(new));
    assert!(!group.remove(new));
    cast.assert_all_dropped_once();
}

#[test]
fn key_of_a_removed_child_removes_nothing_in_a_reused_slot() {
    let mut group = Group::unboxed();
    let cast = Cast::new(LARGE);
    let mut stale = Vec::new();
    for child in cast.children() {
        let key = group.push(child);
        assert!(stale.iter().all(|old| !group.remove(*old)));
        assert_eq!(group.len(), 1);
        assert!(group.remove(key));
        stale.push(key);
    }
    assert_eq!(HashSet::<_>::from_iter(stale).len(), LARGE);
    cast.assert_all_dropped_once();
}

#[test]
fn key_of_a_failed_group_removes_nothing() {
    let (cast, task) = (Cast::new(6), Task::default());
    cast.tell(1, Act::Fail);
    let mut group = Group::unboxed();
    let keys = [0, 1, 2].map(|id| group.push(cast.child(id)));
    assert_eq!(task.poll(&mut group), Poll::Ready(Err(1)));
    let new = [3, 4, 5].map(|id| group.push(cast.child(id)));
    assert_eq!(keys.map(|key| group.remove(key)), [false; 3]);
    assert_eq!(group.len(), 3);
    assert_eq!(new.map(|key| group.remove(key)), [true; 3]);
    cast.assert_all_dropped_once();
}

#[test]
fn clear_then_remove() {
    for limit in [1, 2, 100] {
        let (cast, task) = (Cast::new(10), Task::default());
        let mut group = Group::unboxed().with_limit(limit);
        let old = [0, 1, 2, 3, 4].map(|id| group.push(cast.child(id)));
        assert!(task.poll(&mut group).is_pending());
        group.clear();
        assert_eq!(cast.dropped(), [0, 1, 2, 3, 4]);
        assert_eq!(old.map(|key| group.remove(key)), [false; 5]);
        assert_eq!((group.len(), group.finished()), (0, 0));

        let new = [5, 6, 7, 8, 9].map(|id| group.push(cast.child(id)));
        assert_eq!(old.map(|key| group.remove(key)), [false; 5]);
        assert_eq!(new.map(|key| group.remove(key)), [true; 5]);
        cast.assert_all_dropped_once();
    }
}

#[test]
fn keys_tell_children_apart() {
    let cast = Cast::new(LARGE);
    let mut group = Group::unboxed().with_limit(10);
    let keys: HashSet<_> = cast.children().map(|child| group.push(child)).collect();
    assert_eq!(keys.len(), LARGE);
    assert_eq!((group.running(), group.queued()), (10, LARGE - 10));
    for (removed, key) in keys.into_iter().enumerate() {
        assert!(group.remove(key));
        assert_eq!(group.len(), LARGE - 1 - removed);
    }
    cast.assert_all_dropped_once();
}

#[test]
fn key_of_go_and_try_go_serve_alike() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = Group::new().with_limit(3);
    let first = group.go(cast.child(0));
    let second = group.try_go(cast.child(1)).unwrap();
    let third = group.try_push(Box::pin(cast.child(2))).unwrap();
    assert!(task.poll(&mut group).is_pending());
    assert!(group.remove(second));
    assert!(group.remove(first));
    assert!(group.remove(third));
    assert_eq!(cast.dropped(), [1, 0, 2]);
}

#[test]
fn key_of_a_larger_group_is_false_in_a_smaller_one() {
    let mut large: Group<_> = (0..LARGE).map(ready).collect();
    let last = large.push(ready(LARGE));
    assert!(!Group::<Ready<usize>>::unboxed().remove(last));
    for n in 1..LARGE {
        let mut small: Group<_> = (0..n).map(ready).collect();
        assert!(!small.remove(last));
    }
    assert!(large.remove(last));
}
