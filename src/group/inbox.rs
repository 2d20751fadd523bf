//! What a group and its handles share: the children that have arrived and are not in the group's set
//! yet, and how many there are in all.

use core::{
    future::Future,
    mem::ManuallyDrop,
    ops::ControlFlow,
    task::{Context, Poll},
};

use event_listener::{Event, EventListener, IntoNotification};

use super::{Group, Reporting};
use crate::{
    set::{Arrivals, Bell, Budget, Stack},
    sync::{Arc, AtomicBool, AtomicUsize, Ordering, fence},
};

/// The inbox of a group that has not ended. It is dropped by [`Step::End`] and [`VTable::poll`] alone, so
/// that a group which never has one carries no code to drop it.
pub(super) type Open<F> = ManuallyDrop<Arc<Inbox<F>>>;

const NO_INBOX: &str = "a group with handles has an inbox";

/// Open as long as its group has it.
pub(crate) struct Inbox<F> {
    pub(super) vtable: VTable<F>,
    arrivals: Stack<F>,
    bell: Bell,
    /// The children in the group: those that it has taken in, and those that arrive.
    children: AtomicUsize,
    /// The part of `children` that the group has taken in. Written by the group alone.
    taken_in: AtomicUsize,
    limit: AtomicUsize,
    /// Where those wait who want fewer `children` than `limit`, or the end.
    room: Event,
    /// Whether anybody ever has waited: the event allocates as soon as it is used, also to notify nobody.
    is_awaited: AtomicBool,
}

/// What a group does because it has handles. These are pointers that the first handle sets, so that a binary
/// without handles has none of the code behind them.
pub(super) struct VTable<F> {
    pub(super) attend: fn(&mut Group<F>, Step),
    pub(super) poll: PollOpen<F>,
}

/// Polls children until `done` breaks, or until none is left. The third argument is whether that ends the
/// group.
pub(super) type PollOpen<F> =
    fn(&mut Group<F>, &mut Context<'_>, bool, &mut dyn Done<F>) -> Poll<()>;

#[derive(Clone, Copy)]
pub(super) enum Step {
    /// What has arrived goes to the set.
    TakeIn,
    /// The same, and then a child that did not come by a handle.
    Add,
    /// The handles learn how many children there are.
    Report,
    /// They learn of a new limit.
    Limit,
    /// All children are dropped.
    Clear,
    /// The same, and the handles are closed.
    End,
}

/// Is told of each child that is done. It is a closure, but its type does not name the output, which
/// [`VTable`] cannot where `F` need not be a future.
pub(super) trait Done<F> {
    fn done(&mut self, index: usize, output: F::Output, left: usize) -> ControlFlow<()>
    where
        F: Future;
}

impl<F, C> Done<F> for C
where
    F: Future,
    C: FnMut(usize, F::Output, usize) -> ControlFlow<()>,
{
    fn done(&mut self, index: usize, output: F::Output, left: usize) -> ControlFlow<()> {
        self(index, output, left)
    }
}

// The counts are relaxed: they carry nothing but themselves.
impl<F> Inbox<F> {
    pub(super) fn new(vtable: VTable<F>, bell: Bell, children: usize, limit: usize) -> Self {
        Self {
            vtable,
            arrivals: Stack::new(),
            bell,
            children: AtomicUsize::new(children),
            taken_in: AtomicUsize::new(children),
            limit: AtomicUsize::new(limit),
            room: Event::new(),
            is_awaited: AtomicBool::new(false),
        }
    }

    /// Adds a child, or gives it back if the inbox is closed.
    pub(crate) fn push(&self, child: F) -> Result<(), F> {
        // Counted first: what the group takes in was counted.
        self.children.fetch_add(1, Ordering::Relaxed);
        self.arrive(child)
    }

    /// Takes a place for a child, if there is room.
    pub(crate) fn reserve(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let next = |children| (children < limit).then_some(children + 1);
        self.children.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Gives back a place.
    fn unreserve(&self) {
        self.children.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds a child that has its place.
    pub(crate) fn arrive(&self, child: F) -> Result<(), F> {
        let is_idle = self.arrivals.push(child).inspect_err(|_| self.unreserve())?;
        if is_idle {
            self.bell.ring();
        }
        Ok(())
    }

    pub(crate) fn has_room(&self) -> bool {
        self.children.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.arrivals.is_closed()
    }

    /// To be told of room that there is from now on, or of the end.
    pub(crate) fn listen(&self) -> EventListener {
        // Ordering: Relaxed, before the fence in `listen`.
        self.is_awaited.store(true, Ordering::Relaxed);
        self.room.listen()
    }

    /// Tells so many of those who have waited longest that there is room, or the end.
    pub(crate) fn notify(&self, waiters: usize) {
        // Ordering: pairs with the fence that `Event::listen` documents. Either this sees the listener
        // and what was set before it, or who looks again after it sees what the caller has changed.
        fence(Ordering::SeqCst);
        if self.is_awaited.load(Ordering::Relaxed) {
            self.room.notify(waiters.relaxed());
        }
    }
}

/// For the group alone.
impl<F> Inbox<F> {
    /// The children that have arrived, or are about to.
    #[inline]
    pub(super) fn arrived(&self) -> usize {
        let taken_in = self.taken_in.load(Ordering::Relaxed);
        self.children.load(Ordering::Relaxed).saturating_sub(taken_in)
    }

    /// Takes note that a child is done and `left` of those that were taken in are not, and gives the
    /// number of those that have arrived.
    fn child_done(&self, left: usize) -> usize {
        // Whoever asks for room learns of it at once, not at the end of the poll.
        if self.limit.load(Ordering::Relaxed) != usize::MAX {
            self.set_taken_in(left);
        }
        self.arrived()
    }

    /// Takes what has arrived.
    fn take(&self) -> Arrivals<F> {
        self.count(self.arrivals.take())
    }

    /// Takes what has arrived. Until the group [leaves](Self::leave), what arrives does not wake it.
    fn watch(&self) -> Arrivals<F> {
        self.count(self.arrivals.watch())
    }

    fn count(&self, arrivals: Arrivals<F>) -> Arrivals<F> {
        let taken_in = self.taken_in.load(Ordering::Relaxed).wrapping_add(arrivals.len());
        self.taken_in.store(taken_in, Ordering::Relaxed);
        arrivals
    }

    /// Has the next arrival wake the group; `false` if there is one.
    fn leave(&self) -> bool {
        self.arrivals.leave()
    }

    /// Closes the inbox; `false` if a child has arrived.
    fn close_empty(&self) -> bool {
        let is_closed = self.arrivals.close_empty();
        if is_closed {
            self.notify(usize::MAX);
        }
        is_closed
    }

    /// Closes the inbox, and gives what has arrived.
    fn close(&self) -> Arrivals<F> {
        let arrivals = self.arrivals.close();
        self.notify(usize::MAX);
        arrivals
    }

    /// Says how many children there are in the group's set.
    #[inline]
    fn set_taken_in(&self, taken_in: usize) {
        let before = self.taken_in.load(Ordering::Relaxed);
        if before == taken_in {
            return;
        }
        self.taken_in.store(taken_in, Ordering::Relaxed);
        let children = self.children.fetch_add(taken_in.wrapping_sub(before), Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        let now = children.wrapping_add(taken_in).wrapping_sub(before);
        // Where there has been room before, whoever waits has been told of it.
        if now < limit && children >= limit {
            self.notify(1);
        }
    }

    fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.notify(1);
    }
}

/// The group's side of its handles.
impl<F: Future> VTable<F> {
    pub(super) const NEW: Self = Self { attend: Self::attend, poll: Self::poll };

    fn attend(group: &mut Group<F>, step: Step) {
        let Some(inbox) = &group.inbox else { return };
        match step {
            Step::TakeIn => Self::take_in(group, inbox.take()),
            Step::Add => {
                Self::take_in(group, inbox.take());
                Self::report(group, 1);
            }
            Step::Report => Self::report(group, 0),
            Step::Limit => inbox.set_limit(group.limit),
            Step::Clear => {
                let arrivals = inbox.take();
                Reporting(group).0.clear_set();
                drop(arrivals);
            }
            Step::End => {
                let inbox = group.inbox.take().map(ManuallyDrop::into_inner);
                let arrivals = inbox.map(|inbox| inbox.close());
                group.clear_set();
                drop(arrivals);
            }
        }
    }

    fn take_in(group: &mut Group<F>, arrivals: Arrivals<F>) {
        if arrivals.len() > 0 {
            // All pages first: allocators are slow where large pieces are taken between small ones given
            // back.
            group.set.reserve(arrivals.len(), false);
            group.insert_all(arrivals);
        }
    }

    /// Says how many children there are, with so many `more` that are about to be added.
    fn report(group: &Group<F>, more: usize) {
        if let Some(inbox) = &group.inbox {
            inbox.set_taken_in(group.set.len() + more);
        }
    }

    fn poll(
        group: &mut Group<F>,
        cx: &mut Context<'_>,
        ends: bool,
        done: &mut dyn Done<F>,
    ) -> Poll<()> {
        let arrived = |inbox: &Option<Open<F>>, left| {
            inbox.as_ref().map_or(0, |inbox| inbox.child_done(left))
        };
        group.guarded(|group| {
            let mut budget = None;
            loop {
                let inbox = group.inbox.as_ref().expect(NO_INBOX);
                Self::take_in(group, inbox.watch());
                let budget = budget.get_or_insert_with(|| Budget::new(group.running()));
                let mut done = |index, output, left| done.done(index, output, left);
                let flow = group.poll_set(cx, budget, arrived, &mut done);
                Self::report(group, 0);
                let is_over = match flow {
                    Poll::Ready(ControlFlow::Break(Some(()))) => return Poll::Ready(()),
                    Poll::Ready(ControlFlow::Break(None)) => continue,
                    Poll::Ready(ControlFlow::Continue(())) => true,
                    Poll::Pending => false,
                };
                // The one step in which the group ends, or waits, if no child has come (invariant 9 of the set).
                let inbox = group.inbox.as_ref().expect(NO_INBOX);
                if is_over && ends {
                    if inbox.close_empty() {
                        drop(group.inbox.take().map(ManuallyDrop::into_inner));
                        return Poll::Ready(());
                    }
                } else if inbox.leave() {
                    return if is_over { Poll::Ready(()) } else { Poll::Pending };
                }
                if budget.is_spent() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                budget.work();
            }
        })
    }
}
