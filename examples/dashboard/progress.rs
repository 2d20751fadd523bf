//! A line of progress per request: spinners on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::http::client::Target;

/// The lines of all requests, on standard output.
pub(crate) struct Board {
    bars: MultiProgress,
    style: ProgressStyle,
    width: usize,
}

/// The line of one request. Dropped before its end, it says so.
pub(crate) struct Line(ProgressBar);

impl Board {
    pub(crate) fn new(targets: &[Target]) -> Self {
        let millis = |state: &ProgressState, out: &mut dyn fmt::Write| {
            _ = write!(out, "{} ms", state.elapsed().as_millis());
        };
        let style = ProgressStyle::with_template("{spinner} {prefix} {millis:>9}  {msg}");
        let style = style.expect("the template is valid");
        let widths = targets.iter().map(|target| target.name.len());
        Self {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            style: style.with_key("millis", millis),
            width: widths.max().unwrap_or(0),
        }
    }

    pub(crate) fn line(&self, name: &str) -> Line {
        let bar = ProgressBar::new_spinner().with_style(self.style.clone());
        let bar = self.bars.add(bar);
        bar.set_prefix(format!("{name:0$}", self.width));
        bar.set_message("queued");
        Line(bar)
    }
}

impl Line {
    pub(crate) fn start(&self) {
        self.0.reset_elapsed();
        self.0.set_message("fetching");
        if self.0.is_hidden() {
            self.print("fetching");
        } else {
            self.0.enable_steady_tick(Duration::from_millis(50));
        }
    }

    pub(crate) fn finish(&self, state: impl fmt::Display) {
        let state = state.to_string();
        if self.0.is_hidden() {
            self.print(&state);
        }
        self.0.finish_with_message(state);
    }

    fn print(&self, state: &str) {
        let (name, millis) = (self.0.prefix(), self.0.elapsed().as_millis());
        say(format_args!("  {name} {millis:>6} ms  {state}\n"));
    }
}

/// Prints without a panic where nobody reads: a line may be dropped while a panic goes on.
fn say(text: fmt::Arguments<'_>) {
    _ = io::stdout().write_fmt(text);
}

impl Drop for Board {
    fn drop(&mut self) {
        if !self.bars.is_hidden() {
            say(format_args!("\n"));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.0.is_finished() {
            self.finish("dropped");
        }
    }
}
