//! The group that polls everything, and what it has in common with the real one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use errgroup::{Full, Group, Key};

use super::child::Child;
use super::model::Outcome;

/// What runs children.
pub(crate) trait AnyGroup: Default {
    const IS_REAL: bool;
    type Key: Copy;

    fn with_capacity(capacity: usize) -> Self;
    fn with_limit(self, limit: usize) -> Self;
    fn push(&mut self, child: Child) -> Self::Key;
    fn try_push(&mut self, child: Child) -> Result<Self::Key, Child>;
    fn extend(&mut self, children: Vec<Child>);
    fn remove(&mut self, key: Self::Key) -> bool;
    fn clear(&mut self);
    /// Whether it is empty; and the children there are, running, queued and finished.
    fn counts(&self) -> (bool, [usize; 4]);
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>>;
    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Outcome>;
}

impl AnyGroup for Group<Child> {
    const IS_REAL: bool = true;
    type Key = Key;

    fn with_capacity(capacity: usize) -> Self {
        Group::with_capacity(capacity)
    }

    fn with_limit(self, limit: usize) -> Self {
        self.with_limit(limit)
    }

    fn push(&mut self, child: Child) -> Key {
        self.push(child)
    }

    fn try_push(&mut self, child: Child) -> Result<Key, Child> {
        self.try_push(child).map_err(Full::into_inner)
    }

    fn extend(&mut self, children: Vec<Child>) {
        Extend::extend(self, children);
    }

    fn remove(&mut self, key: Key) -> bool {
        self.remove(key)
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn counts(&self) -> (bool, [usize; 4]) {
        (self.is_empty(), [self.len(), self.running(), self.queued(), self.finished()])
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        Pin::new(&mut self.next()).poll(cx)
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(self).poll(cx)
    }
}

/// A list of children: each poll is one of every child that may run.
pub(crate) struct Naive {
    children: Vec<Entry>,
    limit: usize,
    added: usize,
    finished: usize,
}

struct Entry {
    key: usize,
    child: Pin<Box<Child>>,
    was_polled: bool,
    is_running: bool,
}

/// Clears the group when a poll unwinds.
struct Unwinding<'a>(&'a mut Naive);

impl Naive {
    fn running(&self) -> usize {
        self.children.iter().filter(|entry| entry.is_running).count()
    }

    fn start_queued(&mut self) {
        let room = self.limit.saturating_sub(self.running());
        let queued = self.children.iter_mut().filter(|entry| !entry.is_running);
        queued.take(room).for_each(|entry| entry.is_running = true);
    }
}

impl Default for Naive {
    fn default() -> Self {
        Naive { children: Vec::new(), limit: usize::MAX, added: 0, finished: 0 }
    }
}

impl AnyGroup for Naive {
    const IS_REAL: bool = false;
    type Key = usize;

    fn with_capacity(_: usize) -> Self {
        Naive::default()
    }

    fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self.children.iter_mut().for_each(|entry| entry.is_running = entry.was_polled);
        self.start_queued();
        self
    }

    fn push(&mut self, child: Child) -> usize {
        self.added += 1;
        self.children.push(Entry {
            key: self.added,
            child: Box::pin(child),
            was_polled: false,
            is_running: self.children.len() < self.limit,
        });
        self.added
    }

    fn try_push(&mut self, child: Child) -> Result<usize, Child> {
        if self.children.len() < self.limit { Ok(self.push(child)) } else { Err(child) }
    }

    fn extend(&mut self, children: Vec<Child>) {
        for child in children {
            self.push(child);
        }
    }

    fn remove(&mut self, key: usize) -> bool {
        let at = self.children.iter().position(|entry| entry.key == key);
        at.map(|at| self.children.remove(at)).is_some()
    }

    fn clear(&mut self) {
        self.children.clear();
    }

    fn counts(&self) -> (bool, [usize; 4]) {
        let (len, running) = (self.children.len(), self.running());
        (len == 0, [len, running, len - running, self.finished])
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.start_queued();
        let unwinding = Unwinding(self);
        let group = &mut *unwinding.0;
        for at in 0..group.children.len() {
            let entry = &mut group.children[at];
            if !entry.is_running {
                continue;
            }
            entry.was_polled = true;
            if let Poll::Ready(outcome) = entry.child.as_mut().poll(cx) {
                drop(group.children.remove(at));
                group.finished += 1;
                return Poll::Ready(Some(outcome));
            }
        }
        if group.children.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match ready!(self.poll_next(cx)) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.clear();
                    return Poll::Ready(Err(error));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.clear();
        }
    }
}
