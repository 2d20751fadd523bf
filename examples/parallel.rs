//! Results by index: each child borrows its own slot of the caller's vector.
//!
//! Run it with `cargo run --example parallel`.

use std::io;
use std::time::Duration;

use async_std::task;
use errgroup::Group;

/// What the services know, and how long they think about it.
const SERVICES: [(&str, u64, &[&str]); 3] = [
    ("web", 30, &["tidal power", "sea maps", "tidal charts"]),
    ("images", 10, &["a harbour at noon", "tidal flats"]),
    ("videos", 20, &["how tidal locks work", "deep sea dives"]),
];

/// Asks all services at once; the results are in the order of the services.
async fn search_all(query: &str) -> io::Result<Vec<String>> {
    let mut results = vec![String::new(); SERVICES.len()];

    let mut group = Group::new();
    for (service, result) in (0..).zip(&mut results) {
        group.go(async move {
            *result = search(service, query).await?;
            Ok::<_, io::Error>(())
        });
    }
    group.await?;

    Ok(results)
}

/// Stands for a request to a service.
async fn search(service: usize, query: &str) -> io::Result<String> {
    let (_, millis, titles) = SERVICES.get(service).ok_or(io::ErrorKind::NotFound)?;
    task::sleep(Duration::from_millis(*millis)).await;
    let found: Vec<&str> = titles.iter().copied().filter(|title| title.contains(query)).collect();
    Ok(found.join(", "))
}

fn main() -> io::Result<()> {
    let results = task::block_on(search_all("tidal"))?;
    for ((service, ..), result) in SERVICES.iter().zip(&results) {
        println!("{service:8}{result}");
    }
    assert_eq!(results, ["tidal power, tidal charts", "tidal flats", "how tidal locks work"]);
    Ok(())
}
