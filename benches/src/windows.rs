//! Windows: a stream of children, of which no more than a limit run at a time, ends with `Ok` or with
//! the first error.

use std::{
    cell::Cell,
    future::Future,
    hint::black_box,
    num::NonZeroUsize,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use clap::ValueEnum;
use errgroup::Group;
use futures_buffered::{BufferedStreamExt, FuturesUnorderedBounded};
use futures_concurrency::concurrent_stream::ConcurrentStream;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::{
    Cost, Row,
    alloc::count,
    workloads::{Executor, Output, Ready, Signal, Yield, shuffled, signals, time, window_total},
};

/// The limits whose memory is counted.
pub const COST_LIMITS: [usize; 2] = [10, 1_000];

/// A way to run a stream of children through a window.
pub trait Window: 'static {
    /// Its heading.
    const NAME: &'static str;

    /// Makes its future, which polls no more than `limit` children at a time.
    fn run<S>(source: S, limit: usize) -> impl Future<Output = Result<(), u32>>
    where
        S: Stream<Item: Future<Output = Result<(), u32>>>;
}

macro_rules! window {
    ($(#[$doc:meta])* $name:ident, $label:literal, $run:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Window for $name {
            const NAME: &'static str = $label;

            fn run<S>(source: S, limit: usize) -> impl Future<Output = Result<(), u32>>
            where
                S: Stream<Item: Future<Output = Result<(), u32>>>,
            {
                $run(source, limit)
            }
        }
    };
}

window! {
    /// A stream forwarded to an `errgroup::Group` with a limit.
    Forward, "errgroup `forward`",
    |source: S, limit| source.map(Ok).forward(Group::unboxed().with_limit(limit))
}
window! {
    /// A loop around `errgroup::Group::ready`.
    ReadyLoop, "errgroup `ready` loop",
    |source: S, limit| async move {
        let mut source = pin!(source);
        let mut group = Group::unboxed().with_limit(limit);
        while let Some(child) = source.next().await {
            group.ready().await?;
            group.push(child);
        }
        group.await
    }
}
window! {
    /// `futures::StreamExt::buffer_unordered`.
    BufferUnordered, "futures `buffer_unordered`",
    |source: S, limit| source.buffer_unordered(limit).try_collect::<()>()
}
window! {
    /// `futures::TryStreamExt::try_for_each_concurrent`: `for_each_concurrent` that ends with the
    /// first error.
    ForEachConcurrent, "futures `try_for_each_concurrent`",
    |source: S, limit| source.map(Ok).try_for_each_concurrent(limit, |child| child)
}
window! {
    /// `futures_buffered::BufferedStreamExt::buffered_unordered`.
    BufferedUnordered, "futures-buffered `buffered_unordered`",
    |source: S, limit| source.buffered_unordered(limit).try_collect::<()>()
}
window! {
    /// A loop around `futures_buffered::FuturesUnorderedBounded`, after its documentation.
    BoundedLoop, "`FuturesUnorderedBounded` loop",
    |source: S, limit| async move {
        let mut source = pin!(source);
        let mut queue = FuturesUnorderedBounded::new(limit);
        while let Some(child) = source.next().await {
            if queue.len() == limit {
                queue.next().await.transpose()?;
            }
            queue.push(child);
        }
        queue.try_collect().await
    }
}
window! {
    /// `futures_concurrency::concurrent_stream::ConcurrentStream` with a limit.
    Concurrent, "futures-concurrency `ConcurrentStream`",
    |source: S, limit| async move {
        let source = futures_concurrency::stream::StreamExt::co(source);
        source.limit(NonZeroUsize::new(limit)).try_for_each(|child| child).await
    }
}

/// One workload of the windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum WindowRow {
    /// Children which are ready at once.
    ForwardReady,
    /// Children which each wake themselves and return `Pending` once, then are ready.
    ForwardYield,
    /// Children which wait until they are woken, one after the other in no order. The window is
    /// polled after each wake, and takes in the next child.
    ForwardWakeOne,
}

impl Row for WindowRow {
    fn about(self) -> &'static str {
        match self {
            Self::ForwardReady => "children ready at once through a window of n; per child",
            Self::ForwardYield => "children that yield once through a window of n; per child",
            Self::ForwardWakeOne => {
                "children through a window of n wait, and are woken, polled and ready one after the \
                 other; per child"
            }
        }
    }

    fn items(self, n: usize) -> u64 {
        window_total(n) as u64
    }
}

/// Runs `iters` iterations of a row.
pub fn measure<W: Window>(row: WindowRow, n: usize, iters: u64) -> Duration {
    match row {
        WindowRow::ForwardReady => finish::<W, _>(n, iters, Ready::new),
        WindowRow::ForwardYield => finish::<W, _>(n, iters, |id| Yield::new(id, 1)),
        WindowRow::ForwardWakeOne => wake_one::<W>(n, iters),
    }
}

fn finish<W, F>(n: usize, iters: u64, child: impl Fn(usize) -> F) -> Duration
where
    W: Window,
    F: Future<Output = Result<(), u32>> + Unpin,
{
    let executor = Executor::new();
    let (total, done) = (window_total(n), Cell::new(0));
    let elapsed = time(|| {
        for _ in 0..iters {
            let children = (0..total).map(|id| Counted { child: child(id), done: &done });
            let mut window = pin!(W::run(stream::iter(children), n));
            executor.start();
            let outcome = executor.poll_woken(|cx| window.as_mut().poll(cx));
            assert_eq!(outcome, Some(Ok(())), "a wake was lost, or a child failed");
        }
    });
    assert_eq!(done.get(), iters as usize * total);
    elapsed
}

fn wake_one<W: Window>(n: usize, iters: u64) -> Duration {
    let turns = Turns::new(n);
    let elapsed = time(|| {
        for _ in 0..iters {
            turns.run::<W>();
        }
    });
    assert_eq!(turns.done.get(), iters as usize * turns.total);
    elapsed
}

/// Counts what a window allocates: at each of [`COST_LIMITS`] the allocations for each child that goes
/// through, and the bytes beyond the children for each that may run at a time.
pub fn cost<W: Window>() -> Vec<Cost> {
    COST_LIMITS.map(cost_at::<W>).into()
}

fn cost_at<W: Window>(n: usize) -> Cost {
    let turns = Turns::new(n);
    let mut size = 0;
    let counted = count(|| size = turns.run::<W>());
    assert_eq!(turns.done.get(), turns.total);
    let children = n * size_of::<Counted<'_, Signalled<'_>>>();
    let bytes = counted.cost(n, size as isize - children as isize).bytes;
    Cost { bytes, ..counted.cost(turns.total, 0) }
}

/// Children that wait, woken one after the other.
struct Turns {
    executor: Executor,
    total: usize,
    signals: Vec<Signal>,
    order: Vec<usize>,
    /// The signal for the next child that begins to wait.
    free: Cell<usize>,
    done: Cell<usize>,
}

impl Turns {
    fn new(n: usize) -> Self {
        Self {
            executor: Executor::new(),
            total: window_total(n),
            signals: signals(n),
            order: shuffled(n),
            free: Cell::new(0),
            done: Cell::new(0),
        }
    }

    /// Runs all through a window, and gives its size.
    fn run<W: Window>(&self) -> usize {
        self.free.set(0);
        let children = (0..self.total).map(|_| Counted {
            child: Signalled { signals: &self.signals, free: &self.free, signal: None },
            done: &self.done,
        });
        let mut window = pin!(W::run(stream::iter(children), self.signals.len()));
        let size = size_of_val(&*window);
        let mut poll = || self.executor.poll_woken(|cx| window.as_mut().poll(cx));
        self.executor.start();
        let mut outcome = poll();
        assert_eq!(self.free.get(), self.signals.len(), "the window is not full");
        for &turn in self.order.iter().cycle().take(self.total) {
            assert_eq!(outcome, None, "the window has an outcome, but children still wait");
            self.free.set(turn);
            self.signals[turn].send();
            outcome = poll();
        }
        assert_eq!(outcome, Some(Ok(())), "a wake was lost, or a child failed");
        size
    }
}

/// Notes when it is done.
struct Counted<'a, F> {
    child: F,
    done: &'a Cell<usize>,
}

impl<F: Future + Unpin> Future for Counted<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = Pin::new(&mut self.child).poll(cx);
        self.done.set(self.done.get() + usize::from(poll.is_ready()));
        poll
    }
}

/// Takes the next free signal when first polled, and waits for it.
struct Signalled<'a> {
    signals: &'a [Signal],
    free: &'a Cell<usize>,
    signal: Option<&'a Signal>,
}

impl Future for Signalled<'_> {
    type Output = Result<(), u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let signal =
            self.signal.unwrap_or_else(|| &self.signals[self.free.replace(self.free.get() + 1)]);
        self.signal = Some(signal);
        signal.poll(cx).map(|()| Output::of(black_box(0)))
    }
}
