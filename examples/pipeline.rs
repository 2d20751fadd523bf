//! Stages joined by bounded channels: one child walks a directory tree, three digest its texts,
//! one collects the sums. When a stage fails, all of them end.
//!
//! Run it with `cargo run --example pipeline`.

use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, env, io, process};

use errgroup::Group;
use smol::channel::{Receiver, Sender, bounded};
use smol::{fs, stream::StreamExt};

async fn digest_all(root: &Path) -> io::Result<BTreeMap<PathBuf, u64>> {
    let ((paths, found), (digested, sums)) = (bounded(2), bounded(2));
    let mut all = BTreeMap::new();

    let mut group = Group::new();
    group.go(walk(root, paths));
    // The digesters get all senders, so that the collector ends after the last of them.
    for digested in vec![digested; 3] {
        group.go(digest(found.clone(), digested));
    }
    group.go(async {
        while let Ok((path, sum)) = sums.recv().await {
            all.insert(path, sum);
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
            match entry.file_type().await?.is_dir() {
                true => dirs.push(entry.path()),
                false => paths.send(entry.path()).await.map_err(io::Error::other)?,
            }
        }
    }
    Ok(())
}

/// Sums up UTF-8 texts with 64-bit FNV-1a.
async fn digest(found: Receiver<PathBuf>, digested: Sender<(PathBuf, u64)>) -> io::Result<()> {
    while let Ok(path) = found.recv().await {
        let text = fs::read_to_string(&path).await?;
        let step = |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        digested.send((path, sum)).await.map_err(io::Error::other)?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = env::temp_dir().join(format!("errgroup-pipeline-{}", process::id()));
    std::fs::create_dir_all(root.join("deep"))?;
    for name in ["a", "b", "deep/c", "deep/d"] {
        std::fs::write(root.join(name), name)?;
    }
    let sums = smol::block_on(digest_all(&root));
    std::fs::write(root.join("no-text"), [0xff])?;
    let error = smol::block_on(digest_all(&root)).unwrap_err();
    std::fs::remove_dir_all(&root)?;

    let sums = sums?;
    for (path, sum) in &sums {
        let name = path.strip_prefix(&root).unwrap_or(path).display();
        println!("{sum:016x}  {name}");
    }
    println!("with a file which is no text: {error}");
    assert_eq!(sums.len(), 4);
    assert_eq!(sums[&root.join("deep/c")], 0xc91e_7e24_7c14_d039);
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    Ok(())
}
