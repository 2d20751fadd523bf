//! Allocations, counted by a global allocator while a contestant is filled, refilled and polled.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed},
};

use crate::{
    contestants::{Contestant, Set},
    workloads::{Executor, Waiting, Yield, slots, waiting},
};

/// The numbers of waiting children whose memory is counted.
pub const ALLOC_SIZES: [usize; 4] = [3, 100, 1_000, 10_000];

/// What is allocated for each child.
pub struct Cost {
    /// How often.
    pub allocations: f64,
    /// The bytes beyond those that the child is, if they were counted: those requested at the peak,
    /// plus the contestant's own size.
    pub bytes: Option<f64>,
}

/// Counts what a collection allocates: with each of [`ALLOC_SIZES`] children waiting; for each child
/// that takes the place of a finished one, in a window of 100; and for each wake and poll of a
/// waiting child which stores a fresh waker, of 100.
///
/// [`CountingAllocator`] must be the global allocator, and no other thread may be at work.
pub fn cost<C: Contestant>() -> Vec<Cost> {
    let rare = [replace::<C>(), poll::<C>()];
    let rare = rare.map(|allocations| Cost { allocations, bytes: None });
    ALLOC_SIZES.map(fill::<C>).into_iter().chain(rare).collect()
}

fn fill<C: Contestant>(n: usize) -> Cost {
    let (executor, slots) = (Executor::new(), slots(n));
    let mut set = None;
    let counted = count(|| set = Some(waiting::<C, false>(&executor, &slots)));
    assert!(slots.iter().all(|slot| slot.polls.get() > 0));
    let children = n * size_of::<Waiting<'_, false>>();
    counted.cost(n, size_of_val(&set) as isize - children as isize)
}

fn replace<C: Contestant>() -> f64 {
    const WARM_UP: usize = 1_000;
    const REPLACED: usize = 10_000;
    let executor = Executor::new();
    let mut set = C::Set::<Yield>::empty();
    for i in 0..100 {
        set.add(Yield::new(i, 1));
    }
    let (mut finished, mut allocations) = (0, 0);
    executor.start();
    let all = executor.run(&mut set, |set| {
        finished += 1;
        if finished == WARM_UP {
            start();
        }
        if finished == WARM_UP + REPLACED {
            allocations = stop().allocations;
        }
        if finished < WARM_UP + REPLACED {
            set.add(Yield::new(finished, 1));
        }
    });
    assert!(all && finished == WARM_UP + REPLACED + 99);
    allocations as f64 / REPLACED as f64
}

fn poll<C: Contestant>() -> f64 {
    const ROUNDS: usize = 100;
    let (executor, slots) = (Executor::new(), slots(100));
    let mut set = waiting::<C, true>(&executor, &slots);
    let mut rounds = |rounds| {
        for _ in 0..rounds {
            for slot in &slots {
                slot.take();
            }
            executor.settle(&mut set);
        }
    };
    rounds(10);
    let counted = count(|| rounds(ROUNDS));
    assert!(slots.iter().all(|slot| slot.polls.get() > ROUNDS));
    counted.allocations as f64 / (ROUNDS * slots.len()) as f64
}

/// The system's allocator, counting at times. Elsewhere it adds one branch to each allocation, so
/// that it does not burden the contestants which allocate most in the timed workloads.
pub struct CountingAllocator;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

pub(crate) struct Counted {
    allocations: usize,
    peak: isize,
}

impl Counted {
    /// Per child, with so many bytes added to what was requested.
    pub(crate) fn cost(&self, children: usize, bytes: isize) -> Cost {
        Cost {
            allocations: self.allocations as f64 / children as f64,
            bytes: Some((self.peak + bytes) as f64 / children as f64),
        }
    }
}

pub(crate) fn count(work: impl FnOnce()) -> Counted {
    start();
    work();
    let counted = stop();
    // Whoever counts gets this far only if the allocator does count.
    start();
    drop(black_box(Box::new(1)));
    assert_eq!(stop().allocations, 1, "the global allocator does not count");
    counted
}

fn start() {
    ALLOCATIONS.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
}

fn stop() -> Counted {
    COUNTING.store(false, Relaxed);
    Counted { allocations: ALLOCATIONS.load(Relaxed), peak: PEAK.load(Relaxed) }
}

fn grow(from: usize, to: usize) {
    if COUNTING.load(Relaxed) {
        let delta = to as isize - from as isize;
        let live = LIVE.fetch_add(delta, Relaxed) + delta;
        PEAK.fetch_max(live, Relaxed);
        if to > 0 {
            ALLOCATIONS.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: each method passes its arguments on to `System`, under the contract it has itself.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(0, layout.size());
        // SAFETY: as for the whole `impl`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(0, layout.size());
        // SAFETY: as for the whole `impl`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(layout.size(), size);
        // SAFETY: as for the whole `impl`.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        grow(layout.size(), 0);
        // SAFETY: as for the whole `impl`.
        unsafe { System.dealloc(memory, layout) }
    }
}
