//! What a crawl of the known site must find, and what its server must see of it.

use std::collections::BTreeSet;

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use smol::{block_on, future};
use url::Url;

use crate::crawl::{Crawl, Options};
use crate::http::client::{Cause, Page, Target};
use crate::known::Known;
use crate::links;
use crate::report::{Broken, Link, Report};
use crate::site::{PAGES, Site, TRAPPED, is_orphan, path_of};

#[test]
fn the_site_has_thousands_of_pages_and_some_of_each_kind() {
    block_on(async {
        let site = Site::start().await.unwrap();
        let known = Known::of(&site.map);
        for page in 0..PAGES {
            assert_eq!(known.pages.contains(&path_of(page)), !is_orphan(page), "page {page}");
        }
        let texts = known.pages.iter().filter(|path| path.starts_with("/texts/")).count();
        let queries = known.pages.iter().filter(|path| path.contains('?')).count();
        let moved = known.redirects.len();
        let missing: BTreeSet<_> = (0..15).map(|n| format!("/missing/{n}")).collect();
        let lost = BTreeSet::from(["/missing/lost".to_owned()]);
        let round = "/moved/round/again".to_owned();
        let missing: Vec<_> = missing.union(&lost).chain([&round]).collect();
        assert_eq!((texts, queries), (100, 60));
        assert!(moved > 300, "{moved}");
        assert_eq!(known.broken.keys().collect::<Vec<_>>(), missing);
    });
}

#[test]
fn a_crawl_fetches_each_page_that_can_be_reached_once_and_leaves_nothing_in_flight() {
    block_on(async {
        let mut pages = Vec::new();
        for limit in [32, 1] {
            let site = Site::start().await.unwrap();
            let known = Known::of(&site.map);

            let (outcome, report) = crawl(&site.start, options(limit)).await;
            // Taken at once: the crawl itself has waited for each answer.
            let counts = site.traffic.counts().clone();

            outcome.unwrap();
            assert_eq!(counts.in_flight, 0);
            assert_eq!(report.in_flight, 0);
            assert_eq!(counts.elsewhere, 0);
            assert!(counts.requests.values().all(|&requests| requests == 1));
            assert_eq!(counts.requests.into_keys().collect::<BTreeSet<_>>(), known.all());
            assert!(counts.most_in_flight <= limit);
            assert!(report.most_in_flight <= limit);
            assert!(limit == 1 || report.most_in_flight > 1);

            assert_eq!(report.redirects.len(), known.redirects.len());
            assert_eq!(report.pages.len(), known.pages.len());
            pages.push(report.pages.iter().map(|url| path(&site, url)).collect::<BTreeSet<_>>());
            assert_eq!(pages.last(), Some(&known.pages));

            assert_eq!(report.broken.len(), known.broken.len());
            for Broken { link, cause } in &report.broken {
                let path_of_link = path(&site, &link.url);
                let is_missing = matches!(cause, Cause::Status(StatusCode::NOT_FOUND));
                assert_eq!(is_missing, path_of_link.starts_with("/missing/"), "{cause}");
                let linked_from = &known.broken[&path_of_link];
                assert!(linked_from.contains(&path(&site, link.page.as_ref().unwrap())));
            }
        }
        assert_eq!(pages[0], pages[1]);
    });
}

#[test]
fn the_first_broken_link_ends_a_crawl_and_drops_the_requests_in_flight() {
    block_on(async {
        let site = Site::start().await.unwrap();
        let start = site.start.join("/trap").unwrap();
        let options = Options { fail_fast: true, ..options(TRAPPED) };

        let (outcome, report) = crawl(&start, options).await;

        let Broken { link, cause } = outcome.unwrap_err();
        assert_eq!(path(&site, &link.url), "/missing/late");
        assert_eq!(link.page, Some(start));
        assert!(matches!(cause, Cause::Status(StatusCode::NOT_FOUND)), "{cause}");
        assert_eq!(report.in_flight, TRAPPED - 1);
        // The others are never answered: this ends only if their connections are closed.
        site.traffic.reach(0).await;
        assert_eq!(site.traffic.counts().requests.len(), 1 + TRAPPED);
    });
}

#[test]
fn a_crawl_that_is_dropped_leaves_nothing_in_flight() {
    block_on(async {
        let site = Site::start().await.unwrap();
        let start = site.start.join("/trap").unwrap();
        let crawl = Crawl::new(start, options(TRAPPED));
        let ends = async { panic!("it has ended: {:?}", crawl.run().await) };
        future::or(ends, site.traffic.reach(TRAPPED - 1)).await;
        site.traffic.reach(0).await;
    });
}

#[test]
fn a_start_page_that_cannot_be_fetched_ends_the_crawl() {
    block_on(async {
        let site = Site::start().await.unwrap();
        for (start, expected) in [
            ("/missing/1", "HTTP 404 Not Found"),
            ("/moved/lost", "HTTP 404 Not Found"),
            ("/moved/away", "HTTP 301 Moved Permanently (not followed: http://"),
            ("/moved/round", "HTTP 301 Moved Permanently (not followed: http://"),
        ] {
            let start = site.start.join(start).unwrap();
            let (outcome, report) = crawl(&start, options(2)).await;
            let Broken { link, cause } = outcome.unwrap_err();
            assert!(link.page.is_none());
            assert!(cause.to_string().starts_with(expected), "{cause}");
            assert!(report.pages.is_empty());
        }
        assert_eq!(site.traffic.counts().elsewhere, 0);
    });
}

#[test]
fn a_start_page_that_has_moved_on_the_site_is_followed() {
    block_on(async {
        let site = Site::start().await.unwrap();
        let start = site.start.join("/moved/5").unwrap();
        let (outcome, report) = crawl(&start, options(8)).await;
        outcome.unwrap();
        assert_eq!(path(&site, &report.pages[0]), "/0/5.html");
        assert!(report.pages.len() > 1);
    });
}

#[test]
fn redirects_in_a_circle_are_a_broken_link_where_the_circle_closes() {
    let [a, b, c] = ["a", "b", "c"].map(|path| url(&format!("http://localhost/{path}")));
    let mut report = Report::new(1);
    assert!(report.redirected(&a, &b));
    assert!(report.redirected(&b, &c));
    assert!(!report.redirected(&c, &b));
    assert!(!report.redirected(&c, &a));
    assert!(!report.redirected(&c, &c));
    assert_eq!(report.redirects.len(), 2);
}

#[test]
fn a_crawl_makes_no_more_requests_than_it_may() {
    block_on(async {
        let site = Site::start().await.unwrap();
        let options = Options { max_pages: 10, ..options(4) };
        let (outcome, report) = crawl(&site.start, options).await;
        outcome.unwrap();
        assert_eq!(site.traffic.counts().requests.len(), 10);
        assert!(report.to_string().contains(" pages visited, others left out, "), "{report}");
    });
}

#[test]
fn links_are_those_of_html_against_its_base() {
    let body = "<a name=x href=1?a=1&amp;b=2#part><base href=/other/ target=_top><a href=2><base href=/late/>\
        <a href=' 3\n'><textarea><a href=no></textarea><link href=no><area href=/4><a href>";
    let links = |kind: &str| {
        let page = Page::new(body.into());
        let (mut head, body) = page.into_parts();
        head.headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let url = url("http://localhost/dir/page#here");
        let links = links::of(&Page::from_parts(head, body), &url);
        links.iter().map(Url::to_string).collect::<Vec<_>>()
    };
    let expected = ["dir/1?a=1&b=2", "other/2", "other/3", "4", "other/"];
    let expected = expected.map(|path| format!("http://localhost/{path}"));
    assert_eq!(links("text/html"), expected);
    assert_eq!(links("Text/HTML; charset=utf-8"), expected);
    assert!(links("text/plain").is_empty());
}

#[test]
fn a_password_in_a_link_is_not_told() {
    let link = links::resolve(&url("http://localhost/"), "//me:secret@localhost/#here");
    let link = Link { url: link.unwrap(), page: None };
    let cause = Target::new(link.url.as_str(), link.url.as_str()).err().unwrap().cause;
    assert_eq!(
        Broken { link, cause }.to_string(),
        "http://me@localhost/: bad URL: a user or password in it is not supported"
    );
}

#[test]
fn a_url_that_is_refused_is_told_without_a_password() {
    let check = |url: &str| Target::new(url, url).map_err(|error| error.to_string()).err();
    for good in ["http://localhost", "HTTP://localhost:80/@me", "http://localhost?a=b@c://d"] {
        assert_eq!(check(good), None);
    }
    let no_scheme = "bad URL: it does not start with http://";
    let https = "https:// is not supported, only http://";
    let user = "bad URL: a user or password in it is not supported";
    for (bad, name, cause) in [
        ("example.com", "example.com", no_scheme),
        ("example.com/a", "example.com/a", no_scheme),
        ("localhost:8080", "localhost:8080", no_scheme),
        ("ftp://localhost/", "ftp://localhost/", no_scheme),
        ("https://localhost/", "https://localhost/", https),
        ("http://me:secret@localhost/", "...@localhost/", user),
        ("http://me@localhost?a", "...@localhost?a", user),
        ("http://me:s@cr@t@localhost/", "...@localhost/", user),
        ("https://me:secret@localhost/", "...@localhost/", https),
        ("me:secret@localhost", "...@localhost", no_scheme),
    ] {
        assert_eq!(check(bad), Some(format!("{name}: {cause}")), "{bad}");
    }
}

async fn crawl(start: &Url, options: Options) -> (Result<(), Broken>, Report) {
    let crawl = Crawl::new(start.clone(), options);
    let outcome = crawl.run().await;
    (outcome, crawl.into_report())
}

fn options(limit: usize) -> Options {
    Options { limit, max_pages: usize::MAX, timeout: 600, fail_fast: false }
}

fn url(url: &str) -> Url {
    Url::parse(url).unwrap()
}

/// The path and query of a page of the site.
fn path(site: &Site, url: &Url) -> String {
    let path = url.as_str().strip_prefix(site.start.as_str());
    format!("/{}", path.expect("it is on the site"))
}
