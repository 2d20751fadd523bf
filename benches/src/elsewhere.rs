//! Contestants of the trees that run in processes of their own: Go's errgroup, and tokio on all
//! processors, as malloc takes locks for good once its process has had a second thread.

use std::{
    env,
    fmt::Debug,
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    sync::LazyLock,
    thread::available_parallelism,
    time::Duration,
};

use clap::ValueEnum;

use crate::{
    Cost, Row, TreeRow,
    tree::{self, TokioThreads},
};

/// Asks the table for one measurement on all processors: row, children, iterations.
const REQUEST: &str = "ERRGROUP_BENCHES_TREE";

/// The program in Go.
static GO: LazyLock<Result<Go, String>> = LazyLock::new(Go::build);

struct Go {
    program: PathBuf,
    version: String,
}

pub(crate) fn processors() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The version of Go, or why it is not measured here.
pub fn go() -> Result<&'static str, &'static str> {
    GO.as_ref().map(|go| &*go.version).map_err(String::as_str)
}

/// As [`tree::measure`], for Go's errgroup on one processor or on all. What one tree leaves to collect is
/// no burden to the next, which is another process.
pub fn measure_go<const ALL: bool>(row: TreeRow, n: usize, iters: u64) -> Duration {
    let [nanoseconds, _, _] = run_go::<ALL, u64>(row, n, iters);
    Duration::from_nanos(nanoseconds)
}

/// As [`tree::cost`], for Go's errgroup: the bytes are those that Go took from the system.
pub fn cost_of_go<const ALL: bool>() -> Vec<Cost> {
    let cost = |(row, n)| {
        let [_, allocations, bytes] = run_go::<ALL, f64>(row, n, 1);
        Cost { allocations: allocations / n as f64, bytes: Some(bytes / n as f64) }
    };
    tree::COSTS.map(cost).into()
}

/// As [`tree::measure`], for tokio on all processors.
pub fn measure_threads(row: TreeRow, n: usize, iters: u64) -> Duration {
    let program = beside_this("table").expect("the table is built");
    let mut table = Command::new(program);
    table.env(REQUEST, format!("{} {n} {iters}", row.name()));
    let [nanoseconds] = numbers(table);
    Duration::from_nanos(nanoseconds)
}

/// Measures what [`measure_threads`] asks for, if this process is there for that.
pub fn answer() -> bool {
    let Ok(request) = env::var(REQUEST) else {
        return false;
    };
    let words: Vec<&str> = request.split(' ').collect();
    let [row, n, iters] = words[..] else { panic!("a request has three words") };
    let row = TreeRow::from_str(row, false).expect("it is a row");
    let (n, iters) = (n.parse().expect("a number"), iters.parse().expect("a number"));
    println!("{}", tree::measure::<TokioThreads>(row, n, iters).as_nanos());
    true
}

fn run_go<const ALL: bool, T: FromStr<Err: Debug>>(row: TreeRow, n: usize, iters: u64) -> [T; 3] {
    let mut go = Command::new(&GO.as_ref().expect("it was built").program);
    go.args([row.name(), n.to_string(), iters.to_string()]);
    go.env("GOMAXPROCS", if ALL { processors() } else { 1 }.to_string());
    numbers(go)
}

/// Runs a program that prints numbers.
fn numbers<T: FromStr<Err: Debug>, const N: usize>(program: Command) -> [T; N] {
    let printed = output_of(program).expect("it runs to its end");
    let mut words = printed.split_whitespace();
    [(); N].map(|()| words.next().expect("a number").parse().expect("a number"))
}

impl Go {
    /// Builds the program with the sources of errgroup that Debian packages: no module is fetched.
    fn build() -> Result<Self, String> {
        let program = beside_this("errgroup-benches-go").map_err(|error| error.to_string())?;
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&program).arg("main.go");
        build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"));
        build.envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")]);
        output_of(build)?;
        let mut version = Command::new("go");
        version.arg("version");
        Ok(Self { program, version: output_of(version)?.trim().into() })
    }
}

fn output_of(mut command: Command) -> Result<String, String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))
    }
}

/// The path of a program where cargo puts the programs of this package.
fn beside_this(program: &str) -> io::Result<PathBuf> {
    let this = env::current_exe()?;
    // Criterion's is one below.
    let folder = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    Ok(folder.expect("a program is in a folder").join(program))
}
