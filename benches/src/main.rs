//! Prints the comparison as Markdown: time per item for each row and size, summaries, allocations.

use std::{
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use clap::Parser;
use errgroup_benches::{
    ALLOC_SIZES, COLLECTIONS, Calibration, CountingAllocator, ENTRIES, Growth, Row, SIZES,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Compares errgroup with its peers and prints the results as Markdown.
#[derive(Parser)]
struct Options {
    /// Rows to measure, all if none is named
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Numbers of children [default: 1 to 100000]
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<NonZeroUsize>,
    /// How often each cell is measured; the median counts [default: 7]
    #[arg(long)]
    repeat: Option<NonZeroUsize>,
    /// Up to 1000 children, three short measurements: a look, no result
    #[arg(long)]
    quick: bool,
    /// Only count allocations
    #[arg(long)]
    only_alloc: bool,
}

/// How long each measurement lasts, at least.
const SAMPLE: Duration = Duration::from_millis(12);
const QUICK_SAMPLE: Duration = Duration::from_micros(500);

fn main() {
    let options = Options::parse();
    let start = Instant::now();
    print_header();
    if !options.only_alloc {
        print_times(&options);
    }
    print_allocations();
    println!("\nMeasured in {:.0} s.", start.elapsed().as_secs_f64());
}

fn print_header() {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let peers = ["errgroup", "futures-util", "futures-buffered", "futures-concurrency", "unicycle"];
    let versions = peers.map(|name| format!("{name} {}", locked_version(name)));
    println!("# errgroup and its peers\n");
    if cfg!(debug_assertions) {
        println!("**Built without optimisation: the times mean nothing, use `--release`.**\n");
    }
    println!("{}; {}; cores: {cores}.\n", versions.join(", "), env!("RUSTC_VERSION"));
}

fn locked_version(name: &str) -> &'static str {
    let mut lines = include_str!("../../Cargo.lock").lines();
    let wanted = format!("name = \"{name}\"");
    lines
        .find(|line| *line == wanted)
        .and_then(|_| lines.next()?.strip_prefix("version = \"")?.strip_suffix('"'))
        .expect("Cargo.lock lists every dependency")
}

/// The medians at one row and size, `None` where a contestant was left out.
struct Cell {
    row: Row,
    n: usize,
    times: [Option<f64>; ENTRIES.len()],
}

impl Cell {
    fn ratio(&self, entry: usize) -> Option<f64> {
        Some(self.times[entry]? / self.times[0]?)
    }

    fn best_peer(&self) -> Option<(usize, f64)> {
        let peers = (1..COLLECTIONS).filter_map(|peer| Some((peer, self.times[peer]?)));
        peers.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn best_ratio(&self) -> Option<f64> {
        Some(self.best_peer()?.1 / self.times[0]?)
    }
}

fn print_times(options: &Options) {
    let rows = match &options.rows[..] {
        [] => &Row::ALL,
        rows => rows,
    };
    let mut sizes: Vec<usize> = match &options.sizes[..] {
        [] if options.quick => SIZES.into_iter().filter(|&n| n <= 1_000).collect(),
        [] => SIZES.to_vec(),
        sizes => sizes.iter().map(|n| n.get()).collect(),
    };
    sizes.sort_unstable();
    sizes.dedup();
    let default = if options.quick { 3 } else { 7 };
    let repeat = options.repeat.map_or(default, NonZeroUsize::get);
    let sample = if options.quick { QUICK_SAMPLE } else { SAMPLE };

    println!("## Time\n");
    println!("Nanoseconds per item, median of {repeat} interleaved measurements; in parentheses");
    println!("the time relative to errgroup's, so (2.00x) took twice as long. `bare` polls the");
    println!("same children in a plain loop, with one atomic operation for each wake: a bound for");
    println!("any collection whose wakes tell which child to poll.");

    let mut cells = Vec::new();
    let mut spreads = Vec::new();
    for &row in rows {
        println!("\n### `{row}`\n\n{}.\n", row.about());
        println!("| n | {} |", ENTRIES.map(|entry| entry.name).join(" | "));
        println!("|--:{}|", "|--:".repeat(ENTRIES.len()));
        let mut growth: [Growth; ENTRIES.len()] = Default::default();
        let mut left_out = false;
        for &n in &sizes {
            let cell = measure_cell(row, n, repeat, sample, &mut growth, &mut spreads);
            let columns: [String; ENTRIES.len()] =
                std::array::from_fn(|entry| match (cell.times[entry], cell.ratio(entry)) {
                    (None, _) => "quadratic*".into(),
                    (Some(time), Some(ratio)) if entry > 0 => {
                        format!("{} ({ratio:.2}x)", nanoseconds(time))
                    }
                    (Some(time), _) => nanoseconds(time),
                });
            println!("| {n} | {} |", columns.join(" | "));
            left_out |= cell.times.contains(&None);
            cells.push(cell);
        }
        if left_out {
            println!(
                "\n\\* Left out: its time per item grew more than {:.0} times from one size to \
                 the next, or one iteration would take more than {} s.",
                Growth::STEEPEST,
                Growth::SLOWEST.as_secs()
            );
        }
    }
    if !cells.is_empty() {
        print_summary(&cells, spreads);
    }
}

fn measure_cell(
    row: Row,
    n: usize,
    repeat: usize,
    sample: Duration,
    growth: &mut [Growth; ENTRIES.len()],
    spreads: &mut Vec<f64>,
) -> Cell {
    let plans: [Option<Calibration>; ENTRIES.len()] = std::array::from_fn(|entry| {
        let possible = !growth[entry].rules_out(n);
        possible.then(|| ENTRIES[entry].calibrate(row, n, sample))
    });
    let mut samples = [const { Vec::new() }; ENTRIES.len()];
    for round in 0..repeat {
        for turn in 0..ENTRIES.len() {
            // Each round starts with another contestant, so that none has a fixed predecessor.
            let entry = (turn + round) % ENTRIES.len();
            let Some(plan) = &plans[entry] else {
                continue;
            };
            // A slow cell is known well enough after a few seconds.
            if round > 0 && plan.call * round as u32 > Growth::SLOWEST {
                continue;
            }
            let measured = (ENTRIES[entry].measure)(row, n, plan.iters);
            let items = plan.iters * row.items(n);
            samples[entry].push(measured.as_nanos() as f64 / items as f64);
        }
    }
    let times = std::array::from_fn(|entry| {
        let samples = &mut samples[entry];
        samples.sort_unstable_by(f64::total_cmp);
        let (least, most) = (samples.first()?, samples.last()?);
        let median = median(samples);
        spreads.push((most - least) / 2.0 / median);
        let call = plans[entry].as_ref()?.shortest_call();
        growth[entry].record(n, median, call);
        Some(median)
    });
    Cell { row, n, times }
}

fn print_summary(cells: &[Cell], mut spreads: Vec<f64>) {
    println!("\n## Summary\n");
    println!("Time relative to errgroup's, geometric mean over the cells that were measured:\n");
    println!("| | times errgroup's | cells |\n|---|--:|--:|");
    let print_mean = |name: &str, ratios: Vec<f64>| {
        if !ratios.is_empty() {
            let logs: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
            let mean = (logs / ratios.len() as f64).exp();
            println!("| {name} | {mean:.2}x | {} |", ratios.len());
        }
    };
    let best = cells.iter().filter_map(Cell::best_ratio).collect();
    print_mean("best peer of each cell", best);
    for (entry, peer) in ENTRIES.iter().enumerate().skip(1) {
        let ratios = cells.iter().filter_map(|cell| cell.ratio(entry)).collect();
        print_mean(peer.name, ratios);
    }

    let mut ranked: Vec<(f64, &Cell)> =
        cells.iter().filter_map(|cell| Some((cell.best_ratio()?, cell))).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(worst) = ranked.first() {
        println!("\nWorst cell: {}.", describe(worst));
    }
    let behind: Vec<_> = ranked.iter().take_while(|(ratio, _)| *ratio <= 1.0).collect();
    let missing: Vec<_> = cells.iter().filter(|cell| cell.times[0].is_none()).collect();
    if behind.is_empty() && missing.is_empty() {
        println!("\nerrgroup is ahead of every peer in all {} cells.", ranked.len());
    } else {
        let count = behind.len() + missing.len();
        println!("\nNot ahead of every peer in {count} of {} cells:\n", cells.len());
        for Cell { row, n, .. } in missing {
            println!("- `{row}` at {n}: errgroup was left out");
        }
        for cell in behind {
            println!("- {}", describe(cell));
        }
    }
    spreads.sort_unstable_by(f64::total_cmp);
    println!(
        "\nSpread: repeated measurements lie within ±{:.1} % in half of all cells, within \
         ±{:.1} % in nine of ten.",
        spreads[spreads.len() / 2] * 100.0,
        spreads[spreads.len() * 9 / 10] * 100.0
    );
}

fn describe((ratio, cell): &(f64, &Cell)) -> String {
    let Cell { row, n, .. } = cell;
    let best = cell.best_peer().map_or("no peer", |(peer, _)| ENTRIES[peer].name);
    format!("`{row}` at {n}, where {best} takes {ratio:.2}x errgroup's time")
}

fn print_allocations() {
    println!("\n## Allocations\n");
    println!("With n children waiting: allocations per child / bytes per child beyond the child");
    println!("itself (peak of the requested bytes, and the collection's own size). Then, among");
    println!("100 children: allocations per child that takes the place of a finished one, and");
    println!("per wake and poll with a fresh waker.\n");
    let sizes = ALLOC_SIZES.map(|n| format!("n = {n}"));
    println!("| | {} | replaced | polled |", sizes.join(" | "));
    println!("|---{}|", "|--:".repeat(sizes.len() + 2));
    for entry in ENTRIES {
        let Some(alloc_cost) = entry.alloc_cost else {
            continue;
        };
        let cost = alloc_cost();
        let waiting =
            cost.waiting.map(|(allocations, bytes)| format!("{allocations:.3} / {bytes:.1}"));
        println!(
            "| {} | {} | {:.3} | {:.3} |",
            entry.name,
            waiting.join(" | "),
            cost.replaced,
            cost.poll
        );
    }
}

/// Three digits or more.
fn nanoseconds(time: f64) -> String {
    let digits = match time {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{time:.digits$}")
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}
