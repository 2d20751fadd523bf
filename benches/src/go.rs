//! Go's errgroup, for the trees: a program in Go that runs beside this one, and measures when asked.

use std::{
    env,
    fmt::Display,
    io::{self, BufRead, BufReader, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    str::FromStr,
    sync::{LazyLock, Mutex},
    thread::available_parallelism,
    time::Duration,
};

use crate::{Cost, Row, TreeRow, tree};

/// Where Debian's package has the sources of `golang.org/x/sync`.
const GOPATH: &str = "/usr/share/gocode";

/// The program, or why there is none.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(build);
static ONE: LazyLock<Mutex<Program>> = LazyLock::new(|| Program::start::<false>().into());
static ALL: LazyLock<Mutex<Program>> = LazyLock::new(|| Program::start::<true>().into());

/// Why the program cannot be run here, if so.
pub fn absence() -> Option<&'static str> {
    PROGRAM.as_ref().err().map(String::as_str)
}


/// As [`tree::measure`]. All requests go to the same process, so that its memory is warm.
pub fn measure<const THREADS: bool>(row: TreeRow, n: usize, iters: u64) -> Duration {
    let program = if THREADS { &ALL } else { &ONE };
    let [nanoseconds] = program.lock().expect("no request failed").ask("time", row, n, iters);
    Duration::from_nanos(nanoseconds)
}

/// As [`tree::cost`]; the bytes are those that Go takes from the system, with the stacks.
pub fn cost<const THREADS: bool>() -> Vec<Cost> {
    let cost = |(row, n)| {
        let [allocations, bytes]: [f64; 2] = Program::start::<THREADS>().ask("cost", row, n, 1);
        Cost { allocations: allocations / n as f64, bytes: Some(bytes / n as f64) }
    };
    tree::COSTS.map(cost).into()
}

fn build() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let program = this.with_file_name("errgroup-benches-go");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg("main.go").current_dir(source);
    // A workspace without a network has no modules.
    let output = go.env("GO111MODULE", "off").env("GOPATH", GOPATH).env("GOFLAGS", "").output();
    match output {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        Err(error) => Err(format!("`go` does not start: {error}")),
    }
}

struct Program {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start<const THREADS: bool>() -> Self {
        let path = PROGRAM.as_ref().expect("it is known to be there");
        let threads = available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = if THREADS { threads } else { 1 };
        let mut process = Command::new(path)
            .env("GOMAXPROCS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what was built starts");
        let requests = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, requests, answers }
    }

    fn ask<T, const N: usize>(&mut self, what: &str, row: TreeRow, n: usize, iters: u64) -> [T; N]
    where
        T: FromStr,
    {
        let line = self.answer(format_args!("{what} {} {n} {iters}", row.name()));
        let words: Option<Vec<T>> = line
            .ok()
            .and_then(|line| line.split_whitespace().map(|word| word.parse().ok()).collect());
        words
            .and_then(|words| words.try_into().ok())
            .expect("the program in Go has an answer to each request")
    }

    fn answer(&mut self, request: impl Display) -> io::Result<String> {
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has no request, so that nothing is lost.
        self.process.kill().and_then(|()| self.process.wait()).ok();
    }
}
