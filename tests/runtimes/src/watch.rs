//! What keeps a run honest: a lost wake ends it, and a runtime that is left out is named.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::{Once, mpsc};
use std::time::Duration;
use std::{env, process, thread};

use crate::Ended;

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

/// Tries to start io_uring, and gives the error if the kernel refuses it.
///
/// Apart from the runtimes, of which glommio panics then.
///
/// # Panics
///
/// If it does not start for another reason.
#[cfg(target_os = "linux")]
pub fn probe_io_uring() -> io::Result<()> {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, Unsupported};
    match io_uring::IoUring::new(8) {
        Ok(_) => Ok(()),
        // Too little memory may be locked; forbidden; not built into the kernel.
        Err(error) if matches!(error.kind(), OutOfMemory | PermissionDenied | Unsupported) => {
            Err(error)
        }
        Err(error) => panic!("io_uring does not start: {error}"),
    }
}

/// Says that a runtime cannot start on this machine, and notes it in the file that `$SKIPPED` names:
/// once, as each test file has one such runtime.
pub fn skip(runtime: &str, error: impl Display) -> Ended {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let line = format!("skipped: {runtime}, which cannot start here: {error}");
        say(&line);
        if let Some(path) = env::var_os("SKIPPED") {
            let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        }
    });
    Ended
}

/// Past the test harness, which keeps what is printed with the macros until a test fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
