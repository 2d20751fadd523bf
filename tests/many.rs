//! A million children.

mod kit;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use errgroup::Group;
use kit::Task;

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
fn million_ready_children_complete() {
    let (drops, task) = (Cell::new(0), Task::default());
    let mut group = million(&drops, true);
    assert_eq!((group.len(), group.running()), (MILLION, MILLION));
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!((group.len(), group.finished()), (0, MILLION));
    assert_eq!(drops.get(), MILLION);
}

#[test]
fn million_waiting_children_are_dropped() {
    let (drops, task) = (Cell::new(0), Task::default());
    let mut group = million(&drops, false);
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!((group.len(), drops.get()), (MILLION, 0));
    drop(group);
    assert_eq!(drops.get(), MILLION);
}
