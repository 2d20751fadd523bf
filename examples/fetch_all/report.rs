//! What is known so far: the rows, the counts, and a progress bar on standard error.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::cli::count;
use crate::rows::{Row, Rows};

/// What the requests have in common.
pub(crate) struct Report<'a> {
    rows: Rows<'a>,
    bar: ProgressBar,
    began: Instant,
    total: usize,
    started: usize,
    most_in_flight: usize,
    fetched: usize,
    failed: usize,
    bytes: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(total: usize, rows: Rows<'a>) -> Self {
        Self {
            rows,
            bar: bar(total),
            began: Instant::now(),
            total,
            started: 0,
            most_in_flight: 0,
            fetched: 0,
            failed: 0,
            bytes: 0,
        }
    }

    /// One more request is in flight.
    pub(crate) fn start(&mut self) {
        self.started += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight());
        self.show_in_flight();
    }

    /// One request less is in flight.
    pub(crate) fn count(&mut self, row: &Row<'_>) {
        match row.error {
            None => self.fetched += 1,
            Some(_) => self.failed += 1,
        }
        self.bytes += row.bytes;
        self.bar.inc(1);
        self.show_in_flight();
    }

    /// Writes the row, or keeps it until it is its turn.
    pub(crate) fn write(&mut self, index: usize, row: Row<'a>) -> io::Result<()> {
        // On a terminal, the bar makes way for the rows.
        self.bar.suspend(|| self.rows.put(index, row)).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write the rows: {error}"))
        })
    }

    /// Ends the progress bar, and sums up.
    pub(crate) fn finish(&self) -> String {
        self.bar.finish_and_clear();
        let Self { fetched, failed, bytes, most_in_flight, .. } = self;
        let (dropped, left) = (self.in_flight(), self.total - self.started);
        let bytes = count(*bytes, "byte", "bytes");
        let seconds = self.began.elapsed().as_secs_f64();
        format!(
            "{fetched} fetched, {failed} failed, {dropped} dropped in flight, {left} not started; \
             {bytes} in {seconds:.2} s, at most {most_in_flight} in flight"
        )
    }

    pub(crate) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    fn in_flight(&self) -> usize {
        self.started - self.fetched - self.failed
    }

    fn show_in_flight(&self) {
        self.bar.set_message(format!("{} in flight", self.in_flight()));
    }
}

fn bar(total: usize) -> ProgressBar {
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        _ = write!(out, "{:.0}/s", state.per_sec());
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {rate}, {msg}");
    let style = style.expect("the template is valid").with_key("rate", rate);
    let bar = ProgressBar::new(total as u64).with_style(style);
    // Without it, the rate would stand still with the requests.
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
