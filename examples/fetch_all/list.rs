//! The list of URLs, from a file or from standard input.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

/// Reads the URLs. Without a file, from standard input, unless that is a terminal.
pub(crate) fn read(file: Option<&Path>) -> Result<Vec<String>, String> {
    match file {
        None if io::stdin().is_terminal() => Ok(Vec::new()),
        Some(path) if path != Path::new("-") => {
            urls(fs::read_to_string(path), &path.display().to_string())
        }
        _ => urls(io::read_to_string(io::stdin()), "standard input"),
    }
}

fn urls(text: io::Result<String>, name: &str) -> Result<Vec<String>, String> {
    let text = text.map_err(|error| format!("cannot read {name}: {error}"))?;
    let lines = text.lines().map(str::trim);
    let urls = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(urls.map(String::from).collect())
}
