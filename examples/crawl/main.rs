//! Crawls a site: fetches its start page, all that this links to, and so on, each page once and a few at
//! a time, until nothing is left. The scope, and the children that add children, are in `crawl.rs`.
//!
//! `cargo run --example crawl` crawls a site of thousands of pages that it serves itself, on loopback;
//! `cargo run --example crawl -- URL` crawls the site at a given URL instead. It does not read robots.txt,
//! so let that be a site of yours.

#[path = "../cli/mod.rs"]
mod cli;
mod crawl;
#[path = "../http/mod.rs"]
mod http;
mod known;
mod links;
mod report;
mod site;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use smol::future;
use url::Url;

use cli::count;
use crawl::{Crawl, Options};
use http::client;
use known::Known;
use report::Report;
use site::{Counts, Site};

/// Crawls a site, each page once, and reports its broken links.
///
/// It stays on the host and port of the URL. A redirect is followed as a link is, and is broken where it is
/// one of a circle. That a page cannot be fetched is reported, and no more than that, but for the first one:
/// without it there is no crawl, and the exit code is 1.
#[derive(Parser)]
#[command(name = "crawl", after_help = cli::EXIT_CODES)]
struct Args {
    /// Where to start, an http:// URL [default: a site that the program serves itself, on loopback]
    #[arg(value_name = "URL")]
    start: Option<String>,
    #[command(flatten)]
    options: Options,
    /// List all broken links, and not only the first few
    #[arg(long)]
    broken: bool,
    /// Only serve the site, write its URL, and wait
    #[arg(long, exclusive = true)]
    serve: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = smol::block_on(async {
        match &args.start {
            _ if args.serve => serve().await,
            Some(url) => crawl(start(url)?, &args).await,
            None => crawl_own(&args).await,
        }
    });
    cli::end(outcome.map(|()| ExitCode::SUCCESS))
}

async fn crawl(start: Url, args: &Args) -> Result<(), Box<dyn Error>> {
    let crawl = Crawl::new(start, args.options.clone());
    let outcome = crawl.run().await;
    let written = write(&crawl.into_report(), args);
    // A crawl that has failed is no success, also where nobody reads the report.
    outcome?;
    Ok(written?)
}

fn write(report: &Report, args: &Args) -> io::Result<()> {
    let listed = if args.broken { report.broken.len() } else { 5 };
    let mut out = io::stdout();
    for broken in report.broken.iter().take(listed) {
        writeln!(out, "broken: {}", cli::printable(broken))?;
    }
    if let left @ 1.. = report.broken.len().saturating_sub(listed) {
        writeln!(out, "broken: {left} more, which --broken lists")?;
    }
    writeln!(out, "{report}")
}

/// Crawls a site on loopback, and tells what its server has seen of that.
async fn crawl_own(args: &Args) -> Result<(), Box<dyn Error>> {
    let site = Site::start().await?;
    cli::note(format_args!("no URL: crawling {}, served by this program", site.start));
    let outcome = crawl(site.start.clone(), args).await;
    let Counts { requests, in_flight, most_in_flight, .. } = site.traffic.counts().clone();
    let (all, distinct) = (requests.values().sum(), requests.len());
    let all = count::<usize>(all, "request", "requests");
    let known = Known::of(&site.map).all().len();
    let written = writeln!(
        io::stdout(),
        "its server has seen {all} for {distinct} of the {known} addresses that can be \
         reached, at most {most_in_flight} at a time, {in_flight} now"
    );
    outcome?;
    Ok(written?)
}

/// Serves the site until the program is ended from outside.
async fn serve() -> Result<(), Box<dyn Error>> {
    let site = Site::start().await?;
    writeln!(io::stdout(), "{}", site.start)?;
    future::pending().await
}

fn start(url: &str) -> Result<Url, client::Error> {
    let parse = || {
        client::check(url)?;
        Url::parse(url).map_err(|error| format!("bad URL: {error}").into())
    };
    parse().map_err(|cause| client::Error::refused(url, cause))
}
