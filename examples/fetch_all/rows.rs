//! The rows, and how they are written: in the order of the list, each as soon as all before it are.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::http::client::{Cause, Error, Page};

/// What came of one URL. A failure has a status only if the server has answered.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    url: Cow<'a, str>,
    status: Option<u16>,
    pub(crate) bytes: usize,
    milliseconds: u64,
    pub(crate) error: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Csv,
    Json,
}

/// Takes rows in any order, and writes them in theirs.
///
/// Rows that came too early are kept: all of them, if the first URL is the slowest.
pub(crate) struct Rows<'a> {
    early: BTreeMap<usize, Row<'a>>,
    next: usize,
    write: WriteRow<'a>,
}

type WriteRow<'a> = Box<dyn FnMut(&Row<'a>) -> io::Result<()>>;

impl<'a> Row<'a> {
    /// The error names the URL as well, and without what may be a password.
    pub(crate) fn new(url: &'a str, took: Duration, outcome: &Result<Page, Error>) -> Self {
        let (url, status, bytes, error) = match outcome {
            Ok(page) => (url.into(), Some(page.status()), page.body().len(), None),
            Err(Error { name, cause }) => {
                let status = match cause {
                    Cause::Status(status) | Cause::Redirect(status, _) => Some(*status),
                    Cause::Other(_) => None,
                };
                (name.clone().into(), status, 0, Some(cause.to_string()))
            }
        };
        let status = status.map(|status| status.as_u16());
        Self { url, status, bytes, milliseconds: took.as_millis() as u64, error }
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn new(format: Format, output: Box<dyn Write>) -> Self {
        let write = match format {
            Format::Csv => csv(output),
            Format::Json => json(output),
        };
        Self { early: BTreeMap::new(), next: 0, write }
    }

    /// Takes the row with this place in the list, and writes all rows whose turn it is.
    pub(crate) fn put(&mut self, index: usize, row: Row<'a>) -> io::Result<()> {
        self.early.insert(index, row);
        while let Some(row) = self.early.remove(&self.next) {
            (self.write)(&row)?;
            self.next += 1;
        }
        Ok(())
    }
}

fn csv<'a>(output: Box<dyn Write>) -> WriteRow<'a> {
    let mut output = csv::Writer::from_writer(output);
    Box::new(move |row| {
        output.serialize(row)?;
        output.flush()
    })
}

fn json<'a>(output: Box<dyn Write>) -> WriteRow<'a> {
    let mut output = BufWriter::new(output);
    Box::new(move |row| {
        serde_json::to_writer(&mut output, row)?;
        output.write_all(b"\n")?;
        output.flush()
    })
}
