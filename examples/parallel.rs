//! Results by index: each child borrows its own slot of a vector on the caller's stack. Here the
//! children ask three search services over TCP, and the services are children of the same group.
//!
//! Run it with `cargo run --example parallel`.

use async_std::io::BufReader;
use async_std::io::prelude::{BufReadExt, ReadExt, WriteExt};
use async_std::net::{SocketAddr, TcpListener, TcpStream};
use async_std::task;
use errgroup::Group;
use std::io;

const SERVICES: [(&str, &[&str]); 3] = [
    ("web", &["tidal power", "sea maps", "tidal charts"]),
    ("images", &["a harbour at noon", "tidal flats"]),
    ("videos", &["how tidal locks work", "deep sea dives"]),
];

/// Asks all services at once; the results are in the order of the services.
async fn search_all(query: &str) -> io::Result<Vec<String>> {
    let mut results = vec![String::new(); SERVICES.len()];

    let mut group = Group::new();
    for ((_, titles), result) in SERVICES.iter().zip(&mut results) {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        group.go(serve(listener, titles));
        group.go(async move {
            *result = search(address, query).await?;
            Ok(())
        });
    }
    group.await?;

    Ok(results)
}

async fn search(address: SocketAddr, query: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{query}\n").as_bytes()).await?;
    let mut found = String::new();
    stream.read_to_string(&mut found).await?;
    Ok(found)
}

/// Answers one query with the titles in which it occurs.
async fn serve(listener: TcpListener, titles: &[&str]) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    let mut query = String::new();
    BufReader::new(&stream).read_line(&mut query).await?;
    let mut found = titles.to_vec();
    found.retain(|title| title.contains(query.trim_end()));
    (&stream).write_all(found.join(", ").as_bytes()).await
}

fn main() -> io::Result<()> {
    let results = task::block_on(search_all("tidal"))?;
    for ((service, _), result) in SERVICES.iter().zip(&results) {
        println!("{service:8}{result}");
    }
    assert_eq!(results[0], "tidal power, tidal charts");
    assert_eq!(results[1], "tidal flats");
    assert_eq!(results[2], "how tidal locks work");
    Ok(())
}
