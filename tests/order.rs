//! The orders one can rely on: of completions, of drops, and of what the group says of itself.

mod kit;

use std::future::{Future, ready};
use std::task::Poll;

use errgroup::{Group, Key};
use kit::{Act, Cast, Child, Task};

#[test]
fn next_yields_in_order_of_completion() {
    for n in [3, 32, 65] {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group: Group<Child> = cast.children().collect();
        for (done, id) in (0..n).map(|id| id * 7 % n).enumerate() {
            assert!(task.poll_while_woken(&mut group.next()).is_pending());
            cast.tell(id, Act::Fail);
            cast.wake(id);
            assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Err(id))));
            assert_eq!((group.finished(), cast.drops(id)), (done + 1, 1));
        }
        assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    }
}

#[test]
fn next_yields_every_value_once() {
    let task = Task::default();
    let mut group: Group<_> = (0..100).map(ready).collect();
    let mut values = Vec::new();
    while let Poll::Ready(Some(value)) = task.poll(&mut group.next()) {
        values.push(value);
    }
    assert_eq!(values, Vec::from_iter(0..100));
    assert!(group.is_empty());
}

#[test]
fn clear_drops_in_order_of_adding() {
    for limit in [1, 10, 33, 100] {
        let (cast, task) = (Cast::new(100), Task::default());
        let mut group = Group::unboxed().with_limit(limit);
        group.extend(cast.children());
        assert!(task.poll_while_woken(&mut group).is_pending());
        group.clear();
        assert_eq!(cast.dropped(), Vec::from_iter(0..100));
        assert_eq!((group.len(), group.running(), group.queued()), (0, 0, 0));
        assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
        group.clear();
        assert_eq!(cast.dropped(), []);
    }
}

#[test]
fn collect_extend_and_push_are_one_order() {
    let (cast, task) = (Cast::new(6), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group: Group<Child> = (0..2).map(|id| cast.child(id)).collect();
    group.extend((2..4).map(|id| cast.child(id)));
    group.push(cast.child(4));
    assert!(group.try_push(cast.child(5)).is_ok());
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.polled(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(cast.dropped(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn finished_counts_completions_only() {
    let (cast, task) = (Cast::new(6), Task::default());
    let mut group = Group::unboxed().with_limit(4);
    let keys: Vec<Key> = cast.children().map(|child| group.push(child)).collect();
    cast.tell(0, Act::Succeed);
    cast.tell(1, Act::Fail);
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Ok(()))));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Err(1))));
    assert_eq!((group.finished(), group.len()), (2, 4));
    assert!(!group.remove(keys[0]));
    assert!(group.remove(keys[2]));
    assert!(group.remove(keys[5]));
    assert_eq!((group.finished(), group.len()), (2, 2));
    group.clear();
    assert_eq!((group.finished(), group.len()), (2, 0));
}

#[test]
fn debug_shows_the_counts_of_any_group() {
    fn waiting() -> impl Future<Output = Result<(), ()>> {
        std::future::pending()
    }

    let mut group = Group::unboxed().with_limit(23);
    group.extend((0..40).map(|_| async { waiting().await }));
    let text = format!("{group:?}");
    assert!(text.contains("23") && text.contains("17"), "{text}");
    assert!(text.starts_with("Group"), "{text}");
}

#[test]
fn full_says_why_in_one_line() {
    let mut group = Group::unboxed().with_limit(1);
    group.push(ready(()));
    let full = group.try_push(ready(())).unwrap_err();
    let error: &dyn std::error::Error = &full;
    let text = error.to_string();
    assert!(text.contains("limit") && text.lines().count() == 1, "{text}");
    assert!(!format!("{full:?}").is_empty());
}
