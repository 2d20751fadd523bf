//! How soon the first error shows while another child is slow: counted in polls, so always the same.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use errgroup::Group;
use futures_buffered::BufferedStreamExt;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};

use crate::{
    joins::{self, Join},
    windows::{self, Window},
    workloads::{Executor, Signal, signals},
};

/// The numbers of children; a window has a limit of as many.
pub const SIZES: [usize; 5] = [2, 30, 31, 1_000, 10_000];

/// What happens, while the first child is slow.
#[derive(Clone, Copy)]
pub enum Case {
    /// The last child fails when it is first polled; those between are ready then.
    AtOnce,
    /// The last child waits, is woken and fails; those between are ready at once.
    Woken,
    /// All but the first are woken together, and the last fails.
    AllWoken,
}

/// One way to run children that can fail.
pub struct Runner {
    /// Its heading.
    pub name: &'static str,
    own: bool,
    /// Whether it may take more than one poll to let all children in.
    gradual: bool,
    run: for<'a> fn(Vec<Child<'a>>) -> Run<'a>,
}

type Run<'a> = Pin<Box<dyn Future<Output = Result<(), u32>> + 'a>>;

const ERROR: u32 = 7;

/// All that are compared, those of errgroup first.
pub const RUNNERS: [Runner; 14] = [
    Runner { own: true, ..join::<joins::GroupTryJoin>() },
    Runner {
        name: "errgroup `group.await`",
        own: true,
        gradual: false,
        run: |children| Box::pin(children.into_iter().collect::<Group<_>>()),
    },
    Runner { own: true, ..window::<windows::Forward>() },
    Runner { own: true, ..window::<windows::ReadyLoop>() },
    join::<joins::TryJoinAll>(),
    Runner {
        name: "futures `buffered`",
        own: false,
        gradual: true,
        run: |children| {
            let limit = children.len();
            Box::pin(stream::iter(children).buffered(limit).try_collect())
        },
    },
    window::<windows::BufferUnordered>(),
    window::<windows::ForEachConcurrent>(),
    join::<joins::BufferedTryJoinAll>(),
    Runner {
        name: "futures-buffered `buffered_ordered`",
        own: false,
        gradual: true,
        run: |children| {
            let limit = children.len();
            Box::pin(stream::iter(children).buffered_ordered(limit).try_collect())
        },
    },
    window::<windows::BufferedUnordered>(),
    window::<windows::BoundedLoop>(),
    join::<joins::VecTryJoin>(),
    window::<windows::Concurrent>(),
];

const fn join<J: Join>() -> Runner {
    Runner {
        name: J::NAME,
        own: false,
        gradual: false,
        run: |children| Box::pin(J::join(children.into_iter()).map_ok(drop)),
    }
}

const fn window<W: Window>() -> Runner {
    Runner {
        name: W::NAME,
        own: false,
        gradual: true,
        run: |children| {
            let limit = children.len();
            Box::pin(W::run(stream::iter(children), limit))
        },
    }
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::Woken, Self::AllWoken];

    /// What happens, in one line.
    pub fn about(self) -> &'static str {
        match self {
            Self::AtOnce => {
                "the last child fails at its first poll, those between are ready at once"
            }
            Self::Woken => "the last child is woken and fails, those between are ready at once",
            Self::AllWoken => "all but the first are woken together, and the last fails",
        }
    }
}

impl Runner {
    /// How many polls it takes until the error of the last of `n` children shows: from the first of
    /// all, or from that child's wake; `None` if it shows only after the first child is done. Where
    /// children are let in gradually, from the poll in which the last child is first polled.
    ///
    /// # Panics
    ///
    /// If it is errgroup's, and does not show the error in the first of these polls.
    pub fn polls_until_error(&self, case: Case, n: usize) -> Option<usize> {
        let executor = Executor::new();
        let (signals, polls) = (signals(n), Cell::new(0));
        let children = signals.iter().enumerate().map(|(id, signal)| {
            let last = id == n - 1;
            let waits = match case {
                Case::AtOnce => id == 0,
                Case::Woken => id == 0 || last,
                Case::AllWoken => true,
            };
            let polls = (last && self.gradual).then_some(&polls);
            Child { signal: waits.then_some(signal), fails: last, polls }
        });
        let mut run = (self.run)(children.collect());
        let mut poll = || {
            executor.poll_woken(|cx| {
                polls.set(polls.get() + 1);
                run.as_mut().poll(cx)
            })
        };
        executor.start();
        let mut outcome = poll();
        if !matches!(case, Case::AtOnce) {
            assert_eq!(outcome, None, "there is an outcome, but children still wait");
            let woken = if matches!(case, Case::Woken) { n - 1 } else { 1 };
            signals[woken..].iter().for_each(Signal::send);
            polls.set(0);
            outcome = poll();
        }
        let at = outcome.is_some().then(|| polls.get());
        if outcome.is_none() {
            signals[0].send();
            outcome = poll();
        }
        assert_eq!(outcome, Some(Err(ERROR)), "{}: the error is lost", self.name);
        if self.own {
            assert_eq!(at, Some(1), "{}: an error of {n} children shows late", self.name);
        }
        at
    }
}

/// Waits for a signal if it has one, and then fails or is done.
struct Child<'a> {
    signal: Option<&'a Signal>,
    fails: bool,
    /// The count of polls, if it is to begin with this child.
    polls: Option<&'a Cell<usize>>,
}

impl Future for Child<'_> {
    type Output = Result<(), u32>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(signal) = self.signal {
            ready!(signal.poll(cx));
        } else if let Some(polls) = self.polls {
            polls.set(1);
        }
        Poll::Ready(if self.fails { Err(ERROR) } else { Ok(()) })
    }
}
