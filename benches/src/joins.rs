//! Joins: n children from an iterator become a vector of their values, or the first error.

use std::{
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use clap::ValueEnum;
use errgroup::Group;
use futures_channel::oneshot;
use futures_concurrency::future::TryJoin;

use crate::{
    Cost, Row,
    alloc::count,
    workloads::{Executor, Output, Ready, Signal, Yield, shuffled, signals, time},
};

/// The numbers of children whose memory is counted.
pub const COST_SIZES: [usize; 3] = [3, 100, 1_000];

/// A way to join children.
pub trait Join: 'static {
    /// Its heading.
    const NAME: &'static str;

    /// Makes its future.
    fn join<T, I>(children: I) -> impl Future<Output = Result<Vec<T>, u32>>
    where
        I: ExactSizeIterator<Item: Future<Output = Result<T, u32>>>;
}

macro_rules! join {
    ($(#[$doc:meta])* $name:ident, $label:literal, $join:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Join for $name {
            const NAME: &'static str = $label;

            fn join<T, I>(children: I) -> impl Future<Output = Result<Vec<T>, u32>>
            where
                I: ExactSizeIterator<Item: Future<Output = Result<T, u32>>>,
            {
                $join(children)
            }
        }
    };
}

join! {
    /// `errgroup::Group::try_join`.
    GroupTryJoin, "errgroup `try_join`", |children: I| children.collect::<Group<_>>().try_join()
}
join! {
    /// `futures::future::try_join_all`.
    TryJoinAll, "futures `try_join_all`", futures_util::future::try_join_all
}
join! {
    /// `futures_buffered::try_join_all`.
    BufferedTryJoinAll, "futures-buffered `try_join_all`", futures_buffered::try_join_all
}
join! {
    /// `futures_concurrency::future::TryJoin` of a vector, which is collected first.
    VecTryJoin, "futures-concurrency `try_join`", |children: I| children.collect::<Vec<_>>().try_join()
}

/// One workload of the joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum JoinRow {
    /// n children which are ready at once.
    JoinReady,
    /// n children which each wake themselves and return `Pending` once, then are ready.
    JoinYield,
    /// n children wait, and each is woken and then ready, one after the other in no order: the
    /// answers of n servers. The join is polled after each wake.
    JoinWakeOne,
    /// The same, but the children are async blocks that await a oneshot channel each, which is made
    /// with the child: there a poll for nothing costs more than a look at a flag.
    JoinChannel,
    /// n children wait, and all are woken before the join is polled.
    JoinWakeAll,
}

impl Row for JoinRow {
    fn about(self) -> &'static str {
        match self {
            Self::JoinReady => "n children ready at once; per child",
            Self::JoinYield => "n children yield once each; per child",
            Self::JoinWakeOne => {
                "n children wait, and are woken, polled and ready one after the other; per child"
            }
            Self::JoinChannel => {
                "as join_wake_one, each child awaits a oneshot channel that is made with it; per child"
            }
            Self::JoinWakeAll => "n children wait, are all woken, then polled and ready; per child",
        }
    }

    fn items(self, n: usize) -> u64 {
        n as u64
    }
}

/// Runs `iters` iterations of a row, each from the creation of the join to the drop of its vector.
pub fn measure<J: Join>(row: JoinRow, n: usize, iters: u64) -> Duration {
    match row {
        JoinRow::JoinReady => finish::<J, _>(n, iters, Ready::new),
        JoinRow::JoinYield => finish::<J, _>(n, iters, |id| Yield::new(id, 1)),
        JoinRow::JoinWakeOne => wake_one::<J>(n, iters),
        JoinRow::JoinChannel => channel::<J>(n, iters),
        JoinRow::JoinWakeAll => wake_all::<J>(n, iters),
    }
}

fn finish<J, F>(n: usize, iters: u64, child: impl Fn(usize) -> F) -> Duration
where
    J: Join,
    F: Future<Output = Result<u64, u32>>,
{
    let executor = Executor::new();
    let mut tally = Tally::default();
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut join = pin!(J::join((0..n).map(&child)));
            executor.start();
            tally.add(executor.poll_woken(|cx| join.as_mut().poll(cx)));
        }
    });
    tally.check(n, iters);
    elapsed
}

fn wake_one<J: Join>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let (signals, order) = (signals(n), shuffled(n));
    let mut tally = Tally::default();
    let elapsed = time(|| {
        for _ in 0..iters {
            let children = signals.iter().enumerate();
            let children = children.map(|(id, signal)| Signalled { id, signal });
            let send = |id: usize| signals[id].send();
            tally.add(one_by_one::<J, _>(&executor, children, &order, send));
        }
    });
    tally.check(n, iters);
    elapsed
}

fn channel<J: Join>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let order = shuffled(n);
    let mut tally = Tally::default();
    let elapsed = time(|| {
        for _ in 0..iters {
            let channels = (0..n).map(|_| oneshot::channel());
            let (senders, receivers): (Vec<_>, Vec<_>) = channels.unzip();
            let mut senders: Vec<_> = senders.into_iter().map(Some).collect();
            let children = receivers.into_iter();
            let children = children.map(|receiver| async { receiver.await.map_err(|_| u32::MAX) });
            let send = |id: usize| {
                let sender: oneshot::Sender<u64> = senders[id].take().expect("it sends once");
                sender.send(id as u64).expect("the child waits");
            };
            tally.add(one_by_one::<J, _>(&executor, children, &order, send));
        }
    });
    tally.check(n, iters);
    elapsed
}

/// Wakes waiting children in an order, and polls the join after each wake.
fn one_by_one<J, F>(
    executor: &Executor,
    children: impl ExactSizeIterator<Item = F>,
    order: &[usize],
    mut wake: impl FnMut(usize),
) -> Option<Result<Vec<u64>, u32>>
where
    J: Join,
    F: Future<Output = Result<u64, u32>>,
{
    let mut join = pin!(J::join(children));
    let mut poll = || executor.poll_woken(|cx| join.as_mut().poll(cx));
    executor.start();
    let mut outcome = poll();
    for &id in order {
        assert!(outcome.is_none(), "the join has an outcome, but children still wait");
        wake(id);
        outcome = poll();
    }
    outcome
}

fn wake_all<J: Join>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let signals = signals(n);
    let mut tally = Tally::default();
    let elapsed = time(|| {
        for _ in 0..iters {
            let children = signals.iter().enumerate();
            let children = children.map(|(id, signal)| Signalled { id, signal });
            let mut join = pin!(J::join(children));
            let mut poll = || executor.poll_woken(|cx| join.as_mut().poll(cx));
            executor.start();
            assert!(poll().is_none(), "the join has an outcome, but children still wait");
            signals.iter().for_each(Signal::send);
            tally.add(poll());
        }
    });
    tally.check(n, iters);
    elapsed
}

/// Counts what a join allocates for children that are ready at once: at each of [`COST_SIZES`] the
/// allocations per child, and the bytes per child beyond the child and its value.
pub fn cost<J: Join>() -> Vec<Cost> {
    COST_SIZES.map(cost_at::<J>).into()
}

fn cost_at<J: Join>(n: usize) -> Cost {
    let executor = Executor::new();
    let (mut tally, mut size) = (Tally::default(), 0);
    let counted = count(|| {
        let mut join = pin!(J::join((0..n).map(Ready::new)));
        size = size_of_val(&*join);
        executor.start();
        tally.add(executor.poll_woken(|cx| join.as_mut().poll(cx)));
    });
    tally.check(n, 1);
    let children = n * (size_of::<Ready<Result<u64, u32>>>() + size_of::<u64>());
    counted.cost(n, size as isize - children as isize)
}

/// The vectors that came out: their lengths, and the last one.
#[derive(Default)]
struct Tally {
    values: u64,
    last: Vec<u64>,
}

impl Tally {
    fn add(&mut self, outcome: Option<Result<Vec<u64>, u32>>) {
        let values = outcome.expect("a wake was lost").expect("no child fails");
        self.values += values.len() as u64;
        self.last = black_box(values);
    }

    fn check(&self, n: usize, iters: u64) {
        assert_eq!(self.values, iters * n as u64);
        assert!(self.last.iter().copied().eq(0..n as u64), "the values are not in order");
    }
}

/// Waits for its signal.
struct Signalled<'a> {
    id: usize,
    signal: &'a Signal,
}

impl Future for Signalled<'_> {
    type Output = Result<u64, u32>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.signal.poll(cx).map(|()| Output::of(black_box(self.id)))
    }
}
