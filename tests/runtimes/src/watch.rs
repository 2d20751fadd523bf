//! What keeps a run honest: a lost wake ends it, and a runtime that is left out is named.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use std::{env, process, thread};

/// Hundreds of times what the slowest scenario takes on an idle machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Runs a test; if it does not end in time, says so and aborts.
///
/// The thread of a test that hangs cannot be ended, hence the whole process.
pub fn within_time_limit<T>(test: &str, run: impl FnOnce() -> T) -> T {
    let (running, watched) = mpsc::channel::<()>();
    let name = test.to_owned();
    thread::spawn(move || {
        if watched.recv_timeout(TIME_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            say(&format!("{name} hangs: not at its end after {} s", TIME_LIMIT.as_secs()));
            process::abort();
        }
    });
    let output = run();
    drop(running);
    output
}

/// Gives a runtime that has started. If the kernel refuses it, `None`, which is said once, and noted in
/// the file that `$SKIPPED` names.
///
/// # Panics
///
/// If it fails to start for another reason, or after it once did.
pub fn start<T>(runtime: &str, started: io::Result<T>) -> Option<T> {
    // For the whole process, as each test file has one runtime that may be refused.
    static REFUSED: OnceLock<bool> = OnceLock::new();
    let error = match started {
        Ok(started) => {
            REFUSED.get_or_init(|| false);
            return Some(started);
        }
        Err(error) => error,
    };
    let refused = REFUSED.get_or_init(|| {
        use io::ErrorKind::{OutOfMemory, PermissionDenied, Unsupported};
        // Too little memory may be locked; forbidden; not built into the kernel.
        if !matches!(error.kind(), OutOfMemory | PermissionDenied | Unsupported) {
            return false;
        }
        let line = format!("skipped: {runtime}, which the kernel refuses: {error}");
        say(&line);
        if let Some(path) = env::var_os("SKIPPED") {
            let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        }
        true
    });
    assert!(refused, "{runtime} does not start: {error}");
    None
}

/// Past the test harness, which keeps what is printed with the macros until a test fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
