//! Where the schedule lies, and its end.

use alloc::vec::Vec;
use core::{
    alloc::Layout,
    mem::{self, MaybeUninit},
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use super::{
    page::{self, Header, Hub, Page},
    ready::FIRST_PAGE_SLOTS,
    schedule::Schedule,
};

/// The owner's schedule. It lies in the hub, so that moving a set moves a pointer.
pub(super) struct ScheduleBox(NonNull<Hub>);

/// Gives the pages back, also when the waker of the task panics in its drop.
struct Exit {
    first: NonNull<Header>,
    others: Vec<Page>,
}

impl ScheduleBox {
    /// A schedule with a new first page, which has as many slots as are asked for if a first
    /// page may have them.
    pub(super) fn new(slots: usize, slot_layout: Layout) -> Self {
        let capacity = slots.clamp(1, FIRST_PAGE_SLOTS as usize);
        let first = Page::first(capacity as u32, slot_layout);
        // SAFETY: the page is there, with its hub (invariant 8), and nobody else knows of it.
        unsafe {
            let hub = first.header.as_ref().hub;
            hub.as_ref().schedule.get().write(MaybeUninit::new(Schedule::new(first, capacity)));
            Self(hub)
        }
    }

    /// The slots that a first page has by itself.
    pub(super) fn first_page_slots(slot_layout: Layout) -> usize {
        // As a `Vec` begins, where children are large.
        if slot_layout.size() > 64 { 4 } else { 8 }
    }

    #[inline]
    fn schedule(&self) -> *mut Schedule {
        // SAFETY: the owner's reference to the first page keeps the hub (invariant 8).
        unsafe { self.0.as_ref() }.schedule.get().cast()
    }
}

impl Deref for ScheduleBox {
    type Target = Schedule;

    #[inline]
    fn deref(&self) -> &Schedule {
        // SAFETY: written by `new`, and touched by the owner alone (invariant 2).
        unsafe { &*self.schedule() }
    }
}

impl DerefMut for ScheduleBox {
    #[inline]
    fn deref_mut(&mut self) -> &mut Schedule {
        // SAFETY: as in `deref`.
        unsafe { &mut *self.schedule() }
    }
}

impl Drop for ScheduleBox {
    /// The owner's exit.
    fn drop(&mut self) {
        let others = mem::take(&mut self.others);
        let exit = Exit { first: self.first.header, others };
        let shared = !self.first.is_unshared(exit.others.len())
            || exit.others.iter().any(|page| !page.is_unshared(0));
        let hub = self.hub();
        if shared {
            // A late wake gets as far as this word, and no further.
            let issued = self.issued.wrapping_add(hub.ready.close().has_ticket().into());
            // SAFETY: the word is closed, and this was the last ticket (invariant 7).
            unsafe { hub.task.end(issued) }
        } else {
            // SAFETY: a notifier has a waker's reference to a page, and there is none (invariant
            // 8).
            unsafe { hub.task.end_unshared() }
        }
        drop(exit);
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        for page in &self.others {
            // SAFETY: the owner's reference; the set has dropped the children (invariants 3 and 8).
            unsafe { page::release(page.header) }
        }
        // SAFETY: as above.
        unsafe { page::release(self.first) }
    }
}
