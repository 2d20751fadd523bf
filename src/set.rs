//! The engine: a set of pinned children, each polled when it was woken. It knows nothing of
//! results, limits or cancellation.
//!
//! # The way of a child
//!
//! [`Set::insert`] writes it to a slot of a page, where it stays; once started, the next round polls
//! it. Its waker sets its ready bit; the first bit in a page puts the page on the ready stack; the
//! first change of the *ready word* wakes the task. A round takes the ready word with one swap and the
//! bits of each page on the stack with one more, and [`Set::poll_each`] polls each child that it found
//! once. A child that is done or removed is dropped in its slot. One that panics stays in it: whoever
//! polls the set clears it when that unwinds.
//!
//! A child that is added while the set is in use arrives in an [`Intake`], and is inserted when the owner
//! takes all that is there.
//!
//! # Words
//!
//! - The *owner* is whoever has the set by `&mut`; everybody else is a *waker*, or adds by an *inlet*.
//!   What the owner alone knows of pages and rounds is the *schedule*. It lies in the hub, and moving a
//!   set moves a pointer.
//! - The *ready word* holds the head of the ready stack, the bits of the first page, the lead, and
//!   whether the bell was rung.
//! - The *hub* is what all pages share: the ready word, the *task*, which is the waker of whoever polls
//!   the set, and the schedule. While the ready word is *held*, wakes are noted and nobody is notified;
//!   otherwise the set is *armed*.
//! - The *lead* is a child that was woken when nothing else was ready.
//! - The *bell* is the waker of no child: whoever puts one on an idle stack rings it.
//! - An *intake* is where children arrive: on a *stack*, which is another than the ready stack, or in a
//!   *row*. An empty stack is *idle*, *watched* or *closed*. The owner is *at work* while it polls.
//! - A *round* polls what was ready when it began, page by page; a page of the round has its *turn*.
//! - A child is *running* once it was started, unless that is taken back, and *fresh* until it is
//!   polled for the first time.
//!
//! # Invariants
//!
//! 1. Unsafe code lives in this module and below, nowhere else in the crate.
//! 2. A waker touches the atomics and the constants of its page and of the hub, and the task's waker
//!    by invariant 7; never a child, never a field that the owner writes without atomics.
//! 3. Children are polled and dropped only by the owner, who has the set by `&mut`. A child never
//!    moves after it was stored, and is dropped in its slot. A slot's bit in `stored` says whether
//!    there is a child in it.
//! 4. There is no lock here, so none is held while foreign code runs (`poll`, `wake`, `drop`, a
//!    waker's `clone`). Before foreign code runs, the owner's fields are consistent: it may panic.
//! 5. A page whose bits are zero is not on the ready stack. It is put there by whoever makes the step
//!    of its bits from zero, once, and the owner takes it off before it takes the bits. So a page is
//!    never on the stack twice, and bits that are set are on their way to the owner, or too late.
//! 6. A poll that is pending has either taken the ready word since it began, with the task's own
//!    waker stored and the word not held from then on, or woken the task itself. So every wake that
//!    comes after wakes the task.
//! 7. The step of the ready word from zero gives out one *ticket*: the right to use the task's
//!    waker once. The owner counts the tickets that it finds given out, notifiers count those they
//!    are done with. While the word is held or closed none is given out; if then the counts are the
//!    same, nobody uses the task's waker, and only then it is replaced or dropped.
//! 8. The memory of a page is freed with its last reference; the owner and each waker have one. Each
//!    page and each bell has a reference to the first, where the hub lies.
//! 9. A poll that is pending has made a watched stack idle, in one step that found it empty, or has
//!    woken the task itself; and whoever pushes to an idle stack rings the bell. So what arrives is
//!    taken before the owner waits, or wakes the task (invariant 6).
//! 10. A node belongs to whoever pushes it until the exchange that puts it on the stack, and then to
//!     whoever takes it off with a swap. Its link is written before that exchange.
//! 11. The rows of an intake are touched by its owner, and while that is at work, the one that fills by
//!     others on the same thread. Nobody calls foreign code while touching them, unless the stack is
//!     closed, and nobody adds.

mod intake;
mod page;
mod ready;
mod schedule;
mod schedule_box;
mod stack;
mod task;
mod waker;

use alloc::vec::Vec;
use core::{
    alloc::Layout,
    marker::PhantomData,
    mem,
    ops::ControlFlow,
    pin::Pin,
    ptr::{self, NonNull},
    task::{Context, Poll},
};

pub(crate) use self::{
    intake::{AtWork, Inlet, Intake},
    schedule::Slot,
    stack::Stack,
    waker::Bell,
};
use self::{
    schedule::{MAX_CHILDREN, Schedule, TOO_MANY},
    schedule_box::ScheduleBox,
};

const NO_PAGE: &str = "a slot has a page";

/// Children of one type, each with an index that its user chose.
pub(crate) struct Set<F> {
    /// `None` until there is a page.
    schedule: Option<ScheduleBox>,
    len: usize,
    /// The children that were not started: a count that does not change as one finishes.
    unstarted: usize,
    children: PhantomData<F>,
}

/// How much a poll of the set may still do before it lets its executor go on.
pub(crate) struct Budget {
    /// Polls of children.
    polls: usize,
    /// Used up by children that stay pending although they were woken, faster where they wake
    /// themselves.
    patience: u32,
}

struct Child<F> {
    index: u64,
    future: F,
}

/// Drops the children of a page; when the drop of one unwinds, it goes on with the whole set.
struct Clearing<'a, F> {
    set: &'a mut Set<F>,
    page: u32,
    /// The slots with a child, which the schedule has already given up.
    stored: usize,
}

// SAFETY: the owner's side of the set is plain data and the children, which go along to the other
// thread; what wakers share is atomic, or guarded by tickets, wherever the owner is (invariants 2
// and 7).
unsafe impl<F: Send> Send for Set<F> {}
// SAFETY: a shared set gives out counts and slots, never a child, whatever its type (invariant 3).
unsafe impl<F> Sync for Set<F> {}
// A child never moves with the set: it lies in a page (invariant 3).
impl<F> Unpin for Set<F> {}

impl<F> Set<F> {
    const SLOT: Layout = Layout::new::<Child<F>>();

    pub(crate) const fn new() -> Self {
        Self { schedule: None, len: 0, unstarted: 0, children: PhantomData }
    }

    /// Makes room for `children` more, exactly or with some to grow.
    pub(crate) fn reserve(&mut self, children: usize, exactly: bool) {
        let children = self.len.saturating_add(children);
        assert!(children <= MAX_CHILDREN, "{TOO_MANY}");
        if children > 0 {
            let least = if exactly { 1 } else { ScheduleBox::first_page_slots(Self::SLOT) };
            let schedule = self
                .schedule
                .get_or_insert_with(|| ScheduleBox::new(children.max(least), Self::SLOT));
            schedule.reserve(children, exactly, Self::SLOT);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of children that may be polled.
    pub(crate) fn running(&self) -> usize {
        self.len - self.unstarted
    }

    /// Stores a child, and lets it be polled if it is to `start` at once.
    #[inline]
    pub(crate) fn insert(&mut self, index: u64, future: F, start: bool) -> Slot {
        let first = || ScheduleBox::new(ScheduleBox::first_page_slots(Self::SLOT), Self::SLOT);
        let slot = self.schedule.get_or_insert_with(first).claim(Self::SLOT, start);
        // SAFETY: the slot was free, so nothing is overwritten (invariant 3).
        unsafe { self.child(slot).write(Child { index, future }) };
        self.len += 1;
        self.unstarted += usize::from(!start);
        slot
    }

    /// Stores and starts children, and counts them with `index`.
    #[inline]
    pub(crate) fn extend(&mut self, index: &mut u64, children: impl Iterator<Item = F>) {
        let mut children = children.fuse();
        while let Some(future) = children.next() {
            let Slot { page, .. } = self.insert(*index, future, true);
            *index += 1;
            let Some(schedule) = &mut self.schedule else { break };
            schedule.fill(page, |slots, slot| {
                let Some(future) = children.next() else { return false };
                let child = Child { index: *index, future };
                // SAFETY: the page has this slot, laid out by `SLOT`; it is free, as in `insert` (invariant
                // 3).
                unsafe { slots.cast::<Child<F>>().add(slot as usize).write(child) };
                *index += 1;
                self.len += 1;
                true
            });
        }
    }

    /// Stores and starts the children of a row, which is empty then, and counts them with `index`.
    ///
    /// As [`extend`](Self::extend), but that each child is copied right to its slot, and not through an
    /// iterator.
    #[inline]
    pub(crate) fn append(&mut self, index: &mut u64, row: &mut Vec<F>) {
        let children = row.len();
        self.reserve(children, false);
        let Some(schedule) = &mut self.schedule else { return };
        let mut next = row.as_ptr();
        // SAFETY: 0 is within the capacity. The children are moved out below; where that unwinds, they leak.
        unsafe { row.set_len(0) };
        let mut left = children;
        let mut store = |slots: NonNull<u8>, slot: u32| {
            // SAFETY: the page has this slot, laid out by `SLOT`; it is free, as in `insert` (invariant
            // 3). What is copied was in the row, each child once, and the row keeps its buffer, as it is
            // borrowed.
            unsafe {
                let child = slots.cast::<Child<F>>().add(slot as usize).as_ptr();
                ptr::copy_nonoverlapping(next, &raw mut (*child).future, 1);
                (&raw mut (*child).index).write(*index);
                next = next.add(1);
            }
            *index += 1;
            left -= 1;
            left > 0
        };
        self.len += children;
        let mut more = children > 0;
        while more {
            let Slot { page, slot } = schedule.claim(Self::SLOT, true);
            more = store(schedule.page(page).slots, slot);
            if more {
                schedule.fill(page, |slots, slot| {
                    more && {
                        more = store(slots, slot);
                        true
                    }
                });
            }
        }
    }

    /// Has the set polled from elsewhere: as the waker of a child does, for none.
    pub(crate) fn bell(&mut self) -> Bell {
        self.reserve(1, false);
        let schedule = self.schedule.as_ref().expect(NO_PAGE);
        // SAFETY: the owner's reference keeps the first page (invariant 8).
        unsafe { Bell::of(schedule.first.header) }
    }

    /// Lets a child be polled, if it is there. It is not running.
    pub(crate) fn start(&mut self, slot: Slot, index: u64) {
        if self.contains(slot, index) {
            self.schedule_mut().start(slot);
            self.unstarted -= 1;
        }
    }

    /// Takes back the start of every child that was never polled, and gives these children.
    pub(crate) fn unstart_fresh(&mut self) -> Vec<(u64, Slot)> {
        let mut fresh = Vec::new();
        let mut page = 0;
        while let Some(slot) =
            self.schedule.as_ref().and_then(|schedule| schedule.first_fresh(page))
        {
            self.schedule_mut().unstart(slot);
            self.unstarted += 1;
            fresh.push((self.index(slot), slot));
            page = slot.page;
        }
        fresh
    }

    /// Whether there is a child of this index in this slot.
    #[inline]
    pub(crate) fn contains(&self, slot: Slot, index: u64) -> bool {
        self.is_stored(slot) && self.index(slot) == index
    }

    fn is_stored(&self, slot: Slot) -> bool {
        // The slot may be that of a key from another set.
        self.schedule.as_ref().is_some_and(|schedule| schedule.is_stored(slot))
    }

    /// The index of the child in a slot that has one.
    pub(crate) fn index(&self, slot: Slot) -> u64 {
        assert!(self.is_stored(slot));
        // SAFETY: there is a child in the slot (invariant 3).
        unsafe { (*self.child(slot)).index }
    }

    /// Gives the children the indices from 0 on, in the order of those they have. Allocates only where
    /// slots were used again in between.
    pub(crate) fn renumber(&mut self) {
        let slots = || self.schedule.iter().flat_map(|schedule| schedule.stored());
        if slots().map(|slot| self.index(slot)).is_sorted() {
            // SAFETY: the caller has the set by `&mut`, and these slots have children (invariant 3).
            unsafe { self.number(slots()) }
        } else {
            let mut in_order = Vec::with_capacity(self.len);
            in_order.extend(slots());
            in_order.sort_unstable_by_key(|&slot| self.index(slot));
            // SAFETY: as above.
            unsafe { self.number(in_order.into_iter()) }
        }
    }

    /// Numbers the children of these slots.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and each slot has a child.
    unsafe fn number(&self, slots: impl Iterator<Item = Slot>) {
        for (index, slot) in (0..).zip(slots) {
            // SAFETY: by the contract, and no waker touches a child (invariant 2).
            unsafe { (*self.child(slot)).index = index };
        }
    }

    /// Drops a child, if it is there.
    pub(crate) fn remove(&mut self, slot: Slot, index: u64) -> bool {
        let is_there = self.contains(slot, index);
        if is_there {
            self.drop_child(slot);
        }
        is_there
    }

    /// Drops all children, in the order of their slots, also where one of them panics in its drop.
    pub(crate) fn clear(&mut self) {
        let mut page = 0;
        while self.len > 0 {
            // The slots are free before foreign code can unwind (invariant 4).
            let stored = self.vacate(page, usize::MAX);
            let mut clearing = Clearing { set: self, page, stored };
            clearing.drop_children();
            mem::forget(clearing);
            page += 1;
        }
    }

    fn drop_child(&mut self, slot: Slot) {
        // The slot is free before foreign code can unwind (invariant 4).
        self.vacate(slot.page, 1 << slot.slot);
        // SAFETY: there was a child in the slot, and it is dropped where it lies, once, as the
        // slot is free from now on (invariant 3).
        unsafe { ptr::drop_in_place(&raw mut (*self.child(slot)).future) };
    }

    /// Marks slots of a page as free, and gives those that had a child.
    #[inline]
    fn vacate(&mut self, page: u32, slots: usize) -> usize {
        let (stored, unstarted) = self.schedule_mut().vacate(page, slots);
        self.len -= stored.count_ones() as usize;
        self.unstarted -= unstarted.count_ones() as usize;
        stored
    }

    /// The schedule of a set with a slot.
    #[inline]
    fn schedule_mut(&mut self) -> &mut Schedule {
        self.schedule.as_mut().expect(NO_PAGE)
    }

    /// Where the child of a slot lies, if there is one.
    #[inline]
    fn child(&self, slot: Slot) -> *mut Child<F> {
        let schedule = self.schedule.as_ref().expect(NO_PAGE);
        let slots = schedule.page(slot.page).slots.cast::<Child<F>>();
        // SAFETY: a page has the slots that the schedule knows, laid out by `SLOT` (invariant 3).
        unsafe { slots.add(slot.slot as usize) }.as_ptr()
    }
}

impl<F: Future> Set<F> {
    /// Polls children that are ready. Of each that is done, `done` is given the index, the output and
    /// the number of children left, until it breaks; `Continue` when no running child is left. When it
    /// unwinds, the caller clears the set.
    #[inline]
    pub(crate) fn poll_each<B>(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        mut done: impl FnMut(u64, F::Output, usize) -> ControlFlow<B>,
    ) -> Poll<ControlFlow<B>> {
        let Self { schedule: Some(schedule), len, unstarted, .. } = self else {
            return Poll::Ready(ControlFlow::Continue(()));
        };
        let schedule: &mut Schedule = schedule;
        // Invariant 6: what an earlier poll left of its round does not count as having looked.
        let mut looked = false;
        loop {
            while let Some(mut left) = schedule.next() {
                while left != 0 {
                    if budget.is_spent() {
                        schedule.put_back(left);
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let slot = left.trailing_zeros();
                    left &= left - 1;
                    let turn = schedule.turn();
                    // SAFETY: the slot is one of the page that has its turn, which the owner's
                    // reference keeps while the child is polled (invariant 8).
                    let (child, waker) = unsafe {
                        let child = turn.slots.cast::<Child<F>>().add(slot as usize);
                        (child.as_ptr(), waker::of_slot(turn.header, slot))
                    };
                    // SAFETY: `next` gives out slots with a running child. It is pinned: it stays in
                    // its slot until it is dropped there (invariant 3).
                    let future = unsafe { Pin::new_unchecked(&mut (*child).future) };
                    let poll = future.poll(&mut Context::from_waker(&waker));
                    budget.polls -= 1;
                    let Poll::Ready(output) = poll else {
                        budget.wait(schedule.is_woken(slot), schedule.turn().is_fresh(slot));
                        continue;
                    };
                    // The slot is free before foreign code can unwind (invariant 4).
                    schedule.finish(slot);
                    *len -= 1;
                    // SAFETY: there was a child in the slot, and it is dropped where it lies, once, as
                    // the slot is free from now on (invariant 3).
                    let index = unsafe {
                        ptr::drop_in_place(&raw mut (*child).future);
                        (*child).index
                    };
                    let flow = done(index, output, *len);
                    if flow.is_break() {
                        schedule.put_back(left);
                        return Poll::Ready(flow);
                    }
                }
            }
            if *len == *unstarted {
                return Poll::Ready(ControlFlow::Continue(()));
            }
            if !looked {
                schedule.begin_round();
                looked = true;
            } else if schedule.is_armed_for(cx.waker()) || !schedule.arm(cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl<F> Drop for Set<F> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Budget {
    /// What a poll may do where there are few children.
    const MIN_POLLS: usize = 256;
    /// Child polls that may end pending, of children that had been woken. They may have been told to
    /// let the executor go on, as tokio's budget tells everyone in a task once it is used up: polling
    /// all the others to hear the same is quadratic work (futures-rs issue 2526).
    const PATIENCE: u32 = 256;
    /// What a child costs that wakes itself while it is polled: more than others, as this is the clearer
    /// sign. Tokio mostly does not show it, since it puts such wakes off until the task has returned.
    const SELF_WAKE: u32 = 8;

    /// Enough to poll each of `children` once: while the patience lasts, a child that fails is seen in
    /// the poll that its wake led to, however many there are.
    #[inline]
    pub(crate) fn new(children: usize) -> Self {
        Self { polls: children.max(Self::MIN_POLLS), patience: Self::PATIENCE }
    }

    /// Accounts for work that is none of a child: it costs as much as a poll.
    pub(crate) fn charge(&mut self) {
        self.polls = self.polls.saturating_sub(1);
    }

    /// Accounts for a child that stays pending.
    #[inline]
    fn wait(&mut self, is_woken: bool, is_fresh: bool) {
        let price = if is_woken { Self::SELF_WAKE } else { (!is_fresh).into() };
        self.patience = self.patience.saturating_sub(price);
    }

    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.polls == 0 || self.patience == 0
    }
}

impl<F> Clearing<'_, F> {
    fn drop_children(&mut self) {
        while self.stored != 0 {
            let slot = Slot { page: self.page, slot: self.stored.trailing_zeros() };
            self.stored &= self.stored - 1;
            // SAFETY: there was a child in the slot, and it is dropped where it lies, once, as the
            // slot is free from now on (invariant 3).
            unsafe { ptr::drop_in_place(&raw mut (*self.set.child(slot)).future) };
        }
    }
}

impl<F> Drop for Clearing<'_, F> {
    fn drop(&mut self) {
        self.drop_children();
        self.set.clear();
    }
}
