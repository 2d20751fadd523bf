//! A dashboard which needs all of its services: it fetches them at once, and the first failure
//! drops the requests still under way. The group is in `gather`.
//!
//! `cargo run --example dashboard` plays two acts with services of its own on loopback;
//! `cargo run --example dashboard -- URL URL ... [--limit N]` fetches the given URLs instead.

#[path = "../cli/mod.rs"]
mod cli;
#[path = "../http/mod.rs"]
mod http;
mod progress;
mod services;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use errgroup::Group;

use cli::count;
use http::client::{self, Page, Target};
use progress::Board;
use services::{Plan, Services};

const TEXTS: [&str; 3] =
    [r#"{"id": 7, "plan": "pro"}"#, r#"{"open": 2, "shipped": 11}"#, r#"{"items": [3, 14, 15]}"#];

/// Fetches URLs all at once; the first failure drops the requests still under way.
///
/// A failure is no answer, or one without success; the exit code is then 1.
///
/// Without a URL, shows this twice with three services on loopback: once all is well, once a
/// service fails. The exit code is 0 if that goes as it must.
#[derive(Parser)]
#[command(name = "dashboard", after_help = cli::EXIT_CODES)]
struct Args {
    /// What to fetch, each starting with http://; redirects are not followed
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// At most N requests at a time [default: all]
    #[arg(long, value_name = "N", requires = "urls")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = smol::block_on(async {
        if args.urls.is_empty() {
            all_well().await?;
            one_fails().await
        } else {
            fetch(args).await
        }
    });
    cli::end(outcome.map(|()| ExitCode::SUCCESS))
}

/// Gets the pages of all targets at once, or `limit` at a time, and how long each took.
///
/// The children borrow the targets, and each its own slot for the page. When one fails, the group
/// drops the others, and with them their connections, before it hands out the error.
async fn gather(
    targets: &[Target],
    limit: Option<usize>,
) -> Result<Vec<(Page, Duration)>, client::Error> {
    let board = Board::new(targets);
    let mut pages: Vec<Option<(Page, Duration)>> = targets.iter().map(|_| None).collect();

    let mut group = Group::new();
    if let Some(limit) = limit {
        group = group.with_limit(limit);
    }
    for (target, slot) in targets.iter().zip(&mut pages) {
        let line = board.line(&target.name);
        group.go(async move {
            line.start();
            let start = Instant::now();
            let page = target.get().await;
            let page = page.inspect_err(|error| line.finish(&error.cause))?;
            let bytes = count(page.body().len(), "byte", "bytes");
            line.finish(format_args!("{}, {bytes}", page.status()));
            *slot = Some((page, start.elapsed()));
            Ok(())
        });
    }
    group.await?;

    Ok(pages.into_iter().flatten().collect())
}

/// Fetches the URLs of the command line.
async fn fetch(args: Args) -> Result<(), Box<dyn Error>> {
    let targets = args.urls.iter().map(|url| Target::new(url, url));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let pages = gather(&targets, args.limit).await?;
    let bytes: usize = pages.iter().map(|(page, _)| page.body().len()).sum();
    let (mut out, bytes) = (io::stdout(), count(bytes, "byte", "bytes"));
    writeln!(out, "  total {bytes} in {}", millis(start.elapsed()))?;
    Ok(())
}

/// The first act: the dashboard is complete as soon as the slowest service has answered.
async fn all_well() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    writeln!(out, "All well")?;
    let services = Services::start([
        ("user", Plan::Answer(80, TEXTS[0])),
        ("orders", Plan::Answer(120, TEXTS[1])),
        ("recommendations", Plan::Answer(160, TEXTS[2])),
    ])
    .await?;

    let start = Instant::now();
    let pages = gather(&services.targets, None).await?;
    let total = start.elapsed();

    writeln!(out, "\n  The dashboard")?;
    for (target, (page, took)) in services.targets.iter().zip(&pages) {
        let (time, text) = (millis(*took), String::from_utf8_lossy(page.body()));
        writeln!(out, "  {:16} {time:>9}  {text}", target.name)?;
    }
    let one_by_one = pages.iter().map(|(_, took)| took).sum();
    let (time, sum) = (millis(total), millis(one_by_one));
    writeln!(out, "  total            {time:>9}  (one by one {sum})")?;
    let bodies = pages.iter().map(|(page, _)| page.body());
    check(bodies.eq(TEXTS), "a service answered wrongly")?;
    check(total < one_by_one, "the requests did not run at once")
}

/// The second act: one service fails, and the requests to the others end with the group.
async fn one_fails() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    writeln!(out, "\nOne fails")?;
    let services = Services::start([
        ("user", Plan::Answer(10_000, TEXTS[0])),
        ("orders", Plan::Fail(150)),
        ("recommendations", Plan::Hang),
    ])
    .await?;

    let start = Instant::now();
    let Err(error) = gather(&services.targets, None).await else {
        return Err("no request failed".into());
    };
    let (took, reported) = (start.elapsed(), Instant::now());
    let left = services.traffic.reach(0).await;
    let (at_failure, later) = (services.traffic.at_failure(), millis(reported.elapsed()));

    writeln!(out, "\n  {error}, after {}", millis(took))?;
    writeln!(
        out,
        "  still in flight: {at_failure} as orders failed, {left} after another {later}"
    )?;
    let of_orders = error.to_string() == "orders: HTTP 500 Internal Server Error";
    check(of_orders, "the error is not the one of orders")?;
    check(at_failure == 2, "the other requests were not in flight")?;
    check(left == 0, "the dropped requests are still in flight")
}

fn check(holds: bool, otherwise: &str) -> Result<(), Box<dyn Error>> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
