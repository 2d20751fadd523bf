//! What one child costs in a group, and what it costs in the peers, in four parts: collections,
//! beside a bare loop that shows how little there is to do; joins; windows; and trees, whose children
//! add more from inside, with Go's errgroup. And how soon the first error shows in each.
//!
//! `cargo run --release -p errgroup-benches` prints the whole comparison as Markdown;
//! `cargo bench -p errgroup-benches` runs the same workloads under criterion.
//!
//! What keeps the comparison fair:
//!
//! - Every contestant is monomorphised, and holds the same child types. Collections start empty
//!   without a capacity and are filled child by child; joins take an iterator that knows its length,
//!   and windows a stream.
//! - One executor drives all of them, but for runtimes that have their own. It polls only after a
//!   wake, so a contestant which yields to its executor midway pays for its own extra poll, and one
//!   which loses a wake fails the run.
//! - Children are small, so that the contestant is measured and not the children. Each passes a
//!   value through `black_box` when polled, so that no poll is optimised out. It also makes polls
//!   cheap, which favours those that poll all children at any wake; for the joins, `join_channel`
//!   shows the same with children as they are in practice.
//! - Every workload counts what came out, or how often each child was polled, and asserts it
//!   outside of the timed part.
//! - A contestant leaves a row when its own measurements say so ([`Growth`]), never by name.

mod alloc;
mod bare;
mod contestants;
mod elsewhere;
pub mod first_error;
mod joins;
mod tree;
mod windows;
mod workloads;

pub use alloc::{Cost, CountingAllocator};
pub use elsewhere::{answer, go};
pub use joins::JoinRow;
pub use tree::TreeRow;
pub use windows::WindowRow;
pub use workloads::SetRow;

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use contestants::{Errgroup, FutureGroup, FuturesBuffered, FuturesUnordered, Unicycle};

/// One workload.
pub trait Row: ValueEnum + Copy + 'static {
    /// What it does and what an item is, in one line.
    fn about(self) -> &'static str;

    /// How many items one iteration at size `n` has.
    fn items(self, n: usize) -> u64;

    /// Its name on the command line and in the table.
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no row is hidden");
        value.get_name().into()
    }
}

/// A comparison: the contestants, errgroup first, that run the same rows.
pub struct Part<R: 'static> {
    /// Its heading.
    pub title: &'static str,
    /// What is compared, in a paragraph.
    pub about: &'static str,
    /// The sizes a full comparison covers.
    pub sizes: &'static [usize],
    /// Its columns.
    pub entries: &'static [Entry<R>],
    /// What is counted of its allocations.
    pub about_costs: &'static str,
    /// The columns of its allocations.
    pub costs: &'static [&'static str],
}

/// The collections, which give the output of one child after the other.
pub const COLLECTIONS: Part<SetRow> = Part {
    title: "Collections",
    about: "Each gives the output of one child after the other. `bare` polls the same children in a \
            plain loop, with one atomic operation for each wake: a bound for any collection whose \
            wakes tell which child to poll.",
    sizes: &[1, 3, 10, 100, 1_000, 10_000, 100_000],
    entries: &[
        Entry { peer: false, ..collection::<Errgroup>() },
        collection::<FuturesUnordered>(),
        collection::<FuturesBuffered>(),
        collection::<FutureGroup>(),
        collection::<Unicycle>(),
        Entry { name: "bare", peer: false, ends: |_| true, measure: bare::measure, cost: None },
    ],
    about_costs: "With n children waiting: allocations per child / bytes per child beyond the child \
                  itself (peak of the requested bytes, and the collection's own size). Then, among \
                  100 children: allocations per child that takes the place of a finished one, and \
                  per wake and poll with a fresh waker.",
    costs: &["n = 3", "n = 100", "n = 1000", "n = 10000", "replaced", "polled"],
};

/// The joins, which give all values or the first error.
pub const JOINS: Part<JoinRow> = Part {
    title: "Joins",
    about: "Each takes the children from an iterator and gives all values in a vector, in order, from \
            the creation of the join to the drop of the vector. futures-concurrency joins a vector, \
            which is collected first.",
    // From 31 on, `try_join_all` of futures polls only what was woken.
    sizes: &[1, 2, 3, 5, 10, 30, 31, 100, 1_000, 10_000, 100_000],
    entries: &[
        Entry { peer: false, ..join::<joins::GroupTryJoin>() },
        join::<joins::TryJoinAll>(),
        join::<joins::BufferedTryJoinAll>(),
        join::<joins::VecTryJoin>(),
    ],
    about_costs: "Joining n children that are ready at once: allocations per child / bytes per child \
                  beyond the child and its value (peak of the requested bytes, and the size of the \
                  join itself).",
    costs: &["n = 3", "n = 100", "n = 1000"],
};

/// The windows, through which a stream of children goes.
pub const WINDOWS: Part<WindowRow> = Part {
    title: "Windows",
    about: "Each takes the children from a stream that is always ready, runs at most n of them at a \
            time, and ends with `Ok(())` or the first error, from its creation to its drop. So it is \
            `try_for_each_concurrent`, as `for_each_concurrent` knows no errors.",
    sizes: &[1, 10, 64, 1_000],
    entries: &[
        Entry { peer: false, ..window::<windows::Forward>() },
        window::<windows::BufferUnordered>(),
        window::<windows::ForEachConcurrent>(),
        window::<windows::BufferedUnordered>(),
        window::<windows::BoundedLoop>(),
        window::<windows::Concurrent>(),
        Entry { peer: false, ..window::<windows::ReadyLoop>() },
    ],
    about_costs: "Children that wait in a window of n: allocations per child that goes \
                  through / bytes beyond the children for each of the n (peak of the requested \
                  bytes, and the size of the future itself).",
    costs: &["n = 10", "n = 1000"],
};

/// The trees, whose children add more from inside. Where there is no Go, they are without its columns.
pub static TREES: LazyLock<Part<TreeRow>> = LazyLock::new(|| Part {
    title: "Trees",
    about: TREES_ABOUT,
    sizes: &[1_000, 100_000, 1_000_000],
    entries: match elsewhere::go() {
        Ok(_) => TREE_ENTRIES,
        Err(_) => &TREE_ENTRIES[..TREE_ENTRIES.len() - GO_ENTRIES],
    },
    about_costs: "Allocations per child / bytes per child at the peak: those requested, or, for Go, \
                  those that its runtime took from the system for heap and stacks.",
    costs: &["tree_binary, n = 1000", "tree_binary, n = 1000000", "tree_deep, n = 1000000"],
});

const TREES_ABOUT: &str = "\
    Each child counts itself, adds its own from inside, and is done. errgroup's `go` boxes the \
    child; `push` takes children of one type. Beside it, in turn: a loop that spawns in a `JoinSet` \
    what children send it, on tokio's `current_thread` runtime, and on its `multi_thread` runtime; \
    a `LocalSet`, whose tasks spawn: it ends with the last of them, and knows no errors; moro's \
    scope; smol's executor, which knows no end, so that its detached tasks count those left; \
    `FuturesUnordered` that is fed from a queue whenever it has nothing to give, which is enough \
    only where all adding is from inside, with boxes and, to compare with `push`, without; and \
    Go's errgroup. What uses all processors is a process of its own, as is Go's.";

const GO_ENTRIES: usize = 2;
const TREE_ENTRIES: &[Entry<TreeRow>] = &[
    Entry { peer: false, ..grove::<tree::Boxed>() },
    Entry { peer: false, ..grove::<tree::LocalBoxed>() },
    Entry { peer: false, ..grove::<tree::Unboxed>() },
    grove::<tree::TokioJoinSet>(),
    Entry {
        ends: |_| true,
        measure: elsewhere::measure_threads,
        cost: None,
        ..grove::<tree::TokioThreads>()
    },
    grove::<tree::TokioLocalSet>(),
    grove::<tree::Moro>(),
    grove::<tree::Smol>(),
    grove::<tree::Unordered>(),
    Entry { peer: false, ..grove::<tree::UnorderedUnboxed>() },
    go_errgroup::<false>("Go errgroup, 1 processor"),
    go_errgroup::<true>("Go errgroup, all processors"),
];

/// One column of a comparison.
#[derive(Clone, Copy)]
pub struct Entry<R> {
    /// The column's heading.
    pub name: &'static str,
    /// Whether errgroup is compared with it.
    pub peer: bool,
    /// Whether a row ends at all.
    pub ends: fn(R) -> bool,
    /// Runs a row at a size for a number of iterations; the time of the measured part.
    pub measure: fn(R, usize, u64) -> Duration,
    /// Counts its allocations, if it has any.
    pub cost: Option<fn() -> Vec<Cost>>,
}

const fn collection<C: contestants::Contestant>() -> Entry<SetRow> {
    let cost = Some(alloc::cost::<C> as fn() -> Vec<Cost>);
    Entry { name: C::NAME, peer: true, ends: |_| true, measure: workloads::measure::<C>, cost }
}

const fn join<J: joins::Join>() -> Entry<JoinRow> {
    let cost = Some(joins::cost::<J> as fn() -> Vec<Cost>);
    Entry { name: J::NAME, peer: true, ends: |_| true, measure: joins::measure::<J>, cost }
}

const fn window<W: windows::Window>() -> Entry<WindowRow> {
    let cost = Some(windows::cost::<W> as fn() -> Vec<Cost>);
    Entry { name: W::NAME, peer: true, ends: |_| true, measure: windows::measure::<W>, cost }
}

const fn grove<G: tree::Grove>() -> Entry<TreeRow> {
    let cost = Some(tree::cost::<G> as fn() -> Vec<Cost>);
    Entry { name: G::NAME, peer: true, ends: tree::ends::<G>, measure: tree::measure::<G>, cost }
}

const fn go_errgroup<const ALL: bool>(name: &'static str) -> Entry<TreeRow> {
    let cost = Some(elsewhere::cost_of_go::<ALL> as fn() -> Vec<Cost>);
    Entry { name, peer: true, ends: |_| true, measure: elsewhere::measure_go::<ALL>, cost }
}

impl<R: Row> Entry<R> {
    /// Finds how many iterations last at least `target`, warming up on the way.
    pub fn calibrate(&self, row: R, n: usize, target: Duration) -> Calibration {
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
    pub fn per_item(&self, row: impl Row, n: usize) -> f64 {
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
    /// A time per item which grows by more than this, and about as fast as the size, is quadratic.
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
            let step = n as f64 / last as f64;
            // What grows faster still is not more of the same: from here on it works in another way.
            let as_fast = step.powf(0.9)..step.powf(1.2);
            self.quadratic |= growth > Self::STEEPEST && as_fast.contains(&growth);
        }
        self.last = Some((n, per_item, call));
    }
}
