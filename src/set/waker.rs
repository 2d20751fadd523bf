//! The children's wakers: a pointer to the child's byte in its page, which says which slot it is. And
//! the bell, which is the waker of no child.

use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

use super::page::{self, Header};
use crate::sync::Ordering;

/// Has the set polled. It keeps the first page, and with it the hub.
pub(crate) struct Bell(NonNull<Header>);

// SAFETY: what it touches is atomic, as for a waker, or used with a ticket (invariants 2 and 7).
unsafe impl Send for Bell {}
// SAFETY: as above.
unsafe impl Sync for Bell {}

impl Bell {
    /// The bell of a set, by its first page.
    ///
    /// # Safety
    ///
    /// The caller knows of a reference to the page that is not released meanwhile.
    pub(super) unsafe fn of(first: NonNull<Header>) -> Self {
        // SAFETY: by the contract.
        unsafe { page::retain(first) };
        Self(first)
    }

    /// Wakes the task, where it waits for the set and was not woken since.
    pub(crate) fn ring(&self) {
        // SAFETY: the reference of the bell keeps the page, and that the hub (invariant 8).
        let hub = unsafe { self.0.as_ref().hub.as_ref() };
        if hub.ready.ring() {
            // SAFETY: the ticket is used here and nowhere else (invariant 7).
            unsafe { hub.task.notify() }
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: the bell's reference, given back once (invariant 8).
        unsafe { page::release(self.0) }
    }
}

/// The waker of a slot, without a reference of its own; a clone of it has one.
///
/// # Safety
///
/// The page has a slot of this number, and outlives the waker.
#[inline]
pub(super) unsafe fn of_slot(header: NonNull<Header>, slot: u32) -> ManuallyDrop<Waker> {
    // SAFETY: the byte lies inside the page (the caller's contract); the vtable below keeps the
    // contract of `RawWaker`: it is thread safe, and counts a reference for each clone.
    ManuallyDrop::new(unsafe {
        let byte = page::slot_byte(header, slot);
        Waker::from_raw(RawWaker::new(byte.cast_const().cast(), &VTABLE))
    })
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

unsafe fn clone(byte: *const ()) -> RawWaker {
    // SAFETY: `byte` comes from `of_slot`, and the waker being cloned keeps the page.
    let (header, _) = unsafe { page::of_byte(byte.cast()) };
    // SAFETY: as above.
    unsafe { page::retain(header) };
    RawWaker::new(byte, &VTABLE)
}

unsafe fn wake(byte: *const ()) {
    // Given back at the end, also when the task's waker panics.
    let _reference = Reference(byte);
    // SAFETY: the waker's reference keeps the page until the end.
    unsafe { wake_by_ref(byte) }
}

unsafe fn wake_by_ref(byte: *const ()) {
    // SAFETY: `byte` comes from `of_slot`, and the caller's waker keeps the page.
    let (header, slot) = unsafe { page::of_byte(byte.cast()) };
    // SAFETY: a shared look at atomics and constants is all a waker needs (invariant 2), and the
    // page keeps the hub (invariant 8).
    let (page, hub) = unsafe { (header.as_ref(), header.as_ref().hub.as_ref()) };
    let ticket = if page.number == 0 {
        hub.ready.wake_first(slot)
    } else {
        // Ordering: Relaxed. The load spares the hub the wakes of a page that is ready anyway.
        page.ready.load(Ordering::Relaxed) == 0 && hub.ready.wake_lead(page.number, slot)
            // Ordering: Release hands what the waker has seen to the owner's swap in `begin_turn`;
            // Acquire pairs with that swap: the owner read the page's link before `push` writes it.
            || page.ready.fetch_or(1 << slot, Ordering::AcqRel) == 0 && hub.ready.push(page)
    };
    if ticket {
        // SAFETY: the ticket is used here and nowhere else (invariant 7).
        unsafe { hub.task.notify() }
    }
}

unsafe fn drop_waker(byte: *const ()) {
    drop(Reference(byte));
}

/// The reference of a waker that is being consumed.
struct Reference(*const ());

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: the byte comes from `of_slot`, and the reference keeps its page until here
        // (invariant 8).
        unsafe {
            let (header, _) = page::of_byte(self.0.cast());
            page::release(header);
        }
    }
}

#[cfg(all(test, errgroup_loom))]
mod races {
    use core::alloc::Layout;

    use loom::thread;

    use super::{super::page::Page, *};
    use crate::sync::model;

    /// That each page is freed once, after every access, is for loom to see.
    #[test]
    fn references_are_given_back_in_any_order() {
        model(5, || {
            let first = Page::first(1, Layout::new::<()>());
            // SAFETY: the first page is there.
            let second = unsafe { Page::another(first.header, 1, 1, Layout::new::<()>()) };
            let clones = [first.header, second.header].map(|page| {
                // SAFETY: the page has one slot, and the clone keeps it.
                let waker = Waker::clone(&*unsafe { of_slot(page, 0) });
                thread::spawn(move || drop(waker.clone()))
            });
            for page in [first, second] {
                // SAFETY: the owner's reference.
                unsafe { page::release(page.header) }
            }
            clones.into_iter().for_each(|clone| clone.join().unwrap());
        });
    }
}
