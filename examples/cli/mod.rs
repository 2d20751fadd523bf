//! What the programs have in common: how they end, and how they write numbers and names.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// The end of each `--help`. What a failure is, each program says for itself.
///
/// An output that is not read to its end is no failure: who closes it, as `head` does, has seen enough.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 for success, also where the output is not read \
     to its end; 1 for a failure; 2 for a wrong usage";

/// Tells the error, if there is one, and gives the exit code.
pub(crate) fn end(outcome: Result<ExitCode, Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) if is_closed_output(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error. Where nobody reads that, `eprintln` would panic.
pub(crate) fn note(line: impl Display) {
    _ = writeln!(io::stderr(), "{}", printable(line));
}

/// The text with its control characters escaped, so that no name moves the cursor or makes a line.
pub(crate) fn printable(text: impl Display) -> String {
    let mut printable = String::new();
    for char in text.to_string().chars() {
        if char.is_control() {
            printable.extend(char.escape_default());
        } else {
            printable.push(char);
        }
    }
    printable
}

/// A number, and the noun for that many.
pub(crate) fn count<N>(number: N, one: &str, many: &str) -> String
where
    N: Display + PartialEq + From<u8>,
{
    let noun = if number == N::from(1) { one } else { many };
    format!("{number} {noun}")
}

/// The error of a connection is never a plain `io::Error` here, and so this one is of the output.
fn is_closed_output(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
