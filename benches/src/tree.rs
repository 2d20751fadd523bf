//! Trees: children that add children, from inside, until n have run.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    hint::black_box,
    ops::Range,
    pin::Pin,
    rc::Rc,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_executor::LocalExecutor;
use clap::ValueEnum;
use errgroup::{BoxFuture, Group, Handle, LocalBoxFuture};
use futures_util::{Stream, stream::FuturesUnordered, task::AtomicWaker};
use tokio::{
    runtime::{self, Runtime},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinSet, LocalSet, spawn_local},
};

use crate::{
    Cost, Row,
    alloc::count,
    elsewhere::processors,
    workloads::{Executor, Output, time},
};

/// The trees whose memory is counted.
pub const COSTS: [(TreeRow, usize); 3] = [
    (TreeRow::TreeBinary, 1_000),
    (TreeRow::TreeBinary, 1_000_000),
    (TreeRow::TreeDeep, 1_000_000),
];

/// A shape of tree, and what each child does before it adds its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TreeRow {
    /// Each child adds two.
    TreeBinary,
    /// Each child yields once, then adds two.
    TreeYield,
    /// Each child adds one, so that there is never a second one to run with it.
    TreeDeep,
    /// The first child adds all others in one poll.
    TreeWide,
    /// Each child adds two, and the first one waits until all others have run: a group in which
    /// something waits while others add.
    TreeWait,
}

impl Row for TreeRow {
    fn about(self) -> &'static str {
        match self {
            Self::TreeBinary => "each child adds two, until n have run; per child",
            Self::TreeYield => "each child yields once and adds two, until n have run; per child",
            Self::TreeDeep => "each child adds one, until n have run; per child",
            Self::TreeWide => "one child adds all others at once, until n have run; per child",
            Self::TreeWait => {
                "each child adds two, until n have run; the first then waits for the last; per child"
            }
        }
    }

    fn items(self, n: usize) -> u64 {
        n as u64
    }
}

/// A way to run a tree, from the creation of what the children are added to, to its drop.
pub trait Grove {
    /// Its heading.
    const NAME: &'static str;

    /// Makes what does not belong to the tree: executors and their threads.
    fn new() -> Self;

    /// Runs a tree from its first child; `None` if it never ends.
    fn run(&self, tree: Tree) -> Option<Result<(), u32>>;
}

/// Where a child adds those of its own.
trait Add: Clone {
    fn add(&self, child: Node<Self>);
}

/// A tree: child `i` adds those whose numbers follow from its own.
#[derive(Clone, Copy)]
pub struct Tree {
    row: TreeRow,
    n: usize,
}

/// How many children have run. One tree runs at a time.
static RAN: AtomicUsize = AtomicUsize::new(0);
/// The first child, where it waits.
static FIRST: AtomicWaker = AtomicWaker::new();

/// Runs `iters` iterations of a row.
pub fn measure<G: Grove>(row: TreeRow, n: usize, iters: u64) -> Duration {
    let grove = G::new();
    let tree = Tree { row, n };
    time(|| {
        for _ in 0..iters {
            tree.check(grove.run(tree));
        }
    })
}

/// Whether a small tree ends. One that never does leaves its executor without a wake.
pub fn ends<G: Grove>(row: TreeRow) -> bool {
    let outcome = G::new().run(Tree { row, n: 10 });
    FIRST.take();
    RAN.store(0, Relaxed);
    outcome.is_some()
}

/// Counts what a tree allocates: for each of [`COSTS`] the allocations per child, and the bytes per
/// child at the peak.
pub fn cost<G: Grove>() -> Vec<Cost> {
    let grove = G::new();
    let cost = |(row, n)| {
        let tree = Tree { row, n };
        count(|| tree.check(grove.run(tree))).cost(n, 0)
    };
    COSTS.map(cost).into()
}

impl Tree {
    fn first<A>(self, adder: A) -> Node<A> {
        self.child(0, adder)
    }

    fn child<A>(self, id: usize, adder: A) -> Node<A> {
        let step = if self.row == TreeRow::TreeYield { Step::Yield } else { Step::Add };
        Node { adder, tree: self, id, step }
    }

    /// The numbers of those that child `id` adds.
    fn children(self, id: usize) -> Range<usize> {
        let (first, count) = match self.row {
            TreeRow::TreeBinary | TreeRow::TreeYield | TreeRow::TreeWait => (2 * id + 1, 2),
            TreeRow::TreeDeep => (id + 1, 1),
            TreeRow::TreeWide => (1, if id == 0 { self.n - 1 } else { 0 }),
        };
        first.min(self.n)..(first + count).min(self.n)
    }

    fn check(self, outcome: Option<Result<(), u32>>) {
        assert_eq!(outcome, Some(Ok(())), "the tree never ends, or a child failed");
        assert_eq!(RAN.swap(0, Relaxed), self.n);
    }
}

/// A child of a tree.
struct Node<A> {
    adder: A,
    tree: Tree,
    id: usize,
    step: Step,
}

enum Step {
    Yield,
    Add,
    Wait,
}

impl<A: Add + Unpin> Future for Node<A> {
    type Output = Result<(), u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let tree = self.tree;
        match self.step {
            Step::Yield => {
                self.step = Step::Add;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Step::Add => {
                for id in tree.children(black_box(self.id)) {
                    self.adder.add(tree.child(id, self.adder.clone()));
                }
                if tree.row == TreeRow::TreeWait && self.id == 0 {
                    self.step = Step::Wait;
                }
            }
            Step::Wait => {}
        }
        if let Step::Wait = self.step {
            FIRST.register(cx.waker());
            if RAN.load(Acquire) < tree.n - 1 {
                return Poll::Pending;
            }
        }
        let ran = RAN.fetch_add(1, AcqRel) + 1;
        if tree.row == TreeRow::TreeWait && ran == tree.n - 1 {
            FIRST.wake();
        }
        Poll::Ready(Output::of(self.id))
    }
}

/// `errgroup::Group::new` and `Handle::go`.
pub struct Boxed(Executor);

impl Grove for Boxed {
    const NAME: &'static str = "errgroup `go`";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let mut group = Group::new();
        let handle = group.handle();
        group.go(tree.first(handle));
        self.0.finish_future(group)
    }
}

impl Add for Handle<BoxFuture<'static, Result<(), u32>>> {
    fn add(&self, child: Node<Self>) {
        self.go(child).expect("the group goes on");
    }
}

/// `errgroup::Group::new_local` and `Handle::go`.
pub struct LocalBoxed(Executor);

impl Grove for LocalBoxed {
    const NAME: &'static str = "errgroup `go`, local";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let mut group = Group::new_local();
        let handle = group.handle();
        group.go(tree.first(handle));
        self.0.finish_future(group)
    }
}

impl Add for Handle<LocalBoxFuture<'static, Result<(), u32>>> {
    fn add(&self, child: Node<Self>) {
        self.go(child).expect("the group goes on");
    }
}

/// `errgroup::Group::unboxed` and `Handle::push`.
pub struct Unboxed(Executor);

#[derive(Clone)]
struct UnboxedHandle(Handle<Node<UnboxedHandle>>);

impl Grove for Unboxed {
    const NAME: &'static str = "errgroup `push`";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let mut group = Group::unboxed();
        let handle = UnboxedHandle(group.handle());
        group.push(tree.first(handle));
        self.0.finish_future(group)
    }
}

impl Add for UnboxedHandle {
    fn add(&self, child: Node<Self>) {
        self.0.push(child).expect("the group goes on");
    }
}

/// `tokio::task::JoinSet` and a channel through which children send what is to be spawned, on a
/// runtime of one thread.
pub struct TokioJoinSet(Runtime);

/// The same on a runtime with a thread for each processor.
pub struct TokioThreads(Runtime);

#[derive(Clone)]
struct Sender(UnboundedSender<Node<Sender>>);

impl Grove for TokioJoinSet {
    const NAME: &'static str = "tokio `JoinSet` + channel";

    fn new() -> Self {
        Self(runtime::Builder::new_current_thread().build().expect("a runtime"))
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        Some(self.0.block_on(supervise(tree)))
    }
}

impl Grove for TokioThreads {
    const NAME: &'static str = "tokio, all processors";

    fn new() -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(processors()).build();
        Self(runtime.expect("a runtime"))
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        // On a thread of the runtime, where to spawn costs less.
        let supervisor = self.0.spawn(supervise(tree));
        Some(self.0.block_on(supervisor).expect("it does not panic"))
    }
}

/// Takes in all that has come, or all that has ended, each time that it wakes.
async fn supervise(tree: Tree) -> Result<(), u32> {
    let (sender, mut receiver) = unbounded_channel();
    let mut set = JoinSet::new();
    set.spawn(tree.first(Sender(sender)));
    loop {
        tokio::select! {
            biased;
            Some(child) = receiver.recv() => {
                set.spawn(child);
                while let Ok(child) = receiver.try_recv() {
                    set.spawn(child);
                }
            }
            Some(ended) = set.join_next() => {
                ended.expect("no child panics")?;
                while let Some(ended) = set.try_join_next() {
                    ended.expect("no child panics")?;
                }
            }
            else => break Ok(()),
        }
    }
}

impl Add for Sender {
    fn add(&self, child: Node<Self>) {
        assert!(self.0.send(child).is_ok(), "the loop goes on");
    }
}

/// `tokio::task::LocalSet` and `spawn_local`: it ends with its last task, and knows no errors.
pub struct TokioLocalSet(Executor);

#[derive(Clone)]
struct SpawnLocal;

impl Grove for TokioLocalSet {
    const NAME: &'static str = "tokio `LocalSet`";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let set = LocalSet::new();
        set.spawn_local(tree.first(SpawnLocal));
        self.0.finish_future(set).map(Ok)
    }
}

impl Add for SpawnLocal {
    fn add(&self, child: Node<Self>) {
        spawn_local(child);
    }
}

/// `async_executor::LocalExecutor`, which is smol's, with detached tasks, as it is the cheapest. It knows
/// no end: the tasks count those that are left, and note the first error.
pub struct Smol(Executor);

#[derive(Clone)]
struct Spawner(Rc<Tasks>);

struct Tasks {
    executor: LocalExecutor<'static>,
    left: Cell<usize>,
    outcome: Cell<Option<Result<(), u32>>>,
    main: Cell<Option<Waker>>,
}

impl Grove for Smol {
    const NAME: &'static str = "smol `LocalExecutor`";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let tasks = Rc::new(Tasks {
            executor: LocalExecutor::new(),
            left: Cell::new(0),
            outcome: Cell::new(None),
            main: Cell::new(None),
        });
        let spawner = Spawner(tasks.clone());
        spawner.add(tree.first(spawner.clone()));
        let outcome = poll_fn(|cx| match tasks.outcome.get() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                tasks.main.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        });
        self.0.finish_future(tasks.executor.run(outcome))
    }
}

impl Add for Spawner {
    fn add(&self, mut child: Node<Self>) {
        self.0.left.set(self.0.left.get() + 1);
        let task = async move {
            let outcome = (&mut child).await;
            let tasks = &child.adder.0;
            tasks.left.set(tasks.left.get() - 1);
            if outcome.is_err() || tasks.left.get() == 0 {
                tasks.outcome.set(Some(outcome));
                if let Some(main) = tasks.main.take() {
                    main.wake();
                }
            }
        };
        self.0.executor.spawn(task).detach();
    }
}

/// `moro::async_scope`.
pub struct Moro(Executor);

type MoroScope<'scope, 'env> = moro::Scope<'scope, 'env, Result<(), u32>>;

struct ScopeRef<'scope, 'env>(&'scope MoroScope<'scope, 'env>);

impl Clone for ScopeRef<'_, '_> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl Grove for Moro {
    const NAME: &'static str = "moro";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        self.0.finish_future(moro::async_scope!(|scope| -> Result<(), u32> {
            let scope = ScopeRef(scope);
            scope.add(tree.first(scope.clone()));
            Ok(())
        }))
    }
}

impl<'scope, 'env> Add for ScopeRef<'scope, 'env> {
    fn add(&self, child: Node<Self>) {
        let scope = self.0;
        // What it gives back is the child's value, for whoever awaits it.
        drop(scope.spawn(async move {
            if let Err(error) = child.await {
                scope.terminate::<()>(Err(error)).await;
            }
        }));
    }
}

/// `futures::stream::FuturesUnordered` of boxed children and a queue of those to be added.
pub struct Unordered(Executor);

/// The same without boxes.
pub struct UnorderedUnboxed(Executor);

type Queue<F> = Rc<RefCell<Vec<F>>>;

#[derive(Clone)]
struct BoxedQueue(Queue<LocalBoxFuture<'static, Result<(), u32>>>);

#[derive(Clone)]
struct UnboxedQueue(Queue<Node<UnboxedQueue>>);

impl Grove for Unordered {
    const NAME: &'static str = "`FuturesUnordered` + queue";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let queue = BoxedQueue(Queue::default());
        queue.add(tree.first(queue.clone()));
        self.0.finish_future(unordered(&queue.0))
    }
}

impl Grove for UnorderedUnboxed {
    const NAME: &'static str = "`FuturesUnordered` + queue, unboxed";

    fn new() -> Self {
        Self(Executor::new())
    }

    fn run(&self, tree: Tree) -> Option<Result<(), u32>> {
        let queue = UnboxedQueue(Queue::default());
        queue.add(tree.first(queue.clone()));
        self.0.finish_future(unordered(&queue.0))
    }
}

/// Takes in what is queued whenever the set has nothing to give.
fn unordered<F>(queue: &RefCell<Vec<F>>) -> impl Future<Output = Result<(), u32>>
where
    F: Future<Output = Result<(), u32>>,
{
    let mut set = FuturesUnordered::new();
    poll_fn(move |cx| {
        loop {
            set.extend(queue.borrow_mut().drain(..));
            let ended = Pin::new(&mut set).poll_next(cx);
            match ended {
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) if queue.borrow().is_empty() => return Poll::Ready(Ok(())),
                Poll::Pending if queue.borrow().is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
    })
}

impl Add for BoxedQueue {
    fn add(&self, child: Node<Self>) {
        self.0.borrow_mut().push(Box::pin(child));
    }
}

impl Add for UnboxedQueue {
    fn add(&self, child: Node<Self>) {
        self.0.borrow_mut().push(child);
    }
}
