//! Stages joined by bounded channels: one child walks a directory tree, three count the words of its
//! texts, one collects the counts. When a stage fails, all of them end.
//!
//! Run it with `cargo run --example pipeline`.

use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, env, io, process};

use errgroup::Group;
use smol::channel::{Receiver, Sender, bounded};
use smol::{fs, stream::StreamExt};

async fn count_all(root: &Path) -> io::Result<BTreeMap<PathBuf, usize>> {
    let (paths, found) = bounded(2);
    let (counted, counts) = bounded(2);
    let mut all = BTreeMap::new();

    let mut group = Group::new();
    // A channel closes with its last sender, which is how each stage learns that it is done: the
    // senders are moved into the children that send.
    group.go(walk(root, paths));
    for _ in 0..3 {
        group.go(count(found.clone(), counted.clone()));
    }
    drop(counted);
    group.go(async {
        while let Ok((path, words)) = counts.recv().await {
            all.insert(path, words);
        }
        Ok(())
    });
    group.await?;

    Ok(all)
}

async fn walk(root: &Path, paths: Sender<PathBuf>) -> io::Result<()> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let mut entries = fs::read_dir(dir).await?;
        while let Some(entry) = entries.try_next().await? {
            if entry.file_type().await?.is_dir() {
                dirs.push(entry.path());
            } else {
                paths.send(entry.path()).await.map_err(io::Error::other)?;
            }
        }
    }
    Ok(())
}

async fn count(found: Receiver<PathBuf>, counted: Sender<(PathBuf, usize)>) -> io::Result<()> {
    while let Ok(path) = found.recv().await {
        let words = fs::read_to_string(&path).await?.split_whitespace().count();
        counted.send((path, words)).await.map_err(io::Error::other)?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = env::temp_dir().join(format!("errgroup-pipeline-{}", process::id()));
    std::fs::create_dir_all(root.join("deep"))?;
    for (name, text) in [("one", "a"), ("two", "a b"), ("deep/three", "a b c")] {
        std::fs::write(root.join(name), text)?;
    }
    let counts = smol::block_on(count_all(&root));
    std::fs::write(root.join("no-text"), [0xff])?;
    let error = smol::block_on(count_all(&root)).unwrap_err();
    std::fs::remove_dir_all(&root)?;

    let counts = counts?;
    for (path, words) in &counts {
        println!("{words} in {}", path.strip_prefix(&root).unwrap_or(path).display());
    }
    println!("with a file that is no text: {error}");
    assert!(counts.values().eq(&[3, 1, 2]));
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    Ok(())
}
