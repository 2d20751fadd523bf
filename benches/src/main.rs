//! Prints the comparison as Markdown: for each part the time per item for each row and size, a summary
//! and allocations; then the latency of the first error.

use std::{
    mem,
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use clap::{
    Parser, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};
use errgroup_benches::{
    COLLECTIONS, Calibration, CountingAllocator, Entry, Growth, JOINS, JoinRow, Part, Row, SetRow,
    TREES, TreeRow, WINDOWS, WindowRow, answer,
    first_error::{self, Case},
    go,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Compares errgroup with its peers and prints the results as Markdown.
#[derive(Parser)]
struct Options {
    /// Parts of the comparison, all if none is named
    #[arg(long, value_delimiter = ',')]
    parts: Vec<PartName>,
    /// Rows to measure, all of the parts if none is named
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(row_names()))]
    rows: Vec<String>,
    /// Numbers of children, or limits of windows [default: those of each part]
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

#[derive(Clone, Copy, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum PartName {
    Collections,
    Joins,
    Windows,
    Trees,
    FirstError,
}

/// How long each measurement lasts, at least.
const SAMPLE: Duration = Duration::from_millis(12);
const QUICK_SAMPLE: Duration = Duration::from_micros(500);

fn main() {
    if answer() {
        return;
    }
    let options = Options::parse();
    let start = Instant::now();
    print_header(&options);
    if options.wants(PartName::Collections) {
        print_part(&options, &COLLECTIONS);
    }
    if options.wants(PartName::Joins) {
        print_part(&options, &JOINS);
    }
    if options.wants(PartName::Windows) {
        print_part(&options, &WINDOWS);
    }
    if options.wants(PartName::Trees) && !options.rows::<TreeRow>().is_empty() {
        print_part(&options, &TREES);
        match go() {
            Ok(version) => println!("\nGo's errgroup was built with {version}."),
            Err(why) => println!("\nskipped: Go's errgroup, {why}"),
        }
    }
    if options.wants(PartName::FirstError) && options.rows.is_empty() {
        print_first_error();
    }
    println!("\nMeasured in {:.0} s.", start.elapsed().as_secs_f64());
}

impl Options {
    fn wants(&self, part: PartName) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn rows<R: Row>(&self) -> Vec<R> {
        let wanted = |row: &R| self.rows.is_empty() || self.rows.contains(&row.name());
        R::value_variants().iter().copied().filter(wanted).collect()
    }

    fn sizes(&self, part: &[usize]) -> Vec<usize> {
        let mut sizes: Vec<usize> = match &self.sizes[..] {
            [] if self.quick => part.iter().copied().filter(|&n| n <= 1_000).collect(),
            [] => part.to_vec(),
            sizes => sizes.iter().map(|n| n.get()).collect(),
        };
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    fn repeat(&self) -> usize {
        let default = if self.quick { 3 } else { 7 };
        self.repeat.map_or(default, NonZeroUsize::get)
    }

    fn sample(&self) -> Duration {
        if self.quick { QUICK_SAMPLE } else { SAMPLE }
    }
}

fn row_names() -> Vec<PossibleValue> {
    fn names<R: Row>() -> impl Iterator<Item = PossibleValue> {
        R::value_variants().iter().filter_map(R::to_possible_value)
    }
    names::<SetRow>()
        .chain(names::<JoinRow>())
        .chain(names::<WindowRow>())
        .chain(names::<TreeRow>())
        .collect()
}

fn print_header(options: &Options) {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let peers = [
        "errgroup",
        "futures-util",
        "futures-buffered",
        "futures-concurrency",
        "unicycle",
        "tokio",
        "moro",
        "async-executor",
    ];
    let versions = peers.map(|name| format!("{name} {}", locked_version(name)));
    println!("# errgroup and its peers\n");
    if cfg!(debug_assertions) {
        println!("**Built without optimisation: the times mean nothing, use `--release`.**\n");
    }
    println!("{}; {}; cores: {cores}.\n", versions.join(", "), env!("RUSTC_VERSION"));
    if !options.only_alloc {
        println!("Times are nanoseconds per item, the median of {} interleaved", options.repeat());
        println!("measurements; in parentheses the time relative to errgroup's, so (2.00x) took");
        println!("twice as long.");
    }
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
struct Cell<R: 'static> {
    part: &'static Part<R>,
    row: R,
    n: usize,
    times: Vec<Option<f64>>,
}

impl<R: Row> Cell<R> {
    fn ratio(&self, entry: usize) -> Option<f64> {
        Some(self.times[entry]? / self.times[0]?)
    }

    fn best_peer(&self) -> Option<(&'static str, f64)> {
        let entries = self.part.entries.iter().zip(&self.times).filter(|(entry, _)| entry.peer);
        let peers = entries.filter_map(|(entry, time)| Some((entry.name, (*time)?)));
        peers.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn best_ratio(&self) -> Option<f64> {
        Some(self.best_peer()?.1 / self.times[0]?)
    }
}

fn print_part<R: Row>(options: &Options, part: &'static Part<R>) {
    let rows = options.rows();
    if rows.is_empty() {
        return;
    }
    println!("\n## {}\n\n{}", part.title, part.about);
    if !options.only_alloc {
        print_times(options, part, &rows);
    }
    print_allocations(part);
}

fn print_times<R: Row>(options: &Options, part: &'static Part<R>, rows: &[R]) {
    let mut cells = Vec::new();
    let mut spreads = Vec::new();
    for &row in rows {
        println!("\n### `{}`\n\n{}.\n", row.name(), row.about());
        let names: Vec<_> = part.entries.iter().map(|entry| entry.name).collect();
        println!("| n | {} |", names.join(" | "));
        println!("|--:{}|", "|--:".repeat(names.len()));
        let mut growth: Vec<Growth> = names.iter().map(|_| Growth::default()).collect();
        let never_ends = part.entries.iter().any(|entry| !(entry.ends)(row));
        let mut left_out = false;
        for n in options.sizes(part.sizes) {
            let cell = measure_cell(options, part, row, n, &mut growth, &mut spreads);
            let columns = cell.times.iter().enumerate().map(|(entry, &time)| {
                match (time, cell.ratio(entry)) {
                    (None, _) if !(part.entries[entry].ends)(row) => "never ends†".into(),
                    (None, _) => "quadratic*".into(),
                    (Some(time), Some(ratio)) if entry > 0 => {
                        format!("{} ({ratio:.2}x)", nanoseconds(time))
                    }
                    (Some(time), _) => nanoseconds(time),
                }
            });
            println!("| {n} | {} |", columns.collect::<Vec<_>>().join(" | "));
            let mut columns = part.entries.iter().zip(&cell.times);
            left_out |= columns.any(|(entry, time)| time.is_none() && (entry.ends)(row));
            cells.push(cell);
        }
        if never_ends {
            println!("\n† Left out: it waits, though nothing is left that could wake it.");
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
    print_summary(part, &cells, spreads);
}

fn measure_cell<R: Row>(
    options: &Options,
    part: &'static Part<R>,
    row: R,
    n: usize,
    growth: &mut [Growth],
    spreads: &mut Vec<f64>,
) -> Cell<R> {
    let (entries, repeat) = (part.entries, options.repeat());
    let plan = |(entry, growth): (&Entry<R>, &Growth)| -> Option<Calibration> {
        let possible = (entry.ends)(row) && !growth.rules_out(n);
        possible.then(|| entry.calibrate(row, n, options.sample()))
    };
    let plans: Vec<_> = entries.iter().zip(&*growth).map(plan).collect();
    let mut samples = vec![Vec::new(); entries.len()];
    for round in 0..repeat {
        for turn in 0..entries.len() {
            // Each round starts with another contestant, so that none has a fixed predecessor.
            let entry = (turn + round) % entries.len();
            let Some(plan) = &plans[entry] else {
                continue;
            };
            // A slow cell is known well enough after a few seconds.
            if round > 0 && plan.call * round as u32 > Growth::SLOWEST {
                continue;
            }
            let measured = (entries[entry].measure)(row, n, plan.iters);
            let items = plan.iters * row.items(n);
            samples[entry].push(measured.as_nanos() as f64 / items as f64);
        }
    }
    let times = samples.iter_mut().enumerate().map(|(entry, samples)| {
        samples.sort_unstable_by(f64::total_cmp);
        let (least, most) = (samples.first()?, samples.last()?);
        let median = median(samples);
        spreads.push((most - least) / 2.0 / median);
        let call = plans[entry].as_ref()?.shortest_call();
        growth[entry].record(n, median, call);
        Some(median)
    });
    let times = times.collect();
    Cell { part, row, n, times }
}

fn print_summary<R: Row>(part: &Part<R>, cells: &[Cell<R>], mut spreads: Vec<f64>) {
    println!("\n### Summary\n");
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
    for (entry, peer) in part.entries.iter().enumerate().skip(1) {
        let ratios = cells.iter().filter_map(|cell| cell.ratio(entry)).collect();
        print_mean(peer.name, ratios);
    }

    let mut ranked: Vec<(f64, &Cell<R>)> =
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
            println!("- `{}` at {n}: errgroup was left out", row.name());
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

fn describe<R: Row>((ratio, cell): &(f64, &Cell<R>)) -> String {
    let (row, n) = (cell.row.name(), cell.n);
    let best = cell.best_peer().map_or("no peer", |(peer, _)| peer);
    format!("`{row}` at {n}, where {best} takes {ratio:.2}x errgroup's time")
}

fn print_allocations<R>(part: &Part<R>) {
    println!("\n### Allocations\n\n{}\n", part.about_costs);
    println!("| | {} |", part.costs.join(" | "));
    println!("|---{}|", "|--:".repeat(part.costs.len()));
    for entry in part.entries {
        let Some(cost) = entry.cost else {
            continue;
        };
        let columns = cost().into_iter().map(|cost| match cost.bytes {
            Some(bytes) => format!("{:.3} / {bytes:.1}", cost.allocations),
            None => format!("{:.3}", cost.allocations),
        });
        println!("| {} | {} |", entry.name, columns.collect::<Vec<_>>().join(" | "));
    }
}

fn print_first_error() {
    println!("\n## Latency of the first error\n");
    println!(
        "The first of n children is slow, and the last one fails. How many polls it takes until"
    );
    println!("the error shows, from the first poll of all, or from the wake of the last child; or");
    println!(
        "whether the error shows only after the slow child is done. Windows have a limit of n,"
    );
    println!("and are counted from the poll in which they let the last child in. In turn, where");
    println!("these differ:\n");
    for case in Case::ALL {
        println!("- {}.", case.about());
    }
    println!("\n| n | {} |", first_error::SIZES.map(|n| n.to_string()).join(" | "));
    println!("|---{}|", "|--:".repeat(first_error::SIZES.len()));
    for runner in first_error::RUNNERS {
        let columns = first_error::SIZES.map(|n| {
            let mut cell = Case::ALL.map(|case| match runner.polls_until_error(case, n) {
                Some(polls) => polls.to_string(),
                None => "after the slow child".into(),
            });
            if cell.iter().all(|polls| *polls == cell[0]) {
                mem::take(&mut cell[0])
            } else {
                cell.join(", ")
            }
        });
        println!("| {} | {} |", runner.name, columns.join(" | "));
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
