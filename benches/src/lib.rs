//! What one child costs in a group, and what it costs in the peers: the same eight workloads run
//! on errgroup, four published collections and a bare loop that shows how little there is to do.
//!
//! `cargo run --release -p errgroup-benches` prints the whole comparison as Markdown;
//! `cargo bench -p errgroup-benches` runs the same workloads under criterion.
//!
//! What keeps the comparison fair:
//!
//! - Every contestant is monomorphised, starts empty without a capacity, is filled child by child,
//!   and holds the same child types.
//! - One executor drives all of them. It polls only after a wake, so a collection which yields to
//!   its executor midway pays for its own extra poll, and one which loses a wake fails the run.
//! - Children are small, so that the collection is measured and not the children. Each passes a
//!   value through `black_box` when polled, so that no poll is optimised out.
//! - Every workload counts what came out, or how often each child was polled, and asserts it
//!   outside of the timed part.
//! - A contestant leaves a row when its own measurements say so ([`Growth`]), never by name.

mod alloc;
mod bare;
mod contestants;
mod workloads;

pub use alloc::{ALLOC_SIZES, AllocCost, CountingAllocator, alloc_cost};
pub use contestants::{
    BoxFuture, Child, Contestant, Errgroup, FutureGroup, FuturesBuffered, FuturesUnordered, Set,
    Unicycle,
};
pub use workloads::{Row, measure};

use std::time::{Duration, Instant};

/// The sizes a full comparison covers.
pub const SIZES: [usize; 7] = [1, 3, 10, 100, 1_000, 10_000, 100_000];

/// One column of the comparison.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The column's heading.
    pub name: &'static str,
    /// Runs a row at a size for a number of iterations; the time of the measured part.
    pub measure: fn(Row, usize, u64) -> Duration,
    /// Counts its allocations, if it is a collection.
    pub alloc_cost: Option<fn() -> AllocCost>,
}

/// All columns: errgroup, the peers, and the lower bound.
pub const ENTRIES: [Entry; 6] = [
    contestant::<Errgroup>(),
    contestant::<FuturesUnordered>(),
    contestant::<FuturesBuffered>(),
    contestant::<FutureGroup>(),
    contestant::<Unicycle>(),
    Entry { name: "bare", measure: bare::measure, alloc_cost: None },
];

/// How many of [`ENTRIES`] are collections; the bare loop comes after them.
pub const COLLECTIONS: usize = ENTRIES.len() - 1;

const fn contestant<C: Contestant>() -> Entry {
    Entry { name: C::NAME, measure: measure::<C>, alloc_cost: Some(alloc_cost::<C>) }
}

impl Entry {
    /// Finds how many iterations last at least `target`, warming up on the way.
    pub fn calibrate(&self, row: Row, n: usize, target: Duration) -> Calibration {
        let mut iters = 1;
        loop {
            let start = Instant::now();
            let measured = (self.measure)(row, n, iters);
            let call = start.elapsed();
            if measured >= target {
                return Calibration { iters, measured, call };
            }
            // One tenth more than needed, but never trust a short first run by more than tenfold.
            let wanted = target.as_secs_f64() / measured.as_secs_f64().max(1e-9) * 1.1;
            iters = (iters as f64 * wanted.clamp(2.0, 10.0)).ceil() as u64;
        }
    }
}

/// A run that was just long enough.
pub struct Calibration {
    /// Its iterations.
    pub iters: u64,
    /// Its measured part.
    pub measured: Duration,
    /// All of it, with what each call sets up and takes down unmeasured.
    pub call: Duration,
}

impl Calibration {
    /// Nanoseconds per item.
    pub fn per_item(&self, row: Row, n: usize) -> f64 {
        self.measured.as_nanos() as f64 / (self.iters * row.items(n)) as f64
    }

    /// How long a call with a single iteration takes.
    pub fn shortest_call(&self) -> Duration {
        self.call - self.measured + self.measured.div_f64(self.iters as f64)
    }
}

/// Follows one contestant through the ascending sizes of one row and tells when its costs rule out
/// the next size.
#[derive(Default)]
pub struct Growth {
    last: Option<(usize, f64, Duration)>,
    quadratic: bool,
}

impl Growth {
    /// No single call may take longer than this.
    pub const SLOWEST: Duration = Duration::from_secs(3);
    /// A time per item which grows by more than this, and nearly as fast as the size, is quadratic.
    pub const STEEPEST: f64 = 8.0;

    /// Whether `n` is to be left out.
    pub fn rules_out(&self, n: usize) -> bool {
        self.quadratic
            || self
                .last
                .is_some_and(|(last, _, call)| call.mul_f64(n as f64 / last as f64) > Self::SLOWEST)
    }

    /// Takes note of the time per item at size `n`, and of the shortest call there.
    pub fn record(&mut self, n: usize, per_item: f64, call: Duration) {
        if let Some((last, before, _)) = self.last {
            let growth = per_item / before;
            let linear = (n as f64 / last as f64).powf(0.9);
            self.quadratic |= growth > Self::STEEPEST && growth > linear;
        }
        self.last = Some((n, per_item, call));
    }
}
