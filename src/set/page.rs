//! A page: one allocation with a header of atomics, a byte for each slot, and the slots.

use alloc::alloc::handle_alloc_error;
use core::{alloc::Layout, cell, mem::MaybeUninit, ptr::NonNull};

use super::{
    ready::{FIRST_PAGE_SLOTS, Ready},
    schedule::Schedule,
    task::Task,
};
use crate::sync::{AtomicUsize, Ordering, UnsafeCell, alloc, dealloc};

/// Slots that a page may have. Few under loom, so that a few children fill several pages.
pub(super) const PAGE_SLOTS: u32 = if cfg!(errgroup_loom) { 2 } else { usize::BITS };

/// What all pages of a set share. It lies before the header of the first page, in one allocation.
#[repr(C)]
pub(super) struct Hub {
    pub(super) ready: Ready,
    pub(super) task: Task,
    /// The owner's, and dropped with it: no waker touches it (invariant 2).
    pub(super) schedule: cell::UnsafeCell<MaybeUninit<Schedule>>,
}

/// What a waker sees of a page: atomics and constants (invariant 2), and a mark for loom.
#[repr(C)]
pub(super) struct Header {
    /// One for the owner, one for each waker, and in the first page one for each other page.
    refs: AtomicUsize,
    /// A bit for each slot that was woken. Unused in the first page, whose bits are in the hub.
    pub(super) ready: AtomicUsize,
    /// The number of the page below this one on the stack. Meaningful only while on the stack.
    pub(super) next: AtomicUsize,
    pub(super) hub: NonNull<Hub>,
    pub(super) number: u32,
    layout: Layout,
    /// Read where a reference is given back, written where the page ends: this is how loom sees that
    /// one comes before the other.
    alive: UnsafeCell<()>,
}

/// The owner's side of a page.
pub(super) struct Page {
    pub(super) header: NonNull<Header>,
    /// The slots, whose type only the set knows.
    pub(super) slots: NonNull<u8>,
    /// A bit for each slot there is.
    pub(super) all: usize,
    /// A bit for each slot with a child in it.
    pub(super) stored: usize,
    /// A bit for each slot whose child may not be polled yet.
    pub(super) unstarted: usize,
    /// A bit for each running child that waits for its first poll: adding costs no atomic.
    pub(super) fresh: usize,
    /// A bit for each child that is known to be woken and waits for the turn of its page.
    pub(super) lead: usize,
    /// The page after this one in the round, or 0.
    pub(super) next_in_round: u32,
    /// The page after this one among those with a free slot, or 0.
    pub(super) next_free: u32,
    /// Whether it is in the round, or in the next one.
    pub(super) in_round: bool,
    /// Whether it came from the ready stack and its ready bits are yet to be taken.
    pub(super) woken: bool,
}

const _: () = assert!(align_of::<Hub>() == align_of::<Header>());

impl Page {
    /// The first page, with the hub before it.
    pub(super) fn first(slots: u32, slot_layout: Layout) -> Self {
        debug_assert!((1..=FIRST_PAGE_SLOTS).contains(&slots));
        let (start, layout, first_slot) = allocate(size_of::<Hub>(), slots, slot_layout);
        let hub = start.cast::<Hub>();
        // SAFETY: the allocation begins with room for a hub, and the header comes right after it,
        // as their alignments are the same.
        unsafe {
            hub.write(Hub {
                ready: Ready::new(),
                task: Task::new(),
                schedule: cell::UnsafeCell::new(MaybeUninit::uninit()),
            });
            Self::at(hub.add(1).cast(), hub, 0, slots, layout, first_slot)
        }
    }

    /// Another page.
    ///
    /// # Safety
    ///
    /// `first` is the header of the first page, and `number` is not 0 and no other page's.
    pub(super) unsafe fn another(
        first: NonNull<Header>,
        number: u32,
        slots: u32,
        slot_layout: Layout,
    ) -> Self {
        debug_assert!((1..=PAGE_SLOTS).contains(&slots));
        let (start, layout, first_slot) = allocate(0, slots, slot_layout);
        // SAFETY: the first page is alive, as it is the owner's; its hub lives as long as the
        // reference taken here (invariant 8). The allocation begins with room for a header.
        unsafe {
            retain(first);
            Self::at(start.cast(), first.as_ref().hub, number, slots, layout, first_slot)
        }
    }

    /// # Safety
    ///
    /// There is room at `header` for a header and a table of as many bytes as slots.
    unsafe fn at(
        header: NonNull<Header>,
        hub: NonNull<Hub>,
        number: u32,
        slots: u32,
        layout: Layout,
        first_slot: NonNull<u8>,
    ) -> Self {
        // SAFETY: by the contract there is room for both.
        unsafe {
            header.write(Header {
                refs: AtomicUsize::new(1),
                ready: AtomicUsize::new(0),
                next: AtomicUsize::new(0),
                hub,
                number,
                layout,
                alive: UnsafeCell::new(()),
            });
            // Eight bytes at a time: a first page has no more by itself.
            let table = slot_byte(header, 0).cast::<[u8; 8]>();
            let mut bytes = u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
            for eight in 0..table_size(slots) / 8 {
                table.add(eight).write(bytes.to_ne_bytes());
                bytes = bytes.wrapping_add(u64::from_ne_bytes([8; 8]));
            }
        }
        Self {
            header,
            slots: first_slot,
            all: usize::MAX >> (usize::BITS - slots),
            stored: 0,
            unstarted: 0,
            fresh: 0,
            lead: 0,
            next_in_round: 0,
            next_free: 0,
            in_round: false,
            woken: false,
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.stored == self.all
    }

    /// The first free slot of a page that is not full.
    #[inline]
    pub(super) fn vacant(&self) -> u32 {
        (!self.stored).trailing_zeros()
    }

    /// Takes a free slot for a child, which is to `start` at once or waits.
    #[inline]
    pub(super) fn claim(&mut self, slot: u32, start: bool) {
        self.stored |= 1 << slot;
        if start {
            self.fresh |= 1 << slot;
        } else {
            self.unstarted |= 1 << slot;
        }
    }

    /// The slots whose children may be polled.
    #[inline]
    pub(super) const fn running(&self) -> usize {
        self.stored & !self.unstarted
    }

    /// Whether nobody but the owner, and `others`, has a reference.
    pub(super) fn is_unshared(&self, others: usize) -> bool {
        // SAFETY: the owner's reference keeps the page.
        // Ordering: Acquire pairs with the Release in `release`: the wakers' accesses came before.
        unsafe { self.header.as_ref() }.refs.load(Ordering::Acquire) == 1 + others
    }
}

/// The byte of a slot: where its waker points.
///
/// # Safety
///
/// `header` is the header of a page with more than `slot` slots.
#[inline]
pub(super) unsafe fn slot_byte(header: NonNull<Header>, slot: u32) -> *mut u8 {
    // SAFETY: the bytes lie right after the header, one for each slot.
    unsafe { header.as_ptr().add(1).cast::<u8>().add(slot as usize) }
}

/// The page and slot that a byte belongs to.
///
/// # Safety
///
/// `byte` comes from [`slot_byte`] and its page is alive.
#[inline]
pub(super) unsafe fn of_byte(byte: *const u8) -> (NonNull<Header>, u32) {
    // SAFETY: the byte holds the number of its slot and is never written again, so that many bytes
    // before it lies the end of the header, in the same allocation.
    unsafe {
        let slot = *byte;
        let header = byte.sub(slot as usize).cast::<Header>().sub(1).cast_mut();
        (NonNull::new_unchecked(header), u32::from(slot))
    }
}

/// Takes a reference to a page.
///
/// # Safety
///
/// The caller knows of a reference that is not released meanwhile.
#[inline]
pub(super) unsafe fn retain(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the page.
    // Ordering: Relaxed, as in `Arc`: whoever clones has a reference already.
    let refs = unsafe { header.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
    if refs > isize::MAX as usize {
        overflow();
    }
}

/// Gives back a reference, and with the last one the memory of the page.
///
/// # Safety
///
/// The reference is the caller's. The owner has dropped every child before it gives its own.
#[inline]
pub(super) unsafe fn release(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the page.
    let Header { refs, alive, .. } = unsafe { header.as_ref() };
    alive.with(|_| ());
    // Ordering: Acquire pairs with the Release below: no access to the page comes after its end.
    // The load comes first for the group that nobody else has a waker of: it does no atomic
    // read-modify-write at all. It is a load again after the last release, not a fence, because
    // ThreadSanitizer knows no fences.
    let is_last = refs.load(Ordering::Acquire) == 1
        || refs.fetch_sub(1, Ordering::Release) == 1 && {
            refs.load(Ordering::Acquire);
            true
        };
    if is_last {
        // SAFETY: that was the last reference.
        unsafe { free(header) };
    }
}

/// # Safety
///
/// There is no reference left, and no child in the slots.
#[cold]
unsafe fn free(header: NonNull<Header>) {
    // SAFETY: nobody else uses the page. The hub lies right before the first header, which is
    // found from there (invariant 8) and still has the reference that is given back here.
    unsafe {
        let Header { hub, number, layout, alive, .. } = header.read();
        alive.with_mut(|_| ());
        if number == 0 {
            hub.drop_in_place();
            dealloc(hub.as_ptr().cast(), layout);
        } else {
            dealloc(header.as_ptr().cast(), layout);
            release(hub.add(1).cast());
        }
    }
}

/// Memory for `prefix` bytes, a header, a byte for each slot, and the slots, which begin at the last
/// pointer.
fn allocate(prefix: usize, slots: u32, slot_layout: Layout) -> (NonNull<u8>, Layout, NonNull<u8>) {
    let align = slot_layout.align().max(align_of::<Header>());
    let table_end = prefix + size_of::<Header>() + table_size(slots);
    // Rounded up without a division, as an alignment is a power of two.
    let offset = (table_end + align - 1) & !(align - 1);
    let layout = (slot_layout.size().checked_mul(slots as usize))
        .and_then(|size| size.checked_add(offset))
        .and_then(|size| Layout::from_size_align(size, align).ok())
        .expect("the children of a group need more memory than there can be");
    // SAFETY: the layout has the size of a header at least; the slots lie inside it.
    unsafe {
        let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
        (start, layout, start.add(offset))
    }
}

/// A byte for each slot, in whole eights.
fn table_size(slots: u32) -> usize {
    slots.next_multiple_of(8) as usize
}

/// As many references as addresses: only leaked wakers get there, and going on would free a page
/// that is in use.
#[cold]
fn overflow() -> ! {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            panic!("a panic while unwinding aborts, also without std");
        }
    }
    let _abort = Abort;
    panic!("a waker was cloned too often");
}
