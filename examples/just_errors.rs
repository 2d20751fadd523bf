//! Children without a result: all that counts is whether one of them has failed. Here they check
//! configuration files, at first sound ones and then also a broken one.
//!
//! Run it with `cargo run --example just_errors`.

use std::path::Path;
use std::{env, io, process};

use errgroup::Group;
use smol::fs;

const FILES: [(&str, &str); 4] = [
    ("server.conf", "host = localhost\nport = 8080\n"),
    ("log.conf", "level = info\n"),
    ("cache.conf", "size = 64\nttl = 300\n"),
    ("mail.conf", "from = nobody\nretries 3\n"),
];

/// Checks all files at once; the first error ends the other checks.
async fn check_all(dir: &Path, files: &[(&str, &str)]) -> Result<(), String> {
    let mut group = Group::new();
    for (name, _) in files {
        group.go(check(dir, name));
    }
    group.await
}

/// Checks that every line of the file is `key = value`.
async fn check(dir: &Path, name: &str) -> Result<(), String> {
    let text = fs::read_to_string(dir.join(name)).await;
    let text = text.map_err(|error| format!("{name}: {error}"))?;
    match text.lines().position(|line| !line.contains(" = ")) {
        Some(line) => Err(format!("{name}, line {}: no `key = value`", line + 1)),
        None => Ok(()),
    }
}

fn main() -> io::Result<()> {
    smol::block_on(async {
        let dir = env::temp_dir().join(format!("errgroup-just-errors-{}", process::id()));
        fs::create_dir(&dir).await?;
        for (name, text) in FILES {
            fs::write(dir.join(name), text).await?;
        }
        let sound = check_all(&dir, &FILES[..3]).await;
        let broken = check_all(&dir, &FILES).await;
        fs::remove_dir_all(&dir).await?;

        println!("the first three files: {sound:?}");
        println!("all four files: {broken:?}");
        assert_eq!(sound, Ok(()));
        let expected = "mail.conf, line 2: no `key = value`";
        assert_eq!(broken, Err(expected.to_owned()));
        Ok(())
    })
}
