//! Which slot is next: to store a child in, and to poll.
//!
//! The owner works in rounds. A round takes all that is ready at once, and polls each child of it
//! once, page by page; what is woken or added behind it waits for the next round.

use alloc::vec::Vec;
use core::{alloc::Layout, mem, ptr::NonNull, task::Waker};

use super::{
    page::{Header, Hub, PAGE_SLOTS, Page},
    ready::{MAX_PAGES, Taken},
};
use crate::sync::Ordering;

/// A bound above what a set can hold: more is refused before it allocates.
pub(super) const MAX_CHILDREN: usize = MAX_PAGES * PAGE_SLOTS as usize;
pub(super) const TOO_MANY: &str = "too many children in one group";

/// A slot of the set: the number of its page, and its own within the page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Slot {
    pub(super) page: u32,
    pub(super) slot: u32,
}

/// The pages of a set, and the round that is under way.
pub(super) struct Schedule {
    pub(super) first: Page,
    /// Page `n` is at `n - 1`.
    pub(super) others: Vec<Page>,
    /// The slots of all pages.
    capacity: usize,
    turn: Turn,
    /// The pages that follow in this round, linked by `next_in_round`.
    round: u32,
    /// Other pages with fresh children, which begin the next round.
    next_round: u32,
    next_round_end: u32,
    /// The pages with a free slot, except the first, linked by `next_free`: new pages at the end,
    /// so that the order of slots is the order of insertion, and reused ones at the head.
    free: u32,
    free_end: u32,
    /// Whether the ready word is held: nobody is notified, and the task's waker may be stored.
    held: bool,
    /// Tickets that the ready word has given out and the owner has seen (invariant 7).
    pub(super) issued: usize,
}

/// The turn of one page within a round.
pub(super) struct Turn {
    page: u32,
    /// The slots that are still to be polled.
    left: usize,
    /// The slots that were fresh as the turn began: of those in `left`, the child was never polled.
    fresh: usize,
    /// As in the page, which is one step further away.
    pub(super) header: NonNull<Header>,
    pub(super) slots: NonNull<u8>,
}

/// Starts the children of these slots at its end, in one step for all of a page.
struct Filling<'a> {
    page: &'a mut Page,
    slots: usize,
}

impl Turn {
    #[inline]
    const fn of(number: u32, page: &Page, ready: usize, fresh: usize) -> Self {
        let left = (ready | fresh) & page.running();
        Self { page: number, left, fresh, header: page.header, slots: page.slots }
    }

    /// Whether the child of a slot had its first poll in this turn, or is to have it.
    #[inline]
    pub(super) fn is_fresh(&self, slot: u32) -> bool {
        self.fresh & 1 << slot != 0
    }
}

impl Schedule {
    pub(super) fn new(first: Page, capacity: usize) -> Self {
        Self {
            capacity,
            turn: Turn::of(0, &first, 0, 0),
            first,
            others: Vec::new(),
            round: 0,
            next_round: 0,
            next_round_end: 0,
            free: 0,
            free_end: 0,
            held: true,
            issued: 0,
        }
    }

    #[inline]
    pub(super) fn page(&self, number: u32) -> &Page {
        if number == 0 { &self.first } else { &self.others[number as usize - 1] }
    }

    #[inline]
    fn page_mut(&mut self, number: u32) -> &mut Page {
        if number == 0 { &mut self.first } else { &mut self.others[number as usize - 1] }
    }

    pub(super) fn pages(&self) -> u32 {
        // `MAX_PAGES` fits.
        self.others.len() as u32 + 1
    }

    /// Makes room for so many children in all, exactly or, as a `Vec` does, with some more.
    pub(super) fn reserve(&mut self, children: usize, exactly: bool, slot_layout: Layout) {
        while self.capacity < children {
            let missing = children - self.capacity;
            let least = if exactly { 1 } else { self.next_page() };
            self.grow(missing.max(least), slot_layout);
        }
    }

    /// Takes a free slot for a child, which is to `start` at once or waits.
    #[inline]
    pub(super) fn claim(&mut self, slot_layout: Layout, start: bool) -> Slot {
        let number = if !self.first.is_full() {
            0
        } else {
            if self.free == 0 {
                self.grow(self.next_page(), slot_layout);
            }
            self.free
        };
        let page = self.page_mut(number);
        let slot = page.vacant();
        page.claim(slot, start);
        let full = page.is_full().then_some(page.next_free);
        let joins_round = start && !page.in_round;
        if number != 0 {
            if let Some(next_free) = full {
                self.free = next_free;
            }
            if joins_round {
                self.put_in_next_round(number);
            }
        }
        Slot { page: number, slot }
    }

    /// Takes the other free slots of a page where a child has just been started, while `store` has a
    /// child for the next.
    #[inline]
    pub(super) fn fill(&mut self, number: u32, mut store: impl FnMut(NonNull<u8>, u32) -> bool) {
        let page = self.page_mut(number);
        if page.is_full() {
            return;
        }
        let mut vacant = page.all & !page.stored;
        let mut filling = Filling { page, slots: 0 };
        while vacant != 0 {
            let slot = vacant.trailing_zeros();
            // It is free until there is a child in it: `store` may unwind (invariant 4).
            if !store(filling.page.slots, slot) {
                return;
            }
            filling.slots |= 1 << slot;
            vacant &= vacant - 1;
        }
        drop(filling);
        if number != 0 {
            self.free = self.page(number).next_free;
        }
    }

    /// The slots of the next page, where one more child is to be stored.
    fn next_page(&self) -> usize {
        2 * self.page(self.pages() - 1).all.count_ones() as usize
    }

    /// Adds a page of `slots` slots, or as many as a page may have.
    #[cold]
    fn grow(&mut self, slots: usize, slot_layout: Layout) {
        let number = self.pages();
        assert!((number as usize) < MAX_PAGES, "{TOO_MANY}");
        let slots = slots.clamp(1, PAGE_SLOTS as usize) as u32;
        self.others.reserve(1);
        // SAFETY: the first page is there and the owner's (invariant 8); numbers count up.
        let page = unsafe { Page::another(self.first.header, number, slots, slot_layout) };
        self.others.push(page);
        if self.free == 0 {
            self.free = number;
        } else {
            let end = self.free_end;
            self.page_mut(end).next_free = number;
        }
        self.free_end = number;
        self.capacity += slots as usize;
    }

    /// Lets a stored child be polled: in the next round, or in this one if its page is yet to come.
    #[inline]
    pub(super) fn start(&mut self, Slot { page: number, slot }: Slot) {
        let page = self.page_mut(number);
        debug_assert_ne!(page.unstarted & 1 << slot, 0);
        page.unstarted &= !(1 << slot);
        page.fresh |= 1 << slot;
        if number != 0 && !page.in_round {
            self.put_in_next_round(number);
        }
    }

    /// Puts a page that is in no round at the end of the next. It is not the first.
    #[inline]
    fn put_in_next_round(&mut self, number: u32) {
        let page = self.page_mut(number);
        page.in_round = true;
        page.next_in_round = 0;
        if self.next_round == 0 {
            self.next_round = number;
        } else {
            let end = self.next_round_end;
            self.page_mut(end).next_in_round = number;
        }
        self.next_round_end = number;
    }

    /// The first slot, from a page on, with a child that is running and was never polled.
    pub(super) fn first_fresh(&self, page: u32) -> Option<Slot> {
        (page..self.pages()).find_map(|page| {
            let in_turn = if self.turn.page == page { self.turn.fresh & self.turn.left } else { 0 };
            let fresh = self.page(page).fresh | in_turn;
            (fresh != 0).then(|| Slot { page, slot: fresh.trailing_zeros() })
        })
    }

    /// Takes a start back.
    pub(super) fn unstart(&mut self, Slot { page: number, slot }: Slot) {
        self.end_turn_of(number, 1 << slot);
        let page = self.page_mut(number);
        page.unstarted |= 1 << slot;
        page.fresh &= !(1 << slot);
    }

    /// The slots that have a child.
    pub(super) fn stored(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.pages()).flat_map(|page| {
            let stored = self.page(page).stored;
            let slots = (0..usize::BITS).filter(move |slot| stored & 1 << slot != 0);
            slots.map(move |slot| Slot { page, slot })
        })
    }

    #[inline]
    pub(super) fn is_stored(&self, Slot { page, slot }: Slot) -> bool {
        page < self.pages() && self.page(page).stored & 1 << slot != 0
    }

    /// Marks slots of a page, by their bits, as free again, and gives those that had a child and
    /// those whose child was not started.
    #[inline]
    pub(super) fn vacate(&mut self, number: u32, slots: usize) -> (usize, usize) {
        self.end_turn_of(number, slots);
        let page = self.page_mut(number);
        let (stored, unstarted) = (page.stored & slots, page.unstarted & slots);
        let was_full = page.is_full();
        page.stored &= !slots;
        page.unstarted &= !slots;
        page.fresh &= !slots;
        page.lead &= !slots;
        if was_full {
            self.put_free(number);
        }
        (stored, unstarted)
    }

    /// Marks the slot of a running child as free again, in the turn of its page and after its own.
    #[inline]
    pub(super) fn finish(&mut self, slot: u32) {
        let number = self.turn.page;
        debug_assert_eq!(self.turn.left & 1 << slot, 0);
        let page = self.page_mut(number);
        let was_full = page.is_full();
        page.stored &= !(1 << slot);
        if was_full {
            self.put_free(number);
        }
    }

    /// Takes slots of a page out of its turn, if it has it.
    #[inline]
    fn end_turn_of(&mut self, number: u32, slots: usize) {
        if self.turn.page == number {
            self.turn.left &= !slots;
        }
    }

    /// Puts a page that was full at the head of those with a free slot.
    fn put_free(&mut self, number: u32) {
        if number == 0 {
            return;
        }
        let free = self.free;
        self.page_mut(number).next_free = free;
        self.free = number;
        if free == 0 {
            self.free_end = number;
        }
    }

    /// Whether a child of the page that has its turn was woken since.
    #[inline]
    pub(super) fn is_woken(&self, slot: u32) -> bool {
        // SAFETY: the owner's reference keeps the page, and that keeps the hub (invariant 8).
        let (header, hub) = unsafe {
            let header = self.turn.header.as_ref();
            (header, header.hub.as_ref())
        };
        // Ordering: Relaxed, a hint for fairness only.
        header.ready.load(Ordering::Relaxed) & 1 << slot != 0
            || hub.ready.is_woken(self.turn.page, slot)
    }

    /// The slots that are to be polled next, all of the page that has its [`turn`](Self::turn) then. What
    /// is not polled of them is to be [put back](Self::put_back).
    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.turn.left == 0 {
            if self.round == 0 {
                return None;
            }
            self.begin_turn();
        }
        Some(mem::take(&mut self.turn.left))
    }

    #[inline]
    fn begin_turn(&mut self) {
        let number = self.round;
        let page = self.page_mut(number);
        page.in_round = false;
        let fresh = mem::take(&mut page.fresh);
        let mut ready = mem::take(&mut page.lead);
        if mem::take(&mut page.woken) {
            // SAFETY: the owner's reference keeps the page (invariant 8).
            let header = unsafe { page.header.as_ref() };
            // Ordering: Acquire pairs with the Release in `wake_by_ref`; Release lets the next
            // `push` write the link that `add_to_round` has read.
            ready |= header.ready.swap(0, Ordering::AcqRel);
        }
        (self.turn, self.round) = (Turn::of(number, page, ready, fresh), page.next_in_round);
    }

    /// The page that [`next`](Self::next) is at.
    #[inline]
    pub(super) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Keeps slots of a [`next`](Self::next) for the next one.
    #[inline]
    pub(super) fn put_back(&mut self, left: usize) {
        self.turn.left = left;
    }

    /// Takes all that is ready, when the last round is over.
    #[inline]
    pub(super) fn begin_round(&mut self) {
        let ready = &self.hub().ready;
        let taken = if self.held { ready.hold() } else { ready.take() };
        self.round = mem::take(&mut self.next_round);
        let fresh = mem::take(&mut self.first.fresh);
        self.turn = Turn::of(0, &self.first, 0, fresh);
        self.add_to_round(taken);
    }

    /// Adds what was taken to a round that is at the turn of the first page.
    #[inline]
    fn add_to_round(&mut self, taken: Taken) {
        debug_assert_eq!(self.turn.page, 0);
        self.issued = self.issued.wrapping_add(taken.has_ticket().into());
        self.turn.left |= taken.slots() & self.first.running();
        // The top of the stack came last: each page below goes before it.
        let mut number = taken.head();
        while number != 0 {
            let page = self.page_mut(number);
            page.woken = true;
            // SAFETY: the owner's reference keeps the page (invariant 8).
            let header = unsafe { page.header.as_ref() };
            // Ordering: Relaxed, the Acquire with which the stack was taken came before.
            let below = header.next.load(Ordering::Relaxed) as u32;
            self.put_first(number);
            number = below;
        }
        if let Some((number, slot)) = taken.lead() {
            self.page_mut(number).lead |= 1 << slot;
            self.put_first(number);
        }
    }

    /// Puts a page at the head of the round, where it is not in it already.
    #[inline]
    fn put_first(&mut self, number: u32) {
        let round = self.round;
        let page = self.page_mut(number);
        if !page.in_round {
            page.in_round = true;
            page.next_in_round = round;
            self.round = number;
        }
    }

    /// Whether a wake from now on wakes the task that `waker` wakes.
    #[inline]
    pub(super) fn is_armed_for(&self, waker: &Waker) -> bool {
        // SAFETY: the schedule is the owner's.
        !self.held && unsafe { self.hub().task.is(waker) }
    }

    /// Lets every wake from now on wake the task, when the last round is over. What was ready
    /// before makes the next round; `false` if there was nothing.
    #[cold]
    pub(super) fn arm(&mut self, waker: &Waker) -> bool {
        // The rounds of this poll took all that was started, and nothing is started within a poll.
        debug_assert!(self.first.fresh == 0 && self.next_round == 0);
        // A clone is foreign code: before anything changes.
        let waker = waker.clone();
        if self.held {
            self.turn = Turn::of(0, &self.first, 0, 0);
        } else {
            self.held = true;
            self.begin_round();
        }
        // SAFETY: the schedule is the owner's, the word is held, and its last ticket is counted
        // (invariant 7).
        unsafe { self.hub().task.store(waker, self.issued) }
        self.held = false;
        self.add_to_round(self.hub().ready.take());
        self.turn.left != 0 || self.round != 0
    }

    #[inline]
    pub(super) fn hub(&self) -> &Hub {
        // SAFETY: the owner's reference keeps the first page, and that keeps the hub (invariant 8).
        unsafe { self.first.header.as_ref().hub.as_ref() }
    }
}

impl Drop for Filling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.page.stored |= self.slots;
        self.page.fresh |= self.slots;
    }
}

#[cfg(all(test, errgroup_loom))]
mod races {
    use alloc::sync::Arc;
    use core::iter;

    use loom::{
        sync::{
            Arc as Shared,
            atomic::{AtomicBool, AtomicUsize},
        },
        thread,
    };

    use super::*;
    use crate::{
        set::{
            schedule_box::ScheduleBox,
            stack::Stack,
            waker::{self, Bell},
        },
        sync::{WakeCount, model},
    };

    /// Five running children, all polled once, in three pages: one in the first, two in each other.
    struct Owner {
        schedule: ScheduleBox,
        /// Set before the wake of the child, and handed over by it.
        flags: [[Shared<AtomicBool>; 2]; 3],
        /// The wakes that are over.
        over: Shared<AtomicUsize>,
    }

    impl Owner {
        fn new() -> Self {
            let mut schedule = ScheduleBox::new(1, Layout::new::<()>());
            for _ in 0..5 {
                schedule.claim(Layout::new::<()>(), true);
            }
            schedule.begin_round();
            let started = iter::from_fn(|| schedule.next());
            assert_eq!(started.map(usize::count_ones).sum::<u32>(), 5);
            Self { schedule, flags: Default::default(), over: Default::default() }
        }

        /// A wake of this child, to be made once.
        fn wake_of(&self, (page, slot): (u32, u32)) -> impl FnOnce() + use<> {
            let header = self.schedule.page(page).header;
            // SAFETY: the page has the slot; only the clone outlives this.
            let waker = Waker::clone(&*unsafe { waker::of_slot(header, slot) });
            let flag = self.flags[page as usize][slot as usize].clone();
            let over = self.over.clone();
            move || {
                flag.store(true, Ordering::Relaxed);
                waker.wake();
                over.fetch_add(1, Ordering::Relaxed);
            }
        }

        /// The wakes that are seen to be over.
        ///
        /// To look at them first makes loom try what comes next after whole wakes as well. By itself
        /// it does not where the owner only loads what a waker loads and then changes: it compares the
        /// change with the last access alone, which is the waker's own load.
        fn over(&self) -> usize {
            self.over.load(Ordering::Relaxed)
        }

        /// The children of the next round.
        fn round(&mut self) -> Vec<(u32, u32)> {
            self.schedule.begin_round();
            self.turns()
        }

        /// The children of a round that has begun.
        fn turns(&mut self) -> Vec<(u32, u32)> {
            let mut turns = Vec::new();
            while let Some(slots) = self.schedule.next() {
                let page = self.schedule.turn().page;
                for slot in (0..2).filter(|slot| slots & 1 << slot != 0) {
                    let flag = &self.flags[page as usize][slot as usize];
                    assert!(flag.load(Ordering::Relaxed), "a wake hands over what came before it");
                    turns.push((page, slot));
                }
            }
            turns
        }
    }

    /// Wakes of children, two of them on threads, while the owner does as it is told in `rounds`. `tasks`
    /// are the numbers of two wakers: the one stored before the wakes, if any, and the one that is in
    /// force after `rounds`.
    ///
    /// Each child must have its turn once, and each ticket must have been used and counted once. What
    /// the owner has not seen by its end must have woken the task in force (invariant 6).
    fn race(
        preemptions: usize,
        woken: &'static [(u32, u32)],
        tasks: (Option<usize>, usize),
        rounds: fn(&mut Owner, &Waker) -> Vec<(u32, u32)>,
    ) {
        model(preemptions, move || {
            let mut owner = Owner::new();
            let wakes = [WakeCount::new(), WakeCount::new()];
            let wakers = wakes.clone().map(Waker::from);
            let (before, newest) = tasks;
            if let Some(before) = before {
                assert!(!owner.schedule.arm(&wakers[before]));
            }
            let mut ends = woken.iter().map(|child| owner.wake_of(*child));
            let threads = [(); 2].map(|()| thread::spawn(ends.next().unwrap()));
            ends.for_each(|end| end());
            owner.over();
            let mut turns = rounds(&mut owner, &wakers[newest]);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let seen = owner.schedule.issued;
            let late = owner.round();
            assert_eq!(owner.schedule.issued - seen, usize::from(!late.is_empty()));
            assert!(late.is_empty() || wakes[newest].count() > 0, "the task was not woken");

            turns.extend(late);
            turns.sort_unstable();
            assert_eq!(turns, woken);
            let used = wakes.iter().map(|wakes| wakes.count()).sum::<usize>();
            assert_eq!(used, owner.schedule.issued);
            drop((owner, wakers));
            assert!(wakes.iter().all(|wakes| Arc::strong_count(wakes) == 1), "a waker is kept");
        });
    }

    /// Two children of one page, of two pages, and of the first and another.
    const WOKEN: [&[(u32, u32)]; 3] = [&[(1, 0), (1, 1)], &[(1, 0), (2, 0)], &[(0, 0), (1, 0)]];

    #[test]
    fn wakes_while_rounds_begin_have_one_turn_each() {
        for woken in WOKEN {
            race(3, woken, (Some(0), 0), |owner, _| owner.round());
        }
    }

    #[test]
    fn wakes_while_the_lead_is_taken_have_one_turn_each() {
        race(3, &[(1, 0), (1, 1), (2, 0)], (Some(0), 0), |owner, _| owner.round());
    }

    #[test]
    fn wakes_while_the_first_task_is_stored_have_one_turn_each() {
        for woken in WOKEN {
            race(2, woken, (None, 0), |owner, task| {
                let mut turns = owner.round();
                owner.schedule.arm(task);
                turns.extend(owner.turns());
                turns
            });
        }
    }

    #[test]
    fn wakes_while_the_task_changes_have_one_turn_each() {
        for woken in WOKEN {
            race(2, woken, (Some(0), 1), |owner, task| {
                owner.schedule.arm(task);
                owner.turns()
            });
        }
    }

    /// Two arrive, while the owner does as in a poll: it arms the task, or another one, and then looks at the
    /// stack. Both are found there or wake the task in force (invariant 9), which is let go in the end.
    #[test]
    fn what_arrives_while_the_task_is_stored_is_found_or_wakes_it() {
        for changes in [false, true] {
            model(3, move || {
                let mut owner = Owner::new();
                let wakes = [WakeCount::new(), WakeCount::new()];
                let [before, newest] = wakes.clone().map(Waker::from);
                let stack = Shared::new(Stack::new());
                if changes {
                    assert!(!owner.schedule.arm(&before));
                }
                // SAFETY: the owner's reference keeps the page (invariant 8).
                let bell = Shared::new(unsafe { Bell::of(owner.schedule.first.header) });
                let arrivals = [(); 2].map(|()| {
                    let (stack, bell) = (stack.clone(), bell.clone());
                    thread::spawn(move || {
                        if stack.push(()) == Ok(true) {
                            bell.ring();
                        }
                    })
                });
                let mut found = stack.watch().len();
                owner.schedule.begin_round();
                assert!(!owner.schedule.arm(&newest));
                while !stack.leave() {
                    found += stack.watch().len();
                }
                arrivals.into_iter().for_each(|arrival| arrival.join().unwrap());
                let late = stack.watch().len();
                assert_eq!(found + late, 2);
                assert!(late == 0 || wakes[1].count() > 0, "the task was not woken");
                drop((owner, bell, before, newest));
                assert!(wakes.iter().all(|wakes| Arc::strong_count(wakes) == 1), "a waker is kept");
            });
        }
    }

    #[test]
    fn wakes_while_the_owner_exits_let_go_of_the_task() {
        for woken in WOKEN {
            model(2, move || {
                let mut owner = Owner::new();
                let wakes = WakeCount::new();
                assert!(!owner.schedule.arm(&wakes.clone().into()));
                let ends = woken.iter().map(|child| owner.wake_of(*child));
                let threads: Vec<_> = ends.map(thread::spawn).collect();
                let least = owner.over().min(1);
                drop(owner);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert!((least..=1).contains(&wakes.count()));
                assert_eq!(Arc::strong_count(&wakes), 1, "a waker is kept");
            });
        }
    }
}
