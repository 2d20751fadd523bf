//! Walks a directory and all below it, several at a time, and sums the sizes of the files. Each directory
//! is a child of the group in `walk`, and adds those that it finds in it.
//!
//! `cargo run --example walk` walks the current directory; `cargo run --example walk -- PATH` another.

#[path = "../cli/mod.rs"]
mod cli;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use errgroup::{Group, Handle, LocalBoxFuture};
use smol::fs;
use smol::stream::StreamExt;

use cli::{count, printable};

/// Sums the sizes of the files in a directory and in all below it.
///
/// Shows the largest directories below PATH, each with the bytes of all files in it and below, and then the
/// sum for PATH. The bytes are the lengths of the files, whatever room they take on the disk; a file with
/// several names counts for each. Symbolic links are not followed, and count for nothing.
///
/// What cannot be read is reported and left out. The directories that it is in are marked, as their bytes are
/// too few, and the exit code is 1 at the end.
#[derive(Parser)]
#[command(name = "walk", after_help = cli::EXIT_CODES)]
struct Args {
    /// Where to start
    #[arg(value_name = "PATH", default_value = ".")]
    root: PathBuf,
    /// At most N directories open at a time
    #[arg(long, value_name = "N", default_value = "32")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// How many of the largest directories to list, each with all below it
    #[arg(long, value_name = "N", default_value = "5")]
    largest: usize,
}

/// What has been found so far.
#[derive(Default)]
struct Walk {
    /// Each comes after the one that it is in, and so the first is the root.
    dirs: Vec<Dir>,
    files: usize,
    unreadable: Vec<Unreadable>,
    open: usize,
    most_open: usize,
}

struct Dir {
    path: PathBuf,
    /// The place in the list of the one that it is in.
    parent: usize,
    /// The sizes of its files, and at the end of all files below it.
    bytes: u64,
    /// How much of it cannot be read, and at the end of all below it.
    unreadable: usize,
}

/// What cannot be read, and why.
#[derive(Debug)]
struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

/// The visit of one directory. Its error ends the walk.
type Child<'a> = LocalBoxFuture<'a, Result<(), Unreadable>>;

const ROOT: usize = 0;

fn main() -> ExitCode {
    let args = Args::parse();
    cli::end(smol::block_on(run(&args)))
}

/// Walks, and prints what it has found.
async fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let walk = walk(&args.root, args.limit).await?;
    for unreadable in &walk.unreadable {
        cli::note(unreadable);
    }
    let mut out = io::stdout();
    for dir in walk.largest(args.largest) {
        writeln!(out, "{}", printable(dir))?;
    }
    writeln!(out, "{walk}")?;
    Ok(if walk.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Visits a directory and all below it, with `limit` of them open at a time.
///
/// The first child is the visit of the root. The group ends when none is left, however deep they add each
/// other: they are all children of the one group, and none awaits another.
async fn walk(root: &Path, limit: usize) -> Result<Walk, Unreadable> {
    let walk = RefCell::new(Walk::default());
    let root = walk.borrow_mut().found(root.to_owned(), ROOT);

    let mut group = Group::new_local().with_limit(limit);
    let handle = group.handle();
    group.go(visit(root, &walk, handle));
    group.await?;

    let mut walk = walk.into_inner();
    walk.add_up();
    Ok(walk)
}

/// Reads a directory. Where that fails, the walk goes on, unless it is the root.
async fn visit<'a>(
    dir: usize,
    walk: &'a RefCell<Walk>,
    group: Handle<Child<'a>>,
) -> Result<(), Unreadable> {
    let path = walk.borrow_mut().open(dir);
    let outcome = read(&path, dir, walk, &group).await;
    walk.borrow_mut().open -= 1;

    match outcome {
        Err(error) if dir == ROOT => return Err(Unreadable { path, error }),
        Err(error) => walk.borrow_mut().cannot_read(dir, path, error),
        Ok(()) => {}
    }
    Ok(())
}

/// Counts the files of a directory, and adds the visits of the directories in it.
async fn read<'a>(
    path: &Path,
    dir: usize,
    walk: &'a RefCell<Walk>,
    group: &Handle<Child<'a>>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(path).await?;
    while let Some(entry) = entries.try_next().await? {
        // Of the entry itself, where that is a symbolic link.
        let metadata = entry.metadata().await;
        let mut found = walk.borrow_mut();
        match metadata {
            Ok(metadata) if metadata.is_dir() => {
                let inner = found.found(entry.path(), dir);
                // Who adds it is a child, and so the group is there.
                group.go(visit(inner, walk, group.clone())).ok();
            }
            Ok(metadata) if metadata.is_file() => {
                found.files += 1;
                found.dirs[dir].bytes += metadata.len();
            }
            Ok(_) => {}
            Err(error) => found.cannot_read(dir, entry.path(), error),
        }
    }
    Ok(())
}

impl Walk {
    fn found(&mut self, path: PathBuf, parent: usize) -> usize {
        self.dirs.push(Dir { path, parent, bytes: 0, unreadable: 0 });
        self.dirs.len() - 1
    }

    /// One more directory is open.
    fn open(&mut self, dir: usize) -> PathBuf {
        self.open += 1;
        self.most_open = self.most_open.max(self.open);
        self.dirs[dir].path.clone()
    }

    /// The directory cannot be read, or this in it.
    fn cannot_read(&mut self, dir: usize, path: PathBuf, error: io::Error) {
        self.dirs[dir].unreadable += 1;
        self.unreadable.push(Unreadable { path, error });
    }

    /// Adds what is known of each directory to the one that it is in, from the last found back.
    fn add_up(&mut self) {
        for dir in (ROOT + 1..self.dirs.len()).rev() {
            let Dir { parent, bytes, unreadable, .. } = self.dirs[dir];
            self.dirs[parent].bytes += bytes;
            self.dirs[parent].unreadable += unreadable;
        }
    }

    /// The largest directories below the root, the largest first.
    fn largest(&self, count: usize) -> Vec<&Dir> {
        let mut dirs: Vec<_> = self.dirs.iter().skip(ROOT + 1).collect();
        dirs.sort_by_key(|dir| (Reverse(dir.bytes), &dir.path));
        dirs.truncate(count);
        dirs
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = count(self.dirs[ROOT].bytes, "byte", "bytes");
        let files = count(self.files, "file", "files");
        let dirs = count(self.dirs.len(), "directory", "directories");
        let (unreadable, most_open) = (self.unreadable.len(), self.most_open);
        write!(
            f,
            "{bytes} in {files} and {dirs}, {unreadable} unreadable, \
             at most {most_open} open at a time"
        )
    }
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>15}  {}", self.bytes, self.path.display())?;
        match self.unreadable {
            0 => Ok(()),
            unreadable => write!(f, " ({unreadable} unreadable)"),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.error)
    }
}

impl Error for Unreadable {}
