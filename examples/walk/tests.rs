//! What the walk finds is what the standard library finds, one directory after the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Unreadable, Walk};

/// What `std` finds, with a list of the directories left in place of recursion.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    bytes: u64,
    files: usize,
    dirs: usize,
    unreadable: usize,
}

impl Counted {
    fn by_std(root: &Path) -> Self {
        let mut counted = Self::default();
        let mut left = vec![root.to_owned()];
        while let Some(dir) = left.pop() {
            counted.dirs += 1;
            let Ok(entries) = fs::read_dir(dir) else {
                counted.unreadable += 1;
                continue;
            };
            for entry in entries {
                let entry = entry.unwrap();
                // Of a symbolic link, that of the link.
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                    Ok(metadata) if metadata.is_file() => {
                        counted.files += 1;
                        counted.bytes += metadata.len();
                    }
                    Ok(_) => {}
                    Err(_) => counted.unreadable += 1,
                }
            }
        }
        counted
    }

    fn by(walk: &Walk) -> Self {
        let (bytes, files) = (walk.dirs[0].bytes, walk.files);
        Self { bytes, files, dirs: walk.dirs.len(), unreadable: walk.unreadable.len() }
    }
}

#[test]
fn a_deep_and_wide_tree_has_the_size_that_std_counts_at_every_limit() {
    let root = tempfile::tempdir().unwrap();
    let mut deep = root.path().join("deep");
    for depth in 1..=500 {
        fs::create_dir(&deep).unwrap();
        file(&deep.join("file"), depth);
        deep.push("d");
    }
    for dir in 1..=60 {
        let wide = root.path().join("wide").join(dir.to_string());
        fs::create_dir_all(&wide).unwrap();
        for size in 0..dir {
            file(&wide.join(size.to_string()), size);
        }
    }
    fs::create_dir(root.path().join("empty")).unwrap();

    let bytes = (1..=500).sum::<u64>() + (1..=60).map(|dir| (0..dir).sum::<u64>()).sum::<u64>();
    let files = 500 + (1..=60).sum::<usize>();
    let expected = Counted { bytes, files, dirs: 1 + 500 + 61 + 1, unreadable: 0 };
    assert_eq!(Counted::by_std(root.path()), expected);
    for limit in [1, 3, 32] {
        let walk = walk(root.path(), limit).unwrap();
        assert_eq!(Counted::by(&walk), expected);
        assert_eq!(walk.open, 0);
        assert!(walk.most_open <= limit);
    }
}

#[test]
fn the_largest_directories_are_listed_with_all_below_them() {
    let root = tempfile::tempdir().unwrap();
    for (path, size) in [("a/b/c/1", 100), ("a/2", 10), ("d/3", 50), ("e/4", 50), ("5", 1000)] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        file(&path, size);
    }
    let walk = walk(root.path(), 2).unwrap();
    let largest = walk.largest(4).into_iter();
    let largest = largest.map(|dir| (dir.path.strip_prefix(root.path()).unwrap(), dir.bytes));
    let expected = [("a", 110), ("a/b", 100), ("a/b/c", 100), ("d", 50)];
    assert!(largest.eq(expected.map(|(path, bytes)| (Path::new(path), bytes))));
    assert_eq!(walk.largest(10).len(), 5);
    assert_eq!(walk.dirs[0].bytes, 1210);
}

#[test]
fn one_of_something_is_not_called_several() {
    let root = tempfile::tempdir().unwrap();
    let summary = || walk(root.path(), 1).unwrap().to_string();
    let rest = "0 unreadable, at most 1 open at a time";
    assert_eq!(summary(), format!("0 bytes in 0 files and 1 directory, {rest}"));
    file(&root.path().join("file"), 1);
    assert_eq!(summary(), format!("1 byte in 1 file and 1 directory, {rest}"));
    fs::create_dir(root.path().join("dir")).unwrap();
    file(&root.path().join("dir/file"), 1);
    assert_eq!(summary(), format!("2 bytes in 2 files and 2 directories, {rest}"));
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_not_followed_not_even_in_a_cycle() {
    use std::os::unix::fs::symlink;

    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    file(&outside.path().join("large"), 1_000_000);
    let inner = root.path().join("dir");
    fs::create_dir(&inner).unwrap();
    file(&inner.join("small"), 7);
    symlink(root.path(), inner.join("cycle")).unwrap();
    symlink("self", inner.join("self")).unwrap();
    symlink("nothing", inner.join("dangling")).unwrap();
    symlink(outside.path(), inner.join("dir-outside")).unwrap();
    symlink(outside.path().join("large"), inner.join("file-outside")).unwrap();

    let walk = walk(root.path(), 4).unwrap();
    let expected = Counted { bytes: 7, files: 1, dirs: 2, unreadable: 0 };
    assert_eq!(Counted::by(&walk), expected);
    assert_eq!(Counted::by_std(root.path()), expected);
}

/// Whoever runs the tests may be allowed to read everything, but no path is longer than the system has it.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_read_is_reported_and_the_walk_goes_on() {
    let root = tempfile::tempdir().unwrap();
    // Both halves have a path of their own. The one within the other has none.
    let upper = half(&root, "upper");
    half(&root, "lower");
    fs::rename(root.path().join("lower"), upper.join("lower")).unwrap();
    for n in 0..10 {
        let dir = root.path().join(n.to_string());
        fs::create_dir(&dir).unwrap();
        file(&dir.join("file"), n);
    }

    let walk = walk(root.path(), 2).unwrap();
    assert_eq!(Counted::by(&walk), Counted::by_std(root.path()));
    let [Unreadable { path, error }] = &walk.unreadable[..] else {
        panic!("{:?}", walk.unreadable);
    };
    assert!(path.starts_with(&upper));
    assert!(error.to_string().starts_with("File name too long"), "{error}");
    assert_eq!(walk.files, 11);
    for dir in &walk.dirs {
        let is_above = upper.starts_with(&dir.path) || path.starts_with(&dir.path);
        assert_eq!(dir.unreadable, usize::from(is_above));
        assert_eq!(dir.to_string().ends_with(" (1 unreadable)"), is_above);
    }
}

#[test]
fn a_root_that_cannot_be_read_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let a_file = root.path().join("file");
    file(&a_file, 1);
    for (path, kind) in [
        (root.path().join("none"), io::ErrorKind::NotFound),
        (a_file, io::ErrorKind::NotADirectory),
    ] {
        let Unreadable { path: reported, error } = walk(&path, 1).err().unwrap();
        assert_eq!(reported, path);
        assert_eq!(error.kind(), kind);
    }
}

fn walk(root: &Path, limit: usize) -> Result<Walk, Unreadable> {
    smol::block_on(super::walk(root, limit))
}

fn file(path: &Path, size: u64) {
    fs::File::create_new(path).unwrap().set_len(size).unwrap();
}

/// Directories in each other, with a path of 3,000 bytes, and a file in the last.
#[cfg(target_os = "linux")]
fn half(root: &TempDir, name: &str) -> PathBuf {
    let mut path = root.path().join(name);
    while path.as_os_str().len() < 3_000 {
        path.push("d".repeat(100));
    }
    fs::create_dir_all(&path).unwrap();
    file(&path.join("file"), 1);
    path
}
