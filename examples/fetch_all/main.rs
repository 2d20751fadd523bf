//! Fetches a long list of URLs, a few at a time, and writes a row of CSV or JSON for each, in the
//! order of the list. The first failure ends it; with `--keep-going` it is a row as any other. The
//! group is in `fetch_all`.
//!
//! `cargo run --example fetch_all` fetches from a server of its own on loopback;
//! `cargo run --example fetch_all -- FILE` fetches the URLs in a file, one on each line, and
//! `cargo run --example fetch_all < FILE` does the same.

#[path = "../cli/mod.rs"]
mod cli;
#[path = "../http/mod.rs"]
mod http;
mod list;
mod pages;
mod report;
mod rows;

use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use errgroup::Group;
use smol::future;

use http::client::{self, Page, Target};
use report::Report;
use rows::{Format, Row, Rows};

/// Fetches a list of URLs, a few at a time, and writes a row for each, in the order of the list.
///
/// The first failure ends it, with exit code 1. A failure is no answer, or one without success; that
/// includes redirects, which are not followed. The rows are then those of the URLs at the head of the
/// list, up to the first that was not fetched.
#[derive(Parser)]
#[command(name = "fetch_all", after_help = cli::EXIT_CODES)]
struct Args {
    /// A list of URLs, each on a line of its own and starting with http://; - is standard input
    ///
    /// Empty lines are skipped, and lines that start with #. Without a FILE, the list is read from
    /// standard input. If that is a terminal, or has no URL, the program starts a server on loopback and
    /// fetches the pages of that.
    #[arg(value_name = "FILE")]
    list: Option<PathBuf>,
    /// At most N requests at a time
    #[arg(long, value_name = "N", default_value = "16")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// What the rows are: lines of CSV after a header, or a JSON object on each line
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Where to write the rows [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// After a failure, fetch the rest: the failure is a row, and the exit code is 1 at the end
    #[arg(long)]
    keep_going: bool,
    /// Only start the server, write the URLs of its pages, and wait
    #[arg(long, exclusive = true)]
    serve: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome =
        smol::block_on(async { if args.serve { serve().await } else { run(&args).await } });
    cli::end(outcome)
}

/// Gets all pages, `args.limit` at a time.
///
/// The loop goes on when there is room for one more request, so the group never holds more than the
/// limit, however long the list is. With `try_join` there would be no need to put the rows in order,
/// but they would all come at the end.
///
/// When a child fails, `ready` or the group returns its error. By then the other children are dropped,
/// and with them their connections.
async fn fetch_all<'a>(
    urls: &'a [String],
    args: &Args,
    report: &RefCell<Report<'a>>,
) -> Result<(), Box<dyn Error>> {
    let mut group = Group::unboxed().with_limit(args.limit);
    for (index, url) in urls.iter().enumerate() {
        group.ready().await?;
        group.push(async move {
            report.borrow_mut().start();
            let start = Instant::now();
            let outcome = fetch(url).await;
            let row = Row::new(url, start.elapsed(), &outcome);

            let mut report = report.borrow_mut();
            report.count(&row);
            if !args.keep_going {
                outcome?;
            }
            Ok(report.write(index, row)?)
        });
    }
    group.await
}

async fn fetch(url: &str) -> Result<Page, client::Error> {
    Target::new(url, url)?.get().await
}

/// Fetches what the command line asks for. The exit code says whether anything has failed.
async fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut urls = list::read(args.list.as_deref())?;
    let mut _server = None;
    if urls.is_empty() && args.list.is_none() {
        let (server, its_urls) = pages::serve().await?;
        let (pages, address) = (its_urls.len(), server.address);
        cli::note(format_args!("no list: fetching {pages} pages from a server on {address}"));
        (_server, urls) = (Some(server), its_urls);
    }
    let report = RefCell::new(Report::new(urls.len(), Rows::new(args.format, output(args)?)));

    let outcome = fetch_all(&urls, args, &report).await;

    let report = report.into_inner();
    cli::note(report.finish());
    outcome?;
    Ok(if report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn output(args: &Args) -> Result<Box<dyn Write>, String> {
    let Some(path) = &args.output else {
        return Ok(Box::new(io::stdout()));
    };
    match File::create(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(format!("cannot create {}: {error}", path.display())),
    }
}

/// Serves the pages until the program is ended from outside.
async fn serve() -> Result<ExitCode, Box<dyn Error>> {
    let (_server, urls) = pages::serve().await?;
    writeln!(io::stdout(), "{}", urls.join("\n"))?;
    future::pending().await
}
