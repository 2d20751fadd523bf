//! The group that polls everything, and what it has in common with the real one.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use errgroup::{Full, Group, Key};

use super::child::Child;
use super::handle::{AnyHandle, Refusal};
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
    fn handle(&mut self) -> AnyHandle;
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

    fn handle(&mut self) -> AnyHandle {
        AnyHandle::Real(self.handle())
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
    inbox: Option<NaiveHandle>,
    limit: usize,
    added: usize,
    finished: usize,
}

/// Adds to the list, while it is open.
#[derive(Clone, Default)]
pub(crate) struct NaiveHandle(Rc<RefCell<Inbox>>);

#[derive(Default)]
struct Inbox {
    is_closed: bool,
    arrivals: Vec<Child>,
    /// Those in the list, and the limit.
    children: usize,
    limit: usize,
}

struct Entry {
    key: usize,
    child: Pin<Box<Child>>,
    was_polled: bool,
    is_running: bool,
}

/// Ends the group when a poll unwinds.
struct Unwinding<'a>(&'a mut Naive);

impl Naive {
    fn running(&self) -> usize {
        self.children.iter().filter(|entry| entry.is_running).count()
    }

    fn len(&self) -> usize {
        self.children.len() + self.inbox.as_ref().map_or(0, |inbox| inbox.0.borrow().arrivals.len())
    }

    fn start_queued(&mut self) {
        let room = self.limit.saturating_sub(self.running());
        let queued = self.children.iter_mut().filter(|entry| !entry.is_running);
        queued.take(room).for_each(|entry| entry.is_running = true);
    }

    fn insert(&mut self, child: Child) -> usize {
        self.added += 1;
        self.children.push(Entry {
            key: self.added,
            child: Box::pin(child),
            was_polled: false,
            is_running: self.children.len() < self.limit,
        });
        self.added
    }

    fn arrivals(&mut self) -> Vec<Child> {
        self.inbox.as_ref().map(NaiveHandle::take).unwrap_or_default()
    }

    /// Takes in what has come by a handle; says whether there was anything.
    fn take_in(&mut self) -> bool {
        let arrivals = self.arrivals();
        let is_any = !arrivals.is_empty();
        for child in arrivals {
            self.insert(child);
        }
        self.report();
        is_any
    }

    /// Tells the handles how many children there are.
    fn report(&self) {
        if let Some(inbox) = &self.inbox {
            let mut inbox = inbox.0.borrow_mut();
            (inbox.children, inbox.limit) = (self.children.len(), self.limit);
        }
    }

    /// Closes the handles, and drops all children.
    fn end(&mut self) {
        let arrivals = self.arrivals();
        if let Some(inbox) = self.inbox.take() {
            inbox.0.borrow_mut().is_closed = true;
        }
        self.children.clear();
        drop(arrivals);
    }
}

impl NaiveHandle {
    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().is_closed
    }

    pub(crate) fn push(&self, child: Child, tries: bool) -> Result<(), (Refusal, Child)> {
        let mut inbox = self.0.borrow_mut();
        let is_full = inbox.children + inbox.arrivals.len() >= inbox.limit;
        if inbox.is_closed {
            Err((Refusal::Closed, child))
        } else if tries && is_full {
            Err((Refusal::Full, child))
        } else {
            inbox.arrivals.push(child);
            Ok(())
        }
    }

    fn take(&self) -> Vec<Child> {
        mem::take(&mut self.0.borrow_mut().arrivals)
    }
}

impl Default for Naive {
    fn default() -> Self {
        Naive { children: Vec::new(), inbox: None, limit: usize::MAX, added: 0, finished: 0 }
    }
}

impl AnyGroup for Naive {
    const IS_REAL: bool = false;
    type Key = usize;

    fn with_capacity(_: usize) -> Self {
        Naive::default()
    }

    fn with_limit(mut self, limit: usize) -> Self {
        self.take_in();
        self.limit = limit;
        self.children.iter_mut().for_each(|entry| entry.is_running = entry.was_polled);
        self.start_queued();
        self.report();
        self
    }

    fn push(&mut self, child: Child) -> usize {
        self.take_in();
        let key = self.insert(child);
        self.report();
        key
    }

    fn try_push(&mut self, child: Child) -> Result<usize, Child> {
        if self.len() < self.limit { Ok(self.push(child)) } else { Err(child) }
    }

    fn extend(&mut self, children: Vec<Child>) {
        for child in children {
            self.push(child);
        }
    }

    fn remove(&mut self, key: usize) -> bool {
        let at = self.children.iter().position(|entry| entry.key == key);
        let removed = at.map(|at| self.children.remove(at));
        self.report();
        removed.is_some()
    }

    fn clear(&mut self) {
        let arrivals = self.arrivals();
        let children = mem::take(&mut self.children);
        self.report();
        // In this order, also where the drop of one unwinds.
        drop((children, arrivals));
    }

    fn handle(&mut self) -> AnyHandle {
        let inbox = self.inbox.get_or_insert_default().clone();
        self.report();
        AnyHandle::Naive(inbox)
    }

    fn counts(&self) -> (bool, [usize; 4]) {
        let (len, running) = (self.len(), self.running());
        (len == 0, [len, running, len - running, self.finished])
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let unwinding = Unwinding(self);
        let group = &mut *unwinding.0;
        group.take_in();
        loop {
            group.start_queued();
            for at in 0..group.children.len() {
                let entry = &mut group.children[at];
                if !entry.is_running {
                    continue;
                }
                entry.was_polled = true;
                if let Poll::Ready(outcome) = entry.child.as_mut().poll(cx) {
                    let done = group.children.remove(at);
                    group.report();
                    drop(done);
                    group.finished += 1;
                    return Poll::Ready(Some(outcome));
                }
            }
            if group.take_in() {
                continue;
            }
            if !group.children.is_empty() {
                return Poll::Pending;
            }
            group.end();
            return Poll::Ready(None);
        }
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match ready!(self.poll_next(cx)) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.end();
                    return Poll::Ready(Err(error));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Naive {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}
