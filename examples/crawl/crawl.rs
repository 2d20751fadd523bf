//! The crawl: each page is a child, which adds the pages that it links to.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use errgroup::{BoxFuture, Handle, scope};
use smol::{Timer, future};
use url::Url;

use crate::http::client::{Cause, Page, Target};
use crate::links;
use crate::report::{Broken, Link, Report};

/// How to crawl.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// At most N requests at a time
    #[arg(long, value_name = "N", default_value = "32")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) limit: usize,
    /// At most N requests in all; links beyond are left out, which the summary says
    #[arg(long, value_name = "N", default_value = "10000")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_pages: usize,
    /// How long a page may take
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    #[arg(value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub(crate) timeout: u32,
    /// End with the first broken link, with exit code 1, and drop the requests in flight
    #[arg(long)]
    pub(crate) fail_fast: bool,
}

/// A crawl of one site: what its children share.
pub(crate) struct Crawl {
    start: Url,
    options: Options,
    report: Mutex<Report>,
}

/// The visit of one page. Its error ends the crawl.
type Child<'a> = BoxFuture<'a, Result<(), Broken>>;

impl Crawl {
    pub(crate) fn new(start: Url, options: Options) -> Self {
        let report = Mutex::new(Report::new(options.max_pages));
        Self { start: links::plain(start), options, report }
    }

    /// Visits all that can be reached from the start page.
    ///
    /// Each visit is a child of the scope, also the first, which the body adds: it counts for the limit as
    /// the others do. They borrow the crawl, and run `limit` at a time. The scope ends when none is left.
    /// When one fails, it drops the others, and with them their connections, before it hands out the error.
    pub(crate) async fn run(&self) -> Result<(), Broken> {
        let start = Link { url: self.start.clone(), page: None };
        let begin = |group| async move {
            self.add(start, &group);
            Ok(())
        };
        scope(begin).with_limit(self.options.limit).await
    }

    pub(crate) fn into_report(self) -> Report {
        let mut report = self.report.into_inner().expect("no visit has panicked");
        report.finish();
        report
    }

    /// Fetches a page, and adds the visits of those that it links to.
    async fn visit<'a>(&'a self, link: Link, group: Handle<Child<'a>>) -> Result<(), Broken> {
        self.report().begin();
        let outcome = self.fetch(&link.url).await;
        self.report().end();

        let cause = match outcome {
            Ok(page) => {
                self.report().visited(&link.url, &page);
                for url in links::of(&page, &link.url) {
                    self.add(Link { url, page: Some(link.url.clone()) }, &group);
                }
                return Ok(());
            }
            Err(Cause::Redirect(status, target)) => match self.redirect(&link, &target) {
                Ok(url) => {
                    self.add(Link { url, page: link.page }, &group);
                    return Ok(());
                }
                Err(why) => format!("HTTP {status} (not followed: {why})").into(),
            },
            Err(cause) => cause,
        };
        let broken = Broken { link, cause };
        if self.options.fail_fast || broken.link.page.is_none() {
            return Err(broken);
        }
        self.report().broken(broken);
        Ok(())
    }

    /// Where a redirect leads to, or why that is an error. It may leave the site, as any link, but for the
    /// start page: there would be no crawl.
    fn redirect(&self, link: &Link, target: &str) -> Result<Url, String> {
        let url = links::resolve(&link.url, target);
        let url = url.ok_or_else(|| format!("{target} is no URL"))?;
        if link.page.is_none() && !self.is_on_site(&url) {
            Err(format!("{url} is on another host, port or scheme"))
        } else if !self.report().redirected(&link.url, &url) {
            Err(format!("{url} leads back here, in a circle"))
        } else {
            Ok(url)
        }
    }

    /// Adds the visit of a page which has none yet, if it is on the site.
    ///
    /// The compiler wants this step of the recursion in a plain function: in `visit` itself, `go` would ask
    /// whether a visit is `Send` before that is known.
    fn add<'a>(&'a self, link: Link, group: &Handle<Child<'a>>) {
        if self.is_on_site(&link.url) && self.report().admit(&link.url) {
            // Who adds it is a child or the body, and so the group is there.
            group.go(self.visit(link, group.clone())).ok();
        }
    }

    async fn fetch(&self, url: &Url) -> Result<Page, Cause> {
        let target = Target::new(url.as_str(), url.as_str()).map_err(|error| error.cause)?;
        let answer = async { target.get().await.map_err(|error| error.cause) };
        let seconds = self.options.timeout;
        let late = async {
            Timer::after(Duration::from_secs(seconds.into())).await;
            Err(format!("no answer within {seconds} s").into())
        };
        future::or(answer, late).await
    }

    fn is_on_site(&self, url: &Url) -> bool {
        url.origin() == self.start.origin()
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().expect("no visit has panicked")
    }
}
