//! A million children.

mod kit;

use std::cell::Cell;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};

use errgroup::Group;
use kit::{Task, panic_of};

const MILLION: usize = 1_000_000;

/// Ready at once, or never.
struct Small<'a> {
    drops: &'a Cell<usize>,
    ready: bool,
}

impl Future for Small<'_> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.ready {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

fn million(drops: &Cell<usize>, ready: bool) -> Group<Small<'_>> {
    (0..MILLION).map(|_| Small { drops, ready }).collect()
}

#[test]
#[cfg_attr(miri, ignore = "a million children would take hours, and fewer are in the other tests")]
fn million_ready_children_complete() {
    let (drops, task) = (Cell::new(0), Task::default());
    let mut group = million(&drops, true);
    assert_eq!((group.len(), group.running()), (MILLION, MILLION));
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!((group.len(), group.finished()), (0, MILLION));
    assert_eq!(drops.get(), MILLION);
}

#[test]
#[cfg_attr(miri, ignore = "a million children would take hours, and fewer are in the other tests")]
fn million_waiting_children_are_dropped() {
    let (drops, task) = (Cell::new(0), Task::default());
    let mut group = million(&drops, false);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!((group.len(), drops.get()), (MILLION, 0));
    drop(group);
    assert_eq!(drops.get(), MILLION);
}

#[test]
fn capacity_for_too_many_is_refused() {
    let drops = Cell::new(0);
    let children = if usize::BITS == 32 { 1 << 21 } else { 1 << 30 };
    let text = panic_of(|| Group::<Small<'_>>::with_capacity(children));
    assert_eq!(text, "too many children in one group");
    let mut group = Group::<Small<'_>>::unboxed();
    group.push(Small { drops: &drops, ready: false });
    let text = panic_of(|| group.extend(iter::repeat_with(|| panic!("asked for")).take(children)));
    assert_eq!(text, "too many children in one group");
    assert_eq!(group.len(), 1);
}

/// On 64 bits they would not fit into most memories.
#[test]
#[cfg(target_pointer_width = "32")]
fn child_too_many_is_refused_and_the_others_complete() {
    let (drops, task) = (Cell::new(0), Task::default());
    let mut group = million(&drops, true);
    let text = panic_of(|| {
        while group.len() < 1 << 21 {
            group.push(Small { drops: &drops, ready: true });
        }
    });
    assert_eq!((text.as_str(), drops.get()), ("too many children in one group", 1));
    let children = group.len();
    // As many pages as the ready word can name: the first with 8 slots, the one that made the million
    // full with 24, and the others with 32.
    assert_eq!(children, 32 * ((1 << 15) - 3));
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!((group.finished(), drops.get()), (children, children + 1));
}
