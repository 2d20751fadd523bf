//! What is known so far: the pages, the broken links, the counts, and a progress bar on standard error.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use url::Url;

use crate::cli::count;
use crate::http::client::{Cause, Page};

/// What the visits have in common.
pub(crate) struct Report {
    /// The pages that were fetched, in this order.
    pub(crate) pages: Vec<Url>,
    pub(crate) broken: Vec<Broken>,
    /// Where each redirect leads to. None of them leads back to itself.
    pub(crate) redirects: HashMap<Url, Url>,
    /// How many requests there are now. At the end, those that were dropped.
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight: usize,
    seen: HashSet<Url>,
    max_pages: usize,
    has_left_out: bool,
    bytes: usize,
    began: Instant,
    took: Duration,
    bar: ProgressBar,
}

/// A URL, and the page that links to it, unless it is the start. Behind a redirect, that is the page
/// which links to the redirect.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) url: Url,
    pub(crate) page: Option<Url>,
}

/// A link to a page that cannot be fetched.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) link: Link,
    pub(crate) cause: Cause,
}

impl Report {
    pub(crate) fn new(max_pages: usize) -> Self {
        Self {
            pages: Vec::new(),
            broken: Vec::new(),
            redirects: HashMap::new(),
            in_flight: 0,
            most_in_flight: 0,
            seen: HashSet::new(),
            max_pages,
            has_left_out: false,
            bytes: 0,
            began: Instant::now(),
            took: Duration::ZERO,
            bar: bar(),
        }
    }

    /// Notes a page, and says whether it is to be visited: it is new, and there is room.
    pub(crate) fn admit(&mut self, url: &Url) -> bool {
        if self.seen.contains(url) {
            return false;
        }
        let has_room = self.seen.len() < self.max_pages;
        if has_room {
            self.seen.insert(url.clone());
            self.bar.set_length(self.seen.len() as u64);
        }
        self.has_left_out |= !has_room;
        has_room
    }

    /// One more request is in flight.
    pub(crate) fn begin(&mut self) {
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        self.show();
    }

    /// One request less is in flight.
    pub(crate) fn end(&mut self) {
        self.in_flight -= 1;
        self.bar.inc(1);
        self.show();
    }

    pub(crate) fn visited(&mut self, url: &Url, page: &Page) {
        self.pages.push(url.clone());
        self.bytes += page.body().len();
    }

    /// Notes a redirect, and says whether it leads on. One that closes a circle does not, and is not noted.
    pub(crate) fn redirected(&mut self, from: &Url, to: &Url) -> bool {
        let mut end = to;
        while let Some(next) = self.redirects.get(end) {
            end = next;
        }
        let leads_on = end != from;
        if leads_on {
            self.redirects.insert(from.clone(), to.clone());
        }
        leads_on
    }

    pub(crate) fn broken(&mut self, broken: Broken) {
        self.broken.push(broken);
        self.show();
    }

    /// Ends the progress bar.
    pub(crate) fn finish(&mut self) {
        self.took = self.began.elapsed();
        self.bar.finish_and_clear();
    }

    fn show(&self) {
        let (in_flight, broken) = (self.in_flight, self.broken.len());
        self.bar.set_message(format!("{in_flight} in flight, {broken} broken"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_flight, most_in_flight, .. } = self;
        let pages = count(self.pages.len(), "page", "pages");
        let (redirects, broken) = (self.redirects.len(), self.broken.len());
        let bytes = count(self.bytes, "byte", "bytes");
        let left_out = if self.has_left_out { ", others left out" } else { "" };
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{pages} visited{left_out}, {redirects} redirected, {broken} broken, \
             {in_flight} dropped in flight; {bytes} in {seconds:.2} s, \
             at most {most_in_flight} in flight"
        )
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.link.url, self.cause)?;
        match &self.link.page {
            Some(page) => write!(f, ", linked from {page}"),
            None => Ok(()),
        }
    }
}

impl Error for Broken {}

fn bar() -> ProgressBar {
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        _ = write!(out, "{:.0}/s", state.per_sec());
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {rate}, {msg}");
    let style = style.expect("the template is valid").with_key("rate", rate);
    let bar = ProgressBar::new(0).with_style(style);
    // Without it, the rate would stand still with the requests.
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
