//! A group is a future like any other, so groups hold groups.

mod kit;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use errgroup::Group;
use kit::{Act, Cast, Child, Task};

/// Counts the polls of what it wraps.
struct Counted<F>(F, Rc<Cell<usize>>);

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.1.set(self.1.get() + 1);
        Pin::new(&mut self.0).poll(cx)
    }
}

type Inner = Counted<Group<Child>>;
type Middle = Counted<Group<Inner>>;

/// 100 leaves: 4 groups of 5 groups of 5 children, and a count of the polls of the groups inside.
fn tree(cast: &Cast) -> (Group<Middle>, Rc<Cell<usize>>) {
    let polls = Rc::new(Cell::new(0));
    let mut leaves = cast.children();
    let outer = (0..4).map(|_| {
        let middle = (0..5).map(|_| {
            let inner: Group<Child> = leaves.by_ref().take(5).collect();
            Counted(inner, polls.clone())
        });
        Counted(middle.collect(), polls.clone())
    });
    let group = outer.collect();
    (group, polls)
}

#[test]
fn wake_of_a_leaf_polls_its_path_only() {
    let (cast, task) = (Cast::new(100), Task::default());
    let (mut group, polls) = tree(&cast);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), Vec::from_iter(0..100));
    for leaf in [57, 0, 99] {
        polls.set(0);
        cast.wake(leaf);
        cast.wake(leaf);
        assert_eq!(task.wakes(), 1);
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled(), [leaf]);
        assert_eq!(polls.get(), 2);
    }
}

#[test]
fn wakes_of_every_leaf_wake_the_task_once() {
    let (cast, task) = (Cast::new(100), Task::default());
    let (mut group, polls) = tree(&cast);
    assert!(task.poll_while_woken(&mut group).is_pending());
    cast.polled();
    polls.set(0);
    (0..100).for_each(|leaf| cast.wake(leaf));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled().len(), 100);
    assert_eq!(polls.get(), 4 + 4 * 5);
}

#[test]
fn failure_of_a_leaf_drops_them_all() {
    for leaf in [0, 57, 99] {
        let (cast, task) = (Cast::new(100), Task::default());
        let (mut group, _) = tree(&cast);
        assert!(task.poll_while_woken(&mut group).is_pending());
        cast.tell(leaf, Act::Fail);
        cast.wake(leaf);
        assert_eq!(task.poll(&mut group), Poll::Ready(Err(leaf)));
        cast.assert_all_dropped_once();
        assert!(group.is_empty());
    }
}

#[test]
fn all_leaves_succeed() {
    let (cast, task) = (Cast::new(100), Task::default());
    let (mut group, _) = tree(&cast);
    assert!(task.poll_while_woken(&mut group).is_pending());
    for leaf in (0..100).rev() {
        assert!(task.poll_while_woken(&mut group).is_pending());
        cast.tell(leaf, Act::Succeed);
        cast.wake(leaf);
        assert_eq!(task.wakes(), 1);
    }
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(group.finished(), 4);
    cast.assert_all_dropped_once();
}

#[test]
fn leaves_that_wake_themselves_all_complete() {
    const YIELDS: usize = if cfg!(miri) { 7 } else { 100 };
    let (cast, task) = (Cast::new(100), Task::default());
    (0..100).for_each(|leaf| cast.tell(leaf, Act::Yield(leaf % YIELDS)));
    let (mut group, _) = tree(&cast);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert!((0..100).all(|leaf| cast.polls(leaf) == leaf % YIELDS + 1));
}

#[test]
fn wake_after_the_tree_is_dropped() {
    let (cast, task) = (Cast::new(100), Task::default());
    let (mut group, _) = tree(&cast);
    assert!(task.poll_while_woken(&mut group).is_pending());
    drop(group);
    (0..100).for_each(|leaf| cast.wake(leaf));
    assert_eq!((task.wakes(), task.wakers()), (0, 0));
    cast.assert_all_dropped_once();
}

#[test]
fn boxed_groups_hold_limited_groups() {
    let (cast, task) = (Cast::new(6), Task::default());
    let mut outer = Group::new();
    for half in [0..3, 3..6] {
        let mut inner = Group::new().with_limit(1);
        for leaf in half {
            inner.go(cast.child(leaf));
        }
        outer.go(inner);
    }
    assert!(task.poll_while_woken(&mut outer).is_pending());
    assert_eq!(cast.polled(), [0, 3]);
    cast.tell(3, Act::Succeed);
    cast.wake(3);
    assert!(task.poll_while_woken(&mut outer).is_pending());
    assert_eq!(cast.polled(), [3, 4]);
    cast.tell(4, Act::Fail);
    cast.wake(4);
    assert_eq!(task.poll(&mut outer), Poll::Ready(Err(4)));
    cast.assert_all_dropped_once();
}
