//! The heap: all the RAM that the program leaves, with a count of what it serves.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};

use critical_section::Mutex;
use embedded_alloc::LlffHeap;

/// Handlers allocate for the children that they add, and what one drops may be the last user of some
/// memory. So the heap must be safe in interrupts, as this one is: it masks them while it works.
#[global_allocator]
static HEAP: Counted = Counted {
    heap: LlffHeap::empty(),
    peak: Mutex::new(Cell::new(0)),
    allocations: Mutex::new(Cell::new(0)),
};

struct Counted {
    heap: LlffHeap,
    /// The most that was in use.
    peak: Mutex<Cell<usize>>,
    allocations: Mutex<Cell<u32>>,
}

/// To be called once, before all else.
pub fn init() {
    unsafe extern "C" {
        static __sheap: u8;
        static _ram_end: u8;
    }
    let start = (&raw const __sheap).addr();
    let end = (&raw const _ram_end).addr();
    // SAFETY: the linker gives these addresses, and nothing else lies between them: the stack is
    // elsewhere.
    unsafe { HEAP.heap.init(start, end - start) }
}

pub fn size() -> usize {
    HEAP.heap.used() + HEAP.heap.free()
}

pub fn used() -> usize {
    HEAP.heap.used()
}

/// The most that was in use since it was last reset.
pub fn peak() -> usize {
    critical_section::with(|cs| HEAP.peak.borrow(cs).get())
}

pub fn reset_peak() {
    critical_section::with(|cs| HEAP.peak.borrow(cs).set(used()));
}

pub fn allocations() -> u32 {
    critical_section::with(|cs| HEAP.allocations.borrow(cs).get())
}

// SAFETY: passes everything on to the heap.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        let memory = unsafe { self.heap.alloc(layout) };
        critical_section::with(|cs| {
            let (peak, allocations) = (self.peak.borrow(cs), self.allocations.borrow(cs));
            peak.set(peak.get().max(self.heap.used()));
            allocations.set(allocations.get() + 1);
        });
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.heap.dealloc(memory, layout) }
    }
}
