//! What a crawl of the site must find, by its map alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::site::{Map, Place, Written};

/// What can be reached from the page at `/`.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) pages: BTreeSet<String>,
    pub(crate) redirects: BTreeSet<String>,
    /// The pages with a link to each that is missing, or that closes a circle of redirects; also by a
    /// redirect.
    pub(crate) broken: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    pub(crate) fn of(map: &Map) -> Self {
        let mut known = Self::default();
        let mut linked_from = BTreeMap::from([("/".to_owned(), BTreeSet::new())]);
        let mut moved = BTreeMap::new();
        let mut left = vec!["/".to_owned()];
        while let Some(path) = left.pop() {
            let (links, from) = match map.at(&path) {
                Place::Page(links) => {
                    known.pages.insert(path.clone());
                    (links, BTreeSet::from([path]))
                }
                Place::Redirect(link) if circles(&moved, &path, &link) => {
                    known.broken.insert(path, BTreeSet::new());
                    continue;
                }
                Place::Redirect(link) => {
                    moved.extend(link.leads_to.clone().map(|target| (path.clone(), target)));
                    known.redirects.insert(path);
                    (vec![link], BTreeSet::new())
                }
                Place::Text => {
                    known.pages.insert(path);
                    continue;
                }
                Place::Missing => {
                    known.broken.insert(path, BTreeSet::new());
                    continue;
                }
                Place::Silence => panic!("{path} would never end"),
            };
            for target in links.into_iter().filter_map(|link| link.leads_to) {
                let pages = linked_from.entry(target.clone()).or_insert_with(|| {
                    left.push(target);
                    BTreeSet::new()
                });
                pages.extend(from.iter().cloned());
            }
        }
        // On this site, no redirect leads to another that leads to something missing.
        for (path, target) in moved {
            let pages = linked_from[&path].clone();
            linked_from.entry(target).or_default().extend(pages);
        }
        for (path, pages) in &mut known.broken {
            *pages = linked_from.remove(path).unwrap_or_default();
        }
        known
    }

    /// Whatever a crawl has to ask for.
    pub(crate) fn all(&self) -> BTreeSet<String> {
        let broken = self.broken.keys();
        self.pages.iter().chain(&self.redirects).chain(broken).cloned().collect()
    }
}

/// Whether a redirect leads to one that leads back to it. On this site, no circle has more of them.
fn circles(moved: &BTreeMap<String, String>, path: &str, link: &Written) -> bool {
    link.leads_to.as_ref().is_some_and(|target| moved.get(target).is_some_and(|end| end == path))
}
