//! A site on loopback to crawl, of thousands of pages, and what its server has seen.
//!
//! Its map says of each link, as it is written, which page it leads to, so that what a crawl must find is
//! known without HTML and without URLs.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event_listener::Event;
use fastrand::Rng;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode};
use smol::{Timer, future};
use url::Url;

use crate::http::server::{Server, reply};

/// One in ten of them is an orphan: no page links to it.
pub(crate) const PAGES: u32 = 3000;

/// The number of requests that `/trap` leads to. None is answered before all are there, and then only one.
pub(crate) const TRAPPED: usize = 9;

/// The site, served until it is dropped.
pub(crate) struct Site {
    pub(crate) start: Url,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) map: Map,
    _servers: [Server; 2],
}

/// What the server has seen.
#[derive(Default)]
pub(crate) struct Traffic {
    counts: Mutex<Counts>,
    changed: Event,
}

#[derive(Clone, Default)]
pub(crate) struct Counts {
    /// The requests for each path, with its query.
    pub(crate) requests: HashMap<String, usize>,
    /// The requests to another server, to which the site has links.
    pub(crate) elsewhere: usize,
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight: usize,
}

/// What is where. It names its own server and another one.
#[derive(Clone)]
pub(crate) struct Map {
    host: String,
    elsewhere: String,
}

/// What is at a path.
pub(crate) enum Place {
    Page(Vec<Written>),
    /// A text, which is no HTML.
    Text,
    Redirect(Written),
    Missing,
    /// No answer, ever.
    Silence,
}

/// A link as it is written, and the path on this site that it leads to, if it does.
pub(crate) struct Written {
    pub(crate) href: String,
    pub(crate) leads_to: Option<String>,
}

/// A request in flight. hyper drops it with its handler: at the end, or as the client goes away.
struct Visit<'a>(&'a Traffic);

impl Site {
    pub(crate) async fn start() -> io::Result<Self> {
        let traffic = Arc::<Traffic>::default();
        let seen = traffic.clone();
        let other = Server::start(move |_| {
            seen.counts().elsewhere += 1;
            future::ready(reply(StatusCode::OK, "not to be crawled"))
        })
        .await?;

        let (seen, elsewhere) = (traffic.clone(), other.address.to_string());
        let server = Server::start(move |request: Request<Incoming>| {
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
            let host = host.unwrap_or_default().to_owned();
            let map = Map { host, elsewhere: elsewhere.clone() };
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            answer(map, path.to_owned(), seen.clone())
        })
        .await?;

        let map = Map { host: server.address.to_string(), elsewhere: other.address.to_string() };
        let start = Url::parse(&format!("http://{}/", map.host)).expect("an address is a host");
        Ok(Self { start, traffic, map, _servers: [server, other] })
    }
}

impl Traffic {
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no server has panicked")
    }

    /// Waits for so many requests in flight.
    pub(crate) async fn reach(&self, count: usize) {
        loop {
            // It listens first, so that no change is missed in between.
            let changed = self.changed.listen();
            if self.counts().in_flight == count {
                return;
            }
            changed.await;
        }
    }

    fn enter(&self, path: &str) -> Visit<'_> {
        let mut counts = self.counts();
        *counts.requests.entry(path.to_owned()).or_default() += 1;
        counts.in_flight += 1;
        counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        drop(counts);
        self.changed.notify(usize::MAX);
        Visit(self)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.counts().in_flight -= 1;
        self.0.changed.notify(usize::MAX);
    }
}

impl Map {
    pub(crate) fn at(&self, path: &str) -> Place {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if let Some(page) = page_at(path) {
            return if query.is_empty() {
                Place::Page(self.links(page))
            } else {
                Place::Page(vec![Written::to(path, path)])
            };
        }
        match path {
            "/trap" => {
                let silent = (1..TRAPPED).map(|n| format!("/silent/{n}"));
                let paths = silent.chain(["/missing/late".to_owned()]);
                Place::Page(paths.map(|path| Written::to(&path, &path)).collect())
            }
            "/moved/away" => Place::Redirect(Written::away(format!("http://{}/", self.elsewhere))),
            "/moved/round" => Place::Redirect(Written::to("round/again", "/moved/round/again")),
            "/moved/round/again" => Place::Redirect(Written::to("/moved/round", "/moved/round")),
            "/moved/lost" => Place::Redirect(Written::to("/missing/lost", "/missing/lost")),
            _ => match path.rsplit_once('/') {
                Some(("/texts", _)) => Place::Text,
                Some(("/silent", _)) => Place::Silence,
                Some(("/moved", page)) => {
                    let target = page.parse().ok().filter(|&page| page < PAGES).map(path_of);
                    target.map_or(Place::Missing, |path| Place::Redirect(Written::to(&path, &path)))
                }
                _ => Place::Missing,
            },
        }
    }

    /// The links of a page: at first those by which each page but the orphans can be reached.
    fn links(&self, page: u32) -> Vec<Written> {
        let children = (3 * page..3 * page + 6).filter(|&child| parent_of(child) == Some(page));
        let mut links: Vec<_> = children.map(|child| self.link_to(child)).collect();

        // Cycles, and links to itself.
        let mut rng = Rng::with_seed(page.into());
        let others = (0..5).map(|_| rng.u32(..PAGES)).filter(|&other| !is_orphan(other));
        links.extend(others.map(|other| self.link_to(other)));
        let path = path_of(page);
        links.extend(["", "#top", &path].map(|href| Written::to(href, &path)));

        links.push(Written::away(format!("http://{}/page/{page}", self.elsewhere)));
        links.push(Written::away(format!("//{}/", self.elsewhere)));
        links.push(Written::away(format!("https://{}{path}", self.host)));
        links.push(Written::away("mailto:webmaster@example.org?subject=links".into()));
        links.push(Written::away("http://[no URL".into()));

        if page % 50 == 0 {
            let query = format!("?print=1&page={page}");
            links.push(Written::to(&query, &format!("{path}{query}")));
        }
        if page % 30 == 4 {
            let text = format!("/texts/{page}");
            links.push(Written::to(&text, &text));
        }
        if page % 60 == 5 {
            // Several pages have this one.
            let missing = format!("/missing/{}", page / 200);
            links.push(Written::to(&missing, &missing));
        }
        if page % 70 == 8 {
            let moved = ["/moved/away", "/moved/round", "/moved/lost"];
            links.extend(moved.map(|path| Written::to(path, path)));
        }
        links
    }

    /// A link to a page, written in one of many ways.
    fn link_to(&self, page: u32) -> Written {
        let path = path_of(page);
        let href = match page % 8 {
            0 => format!("http://{}{path}", self.host),
            1 => format!("//{}{path}", self.host),
            2 => format!("{path}#part"),
            3 => format!("/elsewhere/../.{path}"),
            4 => format!("  {path}\n"),
            5 => {
                let moved = format!("/moved/{page}");
                return Written::to(&moved, &moved);
            }
            _ => format!("../{}/{page}.html", page / 100),
        };
        Written::to(&href, &path)
    }
}

impl Written {
    fn to(href: &str, path: &str) -> Self {
        Self { href: href.into(), leads_to: Some(path.into()) }
    }

    fn away(href: String) -> Self {
        Self { href, leads_to: None }
    }
}

/// The pages to which no page links are those that end in 9.
pub(crate) fn is_orphan(page: u32) -> bool {
    page % 10 == 9
}

pub(crate) fn path_of(page: u32) -> String {
    if page == 0 { "/".into() } else { format!("/{}/{page}.html", page / 100) }
}

fn page_at(path: &str) -> Option<u32> {
    let (_, name) = path.rsplit_once('/')?;
    let page = if name.is_empty() { 0 } else { name.strip_suffix(".html")?.parse().ok()? };
    (page < PAGES && path_of(page) == path).then_some(page)
}

/// The page that is sure to link to this one.
fn parent_of(page: u32) -> Option<u32> {
    let parent = page / 3;
    let has_parent = page > 0 && page < PAGES && !is_orphan(page);
    has_parent.then_some(if is_orphan(parent) { parent - 1 } else { parent })
}

async fn answer(map: Map, path: String, traffic: Arc<Traffic>) -> Response<Bytes> {
    let _visit = traffic.enter(&path);
    // Some take longer than others.
    if let millis @ 1.. = path.bytes().map(u64::from).sum::<u64>() % 3 {
        Timer::after(Duration::from_millis(millis)).await;
    }
    match map.at(&path) {
        Place::Page(links) => ok("text/html; charset=utf-8", html(&links)),
        Place::Text => ok("text/plain", html(&[map.link_to(19)])),
        Place::Redirect(link) => {
            let response = reply(StatusCode::MOVED_PERMANENTLY, "");
            with(response, LOCATION, &link.href)
        }
        Place::Missing => {
            if path == "/missing/late" {
                traffic.reach(TRAPPED).await;
            }
            reply(StatusCode::NOT_FOUND, "")
        }
        Place::Silence => future::pending().await,
    }
}

fn ok(kind: &str, body: String) -> Response<Bytes> {
    with(reply(StatusCode::OK, body), CONTENT_TYPE, kind)
}

fn with(mut response: Response<Bytes>, name: HeaderName, value: &str) -> Response<Bytes> {
    let value = HeaderValue::from_str(value).expect("it is ASCII");
    response.headers_mut().insert(name, value);
    response
}

/// A page with these links, and with two to an orphan that are none: in a comment and in a script.
fn html(links: &[Written]) -> String {
    let orphan = "<a href='/0/9.html'>";
    let mut html = format!(
        "<!doctype html>\n<title>A page</title>\n<!-- {orphan} -->\n<script>\"{orphan}\"</script>\n"
    );
    for (n, Written { href, .. }) in links.iter().enumerate() {
        let href = href.replace('&', "&amp;");
        html += &match n % 3 {
            0 => format!("<p><a href=\"{href}\">a link</a>\n"),
            1 => format!("<p><A class=plain HREF='{href}' >another</A>\n"),
            _ => format!("<area alt='a third' href=\"{href}\">\n"),
        };
    }
    html
}
