//! The workloads, their children, and the executor that drives every collection.

use std::{
    cell::{Cell, RefCell},
    hint::black_box,
    marker::PhantomData,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{
    Row,
    contestants::{Contestant, Set},
};

/// How often children of the yielding rows wake themselves before they finish.
pub(crate) const YIELDS: u32 = 10;
/// Wakes per iteration of the rows that wake one child at a time: few, so that one iteration ends
/// soon even where each wake costs a walk over all children.
pub(crate) const WAKES: usize = 100;

/// One workload of the collections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SetRow {
    /// n children which are ready at once: the whole life of a group that never waits. Creation
    /// and drop of the collection belong to it, since for few children they are most of it.
    Ready,
    /// n children which each wake themselves and return `Pending` ten times, then finish: what a
    /// wake from within a poll and the next poll cost. Counted per poll of a child, eleven each;
    /// creation and drop of the collection are within the measured part.
    Yield10,
    /// n waiting children, of which one is woken by reference, polled and waits again, in turn
    /// over all of them: many connections, little traffic. A child keeps the waker it has as long
    /// as `will_wake` holds, as std recommends.
    WakeOne,
    /// The same, but each poll stores a fresh clone of the waker, and the wake takes and consumes
    /// it: what channels and `AtomicWaker` do, so reference counts are part of each wake.
    WakeOneTake,
    /// n waiting children, all woken before the collection is polled: a broadcast, or many events
    /// per turn of the event loop.
    WakeAll,
    /// n children are added, wait, and are dropped: a group that was cancelled. Each child drops
    /// its stored waker as it is dropped, as a channel does, so memory that wakers share is freed
    /// within the measured part.
    DropWaiting,
    /// A stream of children through a window of n: each yields once, and each that finishes makes
    /// room for the next, so slots are reused. Setup is at most a twentieth of the children.
    Window,
    /// n boxed children, each of which yields once: mixed children behind `dyn Future + Send`,
    /// with the box, creation and drop within the measured part.
    Boxed,
}

impl Row for SetRow {
    fn about(self) -> &'static str {
        match self {
            Self::Ready => "n children ready at once, from creation to drop; per child",
            Self::Yield10 => "n children yield 10 times each, from creation to drop; per poll",
            Self::WakeOne => "one of n waiting children is woken and polled, in turn; per wake",
            Self::WakeOneTake => {
                "as wake_one, with a fresh waker stored by each poll and taken by each wake; per wake"
            }
            Self::WakeAll => "n waiting children are woken, then polled; per wake",
            Self::DropWaiting => "n children are added, wait and are dropped; per child",
            Self::Window => "children through a window of n, one yield each; per child",
            Self::Boxed => "n boxed children, one yield each, from creation to drop; per child",
        }
    }

    fn items(self, n: usize) -> u64 {
        let items = match self {
            Self::Ready | Self::WakeAll | Self::DropWaiting | Self::Boxed => n,
            Self::Yield10 => n * (YIELDS as usize + 1),
            Self::WakeOne | Self::WakeOneTake => WAKES,
            Self::Window => window_total(n),
        };
        items as u64
    }
}

/// Runs `iters` iterations of a row on a contestant.
pub fn measure<C: Contestant>(row: SetRow, n: usize, iters: u64) -> Duration {
    match row {
        SetRow::Ready => ready::<C>(n, iters),
        SetRow::Yield10 => yields::<C>(n, iters),
        SetRow::WakeOne => wake_one::<C, false>(n, iters),
        SetRow::WakeOneTake => wake_one::<C, true>(n, iters),
        SetRow::WakeAll => wake_all::<C>(n, iters),
        SetRow::DropWaiting => drop_waiting::<C>(n, iters),
        SetRow::Window => window::<C>(n, iters),
        SetRow::Boxed => boxed::<C>(n, iters),
    }
}

/// How many children pass through a window of `n`: whole windows, and at least twenty of them.
pub(crate) fn window_total(n: usize) -> usize {
    n * (20_000 / n).max(20)
}

pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn ready<C: Contestant>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let mut finished = 0;
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut set = C::Set::<Ready>::empty();
            for i in 0..n {
                set.add(Ready::new(i));
            }
            finished += executor.finish(black_box(&mut set));
        }
    });
    assert_eq!(finished, iters * n as u64);
    elapsed
}

fn yields<C: Contestant>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let mut finished = 0;
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut set = C::Set::<Yield>::empty();
            for i in 0..n {
                set.add(Yield::new(i, YIELDS));
            }
            finished += executor.finish(black_box(&mut set));
        }
    });
    assert_eq!(finished, iters * n as u64);
    elapsed
}

fn wake_one<C: Contestant, const FRESH: bool>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let slots = slots(n);
    let mut set = waiting::<C, FRESH>(&executor, &slots);
    let wakes = iters as usize * WAKES;
    let elapsed = time(|| {
        let mut turn = slots.iter().cycle();
        for _ in 0..wakes {
            let slot = turn.next().expect("there is a child");
            if FRESH {
                slot.take()
            } else {
                slot.wake()
            }
            executor.settle(&mut set);
        }
    });
    for (i, slot) in slots.iter().enumerate() {
        let turns = wakes / n + usize::from(i < wakes % n);
        assert!(slot.polls.get() > turns, "a woken child was not polled");
    }
    elapsed
}

fn wake_all<C: Contestant>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let slots = slots(n);
    let mut set = waiting::<C, false>(&executor, &slots);
    let elapsed = time(|| {
        for _ in 0..iters {
            for slot in &slots {
                slot.wake();
            }
            executor.settle(&mut set);
        }
    });
    for slot in &slots {
        let polls = slot.polls.get() as u64;
        assert!(polls > iters, "a woken child was not polled");
    }
    elapsed
}

fn drop_waiting<C: Contestant>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let slots = slots(n);
    let elapsed = time(|| {
        for _ in 0..iters {
            drop(black_box(waiting::<C, false>(&executor, &slots)));
        }
    });
    for slot in &slots {
        assert!(slot.polls.get() as u64 >= iters, "a child was not polled");
        assert!(slot.waker.borrow().is_none(), "a child was not dropped");
    }
    elapsed
}

fn window<C: Contestant>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let total = window_total(n);
    let mut finished = 0;
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut set = C::Set::<Yield>::empty();
            for i in 0..n {
                set.add(Yield::new(i, 1));
            }
            let mut added = n;
            executor.start();
            let all = executor.run(&mut set, |set| {
                finished += 1;
                if added < total {
                    set.add(Yield::new(added, 1));
                    added += 1;
                }
            });
            assert!(all, "a wake was lost");
        }
    });
    assert_eq!(finished, iters as usize * total);
    elapsed
}

fn boxed<C: Contestant>(n: usize, iters: u64) -> Duration {
    let executor = Executor::new();
    let mut finished = 0;
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut set = C::empty_boxed();
            for i in 0..n {
                C::add_boxed(&mut set, Yield::new(i, 1));
            }
            finished += executor.finish(black_box(&mut set));
        }
    });
    assert_eq!(finished, iters * n as u64);
    elapsed
}

/// A collection of waiting children, one for each slot, which are polled once.
pub(crate) fn waiting<'a, C: Contestant, const FRESH: bool>(
    executor: &Executor,
    slots: &'a [Slot],
) -> C::Set<Waiting<'a, FRESH>> {
    let mut set = C::Set::empty();
    for slot in slots {
        set.add(Waiting(slot));
    }
    executor.start();
    executor.settle(&mut set);
    set
}

/// Polls a collection whenever it was woken, and never otherwise.
pub(crate) struct Executor {
    task: Arc<Task>,
    waker: Waker,
}

struct Task {
    woken: AtomicBool,
}

impl Executor {
    pub(crate) fn new() -> Self {
        let task = Arc::new(Task { woken: AtomicBool::new(false) });
        let waker = task.clone().into();
        Self { task, waker }
    }

    /// Has the next `run` poll once without a wake, as an executor polls a new task.
    pub(crate) fn start(&self) {
        self.task.woken.store(true, Ordering::Relaxed);
    }

    /// Polls while the collection is woken, calling `finished` for each child that finished;
    /// `true` if none is left. Like a task which loops over `next().await`, it asks for the next
    /// child at once after one finished, and returns to the executor only when none has.
    pub(crate) fn run<F, S: Set<F>>(&self, set: &mut S, mut finished: impl FnMut(&mut S)) -> bool {
        let all = self.poll_woken(|cx| {
            loop {
                match set.poll_next(cx) {
                    Poll::Ready(Some(())) => finished(set),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        all.is_some()
    }

    /// Polls while the task is woken: what comes out, or `None` if it waits.
    pub(crate) fn poll_woken<T>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let mut cx = Context::from_waker(&self.waker);
        // All is on one thread, so that a load and a store do. A swap would add two atomic
        // read-modify-writes to each wake and poll, as many as a fast collection needs itself.
        while self.task.woken.load(Ordering::Relaxed) {
            self.task.woken.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = poll(&mut cx) {
                return Some(output);
            }
        }
        None
    }

    /// Polls a new collection until none of its children is left; how many finished.
    fn finish<F, S: Set<F>>(&self, set: &mut S) -> u64 {
        let mut finished = 0;
        self.start();
        let all = self.run(set, |_| finished += 1);
        assert!(all, "a wake was lost");
        finished
    }

    /// Polls a new future until it is ready; `None` if it never is, as nobody wakes it.
    pub(crate) fn finish_future<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        self.start();
        self.poll_woken(|cx| future.as_mut().poll(cx))
    }

    /// Polls until the collection waits.
    pub(crate) fn settle<F, S: Set<F>>(&self, set: &mut S) {
        let all = self.run(set, |_| unreachable!("a waiting child finished"));
        assert!(!all, "the waiting children are gone");
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
    }
}

/// What a child gives, made from the child's number.
pub(crate) trait Output {
    fn of(id: usize) -> Self;
}

impl Output for () {
    fn of(_: usize) {}
}

impl Output for Result<(), u32> {
    fn of(id: usize) -> Self {
        <Result<u64, u32>>::of(id).map(|_| ())
    }
}

impl Output for Result<u64, u32> {
    /// No child has the last number, but no contestant may know that its children never fail.
    fn of(id: usize) -> Self {
        if id < usize::MAX { Ok(id as u64) } else { Err(u32::MAX) }
    }
}

/// Is ready when first polled.
pub(crate) struct Ready<T = ()> {
    id: usize,
    output: PhantomData<fn() -> T>,
}

impl<T> Ready<T> {
    pub(crate) fn new(id: usize) -> Self {
        Self { id, output: PhantomData }
    }
}

impl<T: Output> Future for Ready<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(T::of(black_box(self.id)))
    }
}

/// Wakes itself and waits a number of times before it is ready.
pub(crate) struct Yield<T = ()> {
    id: usize,
    left: u32,
    output: PhantomData<fn() -> T>,
}

impl<T> Yield<T> {
    pub(crate) fn new(id: usize, left: u32) -> Self {
        Self { id, left, output: PhantomData }
    }
}

impl<T: Output> Future for Yield<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let id = black_box(self.id);
        if self.left == 0 {
            return Poll::Ready(T::of(id));
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Sent once to a child that waits for it, as through a oneshot channel.
pub(crate) struct Signal {
    sent: Cell<bool>,
    slot: Slot,
}

pub(crate) fn signals(n: usize) -> Vec<Signal> {
    slots(n).into_iter().map(|slot| Signal { sent: Cell::new(false), slot }).collect()
}

impl Signal {
    /// Wakes the child, which must wait.
    pub(crate) fn send(&self) {
        self.sent.set(true);
        self.slot.take();
    }

    /// Waits until the signal is sent; then it can be used again.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.sent.take() {
            return Poll::Ready(());
        }
        self.slot.store::<false>(cx.waker());
        Poll::Pending
    }
}

/// The numbers below `n` in an order that is always the same, and none to foresee.
pub(crate) fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32));
    order
}

/// Where a waiting child leaves its waker, outside of the collection like a channel's state.
pub(crate) struct Slot {
    waker: RefCell<Option<Waker>>,
    pub(crate) polls: Cell<usize>,
}

pub(crate) fn slots(n: usize) -> Vec<Slot> {
    let slot = || Slot { waker: RefCell::new(None), polls: Cell::new(0) };
    std::iter::repeat_with(slot).take(n).collect()
}

impl Slot {
    pub(crate) fn wake(&self) {
        let waker = self.waker.borrow();
        waker.as_ref().expect("the child waits").wake_by_ref();
    }

    pub(crate) fn take(&self) {
        let waker = self.waker.take();
        waker.expect("the child waits").wake();
    }

    /// Leaves a waker; a new clone if `FRESH`, else only unless `will_wake`.
    fn store<const FRESH: bool>(&self, waker: &Waker) {
        match &mut *self.waker.borrow_mut() {
            Some(stored) if !FRESH => stored.clone_from(waker),
            stored => *stored = Some(waker.clone()),
        }
    }
}

/// Leaves its waker and waits, for ever; if `FRESH`, it leaves a new clone at each poll.
pub(crate) struct Waiting<'a, const FRESH: bool>(pub(crate) &'a Slot);

impl<const FRESH: bool> Future for Waiting<'_, FRESH> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let slot = self.0;
        slot.polls.set(slot.polls.get() + 1);
        slot.store::<FRESH>(cx.waker());
        Poll::Pending
    }
}

impl<const FRESH: bool> Drop for Waiting<'_, FRESH> {
    fn drop(&mut self) {
        self.0.waker.take();
    }
}
