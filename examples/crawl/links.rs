//! The links of a page.

use html5gum::{DefaultEmitter, Token, Tokenizer};
use hyper::header::CONTENT_TYPE;
use url::Url;

use crate::http::client::Page;

/// Where the links of a page lead to. A page that is no HTML has none.
pub(crate) fn of(page: &Page, url: &Url) -> Vec<Url> {
    let mut links = Vec::new();
    if !is_html(page) {
        return links;
    }
    let mut base = None;
    let mut emitter = DefaultEmitter::default();
    // Otherwise it would find tags in scripts.
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(&page.body()[..], emitter) {
        let Token::StartTag(tag) = token else {
            continue;
        };
        let Some(href) = tag.attributes.get(&b"href"[..]) else {
            continue;
        };
        let target = || resolve(base.as_ref().unwrap_or(url), &String::from_utf8_lossy(href));
        match &tag.name[..] {
            b"a" | b"area" => links.extend(target()),
            // The first one counts.
            b"base" if base.is_none() => base = target(),
            _ => {}
        }
    }
    links
}

/// The URL that a page names, or `None` if it is none.
pub(crate) fn resolve(base: &Url, url: &str) -> Option<Url> {
    base.join(url).ok().map(plain)
}

/// A URL as it is asked for and reported: without a fragment, and without a password.
pub(crate) fn plain(mut url: Url) -> Url {
    url.set_fragment(None);
    // No URL that can have one refuses to lose it.
    url.set_password(None).ok();
    url
}

fn is_html(page: &Page) -> bool {
    let kind = page.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|html| kind.eq_ignore_ascii_case(html))
}
