//! What a group and its handles share, beside the intake where children arrive: how many there are in all,
//! and who waits for room.

use core::{
    future::Future,
    mem::ManuallyDrop,
    ops::ControlFlow,
    task::{Context, Poll},
};

use event_listener::{Event, EventListener, IntoNotification};

use super::{Children, Group, Reporting};
use crate::{
    set::{self, AtWork, Bell, Budget, Intake},
    sync::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// The way into a group that has not ended. It is dropped by [`Step::End`] and [`VTable::poll`] alone, so
/// that a group which never has one carries no code to drop it.
pub(super) type Inbox<F> = ManuallyDrop<Intake<F, State<F>>>;

/// The way in, for handles.
pub(crate) type Inlet<F> = set::Inlet<F, State<F>>;

const NO_INBOX: &str = "a group with handles has an inbox";

/// When this many children have arrived within a round, they are taken in at once, while they are in the
/// cache.
const BATCH: usize = 64;

/// What both sides know of the children.
pub(crate) struct State<F> {
    pub(super) vtable: VTable<F>,
    bell: Bell,
    /// With `added_near`, the children in the group: those that it has taken in, and those that arrive.
    children: AtomicUsize,
    /// Those that were added on the thread on which the group was polled, while there was no limit. Nobody
    /// else writes it: it takes no read-modify-write. On other threads the two together mean nothing but
    /// under a limit, as they are not read in one step.
    added_near: AtomicUsize,
    /// Those that the group has taken in. Written by the group alone.
    taken_in: AtomicUsize,
    limit: AtomicUsize,
    /// Where those wait who want fewer children than `limit`, or the end.
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

// Ordering: the counts are relaxed, as they carry nothing but themselves.
impl<F> State<F> {
    pub(super) fn open(children: &mut Children<F>) -> Inbox<F>
    where
        F: Future,
    {
        ManuallyDrop::new(Intake::new(Self {
            vtable: VTable::NEW,
            bell: children.set().bell(),
            children: AtomicUsize::new(children.len()),
            added_near: AtomicUsize::new(0),
            taken_in: AtomicUsize::new(children.len()),
            limit: AtomicUsize::new(children.limit()),
            room: Event::new(),
            is_awaited: AtomicBool::new(false),
        }))
    }

    /// The children that have arrived, or are about to.
    #[inline]
    pub(super) fn arrived(&self) -> usize {
        self.children().saturating_sub(self.taken_in.load(Ordering::Relaxed))
    }

    /// Takes note that a child is done and `left` of those that were taken in are not, and gives the
    /// number of those that have arrived.
    #[inline]
    fn count_done(&self, left: usize) -> usize {
        // Whoever asks for room learns of it at once, not at the end of the poll.
        if self.has_limit() {
            self.set_taken_in(left);
        }
        self.arrived()
    }

    /// Says that so many more were taken in.
    #[inline]
    fn count_taken_in(&self, arrivals: usize) {
        let taken_in = self.taken_in.load(Ordering::Relaxed).wrapping_add(arrivals);
        self.taken_in.store(taken_in, Ordering::Relaxed);
    }

    /// Says how many children there are in the group's set.
    #[inline]
    fn set_taken_in(&self, taken_in: usize) {
        let before = self.taken_in.load(Ordering::Relaxed);
        if before == taken_in {
            return;
        }
        self.taken_in.store(taken_in, Ordering::Relaxed);
        let change = taken_in.wrapping_sub(before);
        let children = self.children.fetch_add(change, Ordering::Relaxed);
        let children = children.wrapping_add(self.added_near.load(Ordering::Relaxed));
        let limit = self.limit.load(Ordering::Relaxed);
        // Where there has been room before, whoever waits has been told of it.
        if children.wrapping_add(change) < limit && children >= limit {
            self.notify(1);
        }
    }

    fn set_limit(&self, limit: usize) {
        // Ordering: Release pairs with the Acquire in `has_room_beside`, which then knows what was added before.
        self.limit.store(limit, Ordering::Release);
        self.notify(1);
    }

    #[inline]
    fn children(&self) -> usize {
        let added_near = self.added_near.load(Ordering::Relaxed);
        self.children.load(Ordering::Relaxed).wrapping_add(added_near)
    }

    /// Whether there is room for one more than so many `children` beside those that were added near.
    fn has_room_beside(&self, children: usize) -> bool {
        // Ordering: Acquire pairs with the Release in `set_limit`.
        let limit = self.limit.load(Ordering::Acquire);
        let all = || children.wrapping_add(self.added_near.load(Ordering::Relaxed));
        limit == usize::MAX || all() < limit
    }

    #[inline]
    fn has_limit(&self) -> bool {
        self.limit.load(Ordering::Relaxed) != usize::MAX
    }

    /// Tells the `waiters` who have waited longest that there is room, or the end.
    fn notify(&self, waiters: usize) {
        // Ordering: SeqCst pairs with the fence in `listen`. One of the two comes first: either the load
        // below sees the flag that was set there, or whoever listens, and then looks again, sees what the
        // caller has changed.
        fence(Ordering::SeqCst);
        if self.is_awaited.load(Ordering::Relaxed) {
            self.room.notify(waiters.relaxed());
        }
    }
}

/// The side of the handles.
impl<F> Inlet<F> {
    /// Adds a child, or gives it back if the group has ended.
    #[inline(always)]
    pub(crate) fn add(&self, child: F) -> Result<(), F> {
        let state = self.state();
        match self.push_near(child) {
            Ok(()) if !state.has_limit() => {
                let added_near = state.added_near.load(Ordering::Relaxed).wrapping_add(1);
                state.added_near.store(added_near, Ordering::Relaxed);
                Ok(())
            }
            Ok(()) => {
                state.children.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(child) => self.count_and_add_far(child),
        }
    }

    /// Takes a place for a child, if there is room.
    pub(crate) fn reserve(&self) -> bool {
        let state = self.state();
        let next =
            |children: usize| state.has_room_beside(children).then_some(children.wrapping_add(1));
        state.children.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Adds a child that has its place.
    pub(crate) fn add_reserved(&self, child: F) -> Result<(), F> {
        self.push_near(child).or_else(|child| self.add_far(child))
    }

    #[cold]
    #[inline(never)]
    fn count_and_add_far(&self, child: F) -> Result<(), F> {
        // Counted first: what the group takes in was counted.
        self.state().children.fetch_add(1, Ordering::Relaxed);
        self.add_far(child)
    }

    fn add_far(&self, child: F) -> Result<(), F> {
        let state = self.state();
        let give_back = |_: &F| _ = state.children.fetch_sub(1, Ordering::Relaxed);
        if self.push(child).inspect_err(give_back)? {
            state.bell.ring();
        }
        Ok(())
    }

    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        state.has_room_beside(state.children.load(Ordering::Relaxed))
    }

    /// To be told of room that there is from now on, or of the end.
    pub(crate) fn listen(&self) -> EventListener {
        let state = self.state();
        // Ordering: Relaxed; the fence below orders it.
        state.is_awaited.store(true, Ordering::Relaxed);
        let listener = state.room.listen();
        // Ordering: SeqCst pairs with the fence in `notify`. Event-listener fences only where it notifies, as
        // its list is looked at under its lock alone; `is_awaited` is looked at without it.
        fence(Ordering::SeqCst);
        listener
    }

    /// Tells the one who has waited longest that there is still room.
    pub(crate) fn pass_on(&self) {
        self.state().notify(1);
    }
}

/// The side of the group.
impl<F: Future> VTable<F> {
    const NEW: Self = Self { attend: Self::attend, poll: Self::poll };

    fn attend(group: &mut Group<F>, step: Step) {
        let Group { children, inbox: Some(inbox) } = group else { return };
        match step {
            Step::TakeIn => Self::take_in_all(children, inbox),
            Step::Add => {
                Self::take_in_all(children, inbox);
                inbox.state().set_taken_in(children.len() + 1);
            }
            Step::Report => inbox.state().set_taken_in(children.len()),
            Step::Limit => inbox.state().set_limit(children.limit()),
            Step::Clear => {
                let arrivals = inbox.take();
                inbox.state().count_taken_in(arrivals.size_hint().0);
                let reporting = Reporting(group);
                // They count until they are dropped, also where that unwinds.
                let arrivals = arrivals;
                reporting.0.children.clear();
                drop(arrivals);
            }
            Step::End => {
                let arrivals = inbox.close();
                let inbox = group.inbox.take().map(ManuallyDrop::into_inner);
                // The wakers of those who wait are foreign code.
                group.guarded(|_| inbox.iter().for_each(|inbox| inbox.state().notify(usize::MAX)));
                drop(inbox);
                group.children.clear();
                drop(arrivals);
            }
        }
    }

    fn take_in_all(children: &mut Children<F>, inbox: &mut Inbox<F>) {
        let taken_in = Self::take_in(children, inbox.take());
        inbox.state().count_taken_in(taken_in);
    }

    /// Takes in what has arrived, and says how many these are.
    fn take_in(children: &mut Children<F>, arrivals: impl Iterator<Item = F>) -> usize {
        let len = arrivals.size_hint().0;
        if len > 0 {
            // All pages first: allocators are slow where large pieces are taken between small ones given
            // back.
            children.extend(len, false, arrivals);
        }
        len
    }

    fn poll(
        group: &mut Group<F>,
        cx: &mut Context<'_>,
        ends: bool,
        done: &mut dyn Done<F>,
    ) -> Poll<()> {
        group.guarded(|group| {
            let Group { children, inbox } = &mut *group;
            let intake = inbox.as_mut().expect(NO_INBOX);
            let poll = intake.work(|inbox| Self::poll_at_work(children, inbox, cx, ends, done));
            intake.state().set_taken_in(children.len());
            poll.map(|has_ended| {
                if has_ended {
                    drop(inbox.take().map(ManuallyDrop::into_inner));
                }
            })
        })
    }

    /// Whether it has closed the inbox.
    fn poll_at_work(
        children: &mut Children<F>,
        inbox: &mut AtWork<'_, F, State<F>>,
        cx: &mut Context<'_>,
        ends: bool,
        done: &mut dyn Done<F>,
    ) -> Poll<bool> {
        let mut budget = None;
        loop {
            let (row, stacked) = inbox.watch();
            let taken_in = children.append(row) + Self::take_in(children, stacked);
            inbox.state().count_taken_in(taken_in);
            let budget = budget.get_or_insert_with(|| Budget::new(children.running()));
            let flow = children.poll(cx, budget, |index, output, left| {
                let arrived = inbox.state().count_done(left);
                match done.done(index, output, left + arrived) {
                    ControlFlow::Break(()) => ControlFlow::Break(Some(())),
                    ControlFlow::Continue(()) if arrived >= BATCH => ControlFlow::Break(None),
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                }
            });
            let is_over = match flow {
                Poll::Ready(ControlFlow::Break(Some(()))) => return Poll::Ready(false),
                Poll::Ready(ControlFlow::Break(None)) => continue,
                Poll::Ready(ControlFlow::Continue(())) => true,
                Poll::Pending => false,
            };
            // The one step in which the group ends, or waits, if no child has come (invariant 9 of the set).
            if is_over && ends {
                if inbox.close_empty() {
                    inbox.state().notify(usize::MAX);
                    return Poll::Ready(true);
                }
            } else if inbox.leave() {
                return if is_over { Poll::Ready(false) } else { Poll::Pending };
            }
            if budget.is_spent() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            budget.charge();
        }
    }
}
