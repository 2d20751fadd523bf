//! All at once and at random: threads use the wakers of children, also of dead ones, while the owner
//! polls from two tasks, adds, removes, clears, sets limits and at last drops the group.

mod kit;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use errgroup::Group;
use fastrand::Rng;
use kit::Task;

const THREADS: usize = 3;
const SEEDS: u64 = if cfg!(miri) { 3 } else { 60 };
const STEPS: usize = if cfg!(miri) { 30 } else { 200 };
/// How many children a group begins with: some in one page, some in several.
const CHILDREN: [usize; 3] = if cfg!(miri) { [1, 6, 20] } else { [2, 20, 200] };

/// What a thread is to do: raise the signal, and wake the child that waits for it.
#[derive(Clone)]
struct Order {
    signal: Arc<AtomicBool>,
    waker: Waker,
}

/// Waits for signals, one after the other, each from some thread; or wakes itself instead.
struct Child<'a> {
    id: usize,
    turns: usize,
    waits: Option<Order>,
    rng: Rng,
    /// The last child hangs up, so that the threads end while the group does.
    threads: Rc<[mpsc::Sender<Order>]>,
    log: &'a Log,
}

/// What some children panic with, to tell it from a failed assertion.
struct Panic;

#[derive(Default)]
struct Log {
    ordered: Cell<usize>,
    dropped: RefCell<Vec<usize>>,
}

impl Future for Child<'_> {
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Order { signal, waker }) = &self.waits {
            assert!(waker.will_wake(cx.waker()), "a thread has a waker that is no longer good");
            // Relaxed on both sides: it is the wake that hands the signal over.
            if !signal.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
        }
        self.waits = None;
        let Some(turns) = self.turns.checked_sub(1) else {
            return match self.rng.u8(..20) {
                0 => resume_unwind(Box::new(Panic)),
                1 => Poll::Ready(Err(())),
                _ => Poll::Ready(Ok(())),
            };
        };
        self.turns = turns;
        match self.rng.u8(..6) {
            0 => cx.waker().wake_by_ref(),
            _ => {
                let order = Order { signal: Arc::default(), waker: cx.waker().clone() };
                let thread = self.rng.usize(..THREADS);
                self.threads[thread].send(order.clone()).expect("threads wait for orders");
                self.log.ordered.set(self.log.ordered.get() + 1);
                self.waits = Some(order);
            }
        }
        Poll::Pending
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        self.log.dropped.borrow_mut().push(self.id);
    }
}

/// Follows orders, and between them uses the wakers that it kept, most of which are of dead children.
fn follow(orders: mpsc::Receiver<Order>, followed: &AtomicUsize, mut rng: Rng) {
    let mut kept = Vec::new();
    for Order { signal, waker } in orders {
        signal.store(true, Ordering::Relaxed);
        if rng.bool() {
            waker.wake();
        } else {
            waker.wake_by_ref();
            kept.push(waker);
        }
        followed.fetch_add(1, Ordering::Release);
        if kept.len() > 2 {
            let waker = kept.swap_remove(rng.usize(..kept.len()));
            match rng.u8(..3) {
                0 => waker.wake(),
                1 => drop(waker),
                _ => {
                    waker.wake_by_ref();
                    kept.push(waker);
                }
            }
        }
    }
    kept.into_iter().for_each(Waker::wake);
}

/// Returns when the task is woken, as it must be once every order was followed.
fn wait(task: &Task, log: &Log, followed: &AtomicUsize) {
    let all = |ordering| followed.load(ordering) == log.ordered.get();
    while task.wakes() == 0 {
        // Relaxed where it can be: otherwise the count hands over what a wake failed to.
        if all(Ordering::Relaxed) && all(Ordering::Acquire) {
            assert!(task.wakes() > 0, "a wake was lost");
            return;
        }
        thread::yield_now();
    }
}

fn run(seed: u64) {
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (log, followed) = (Log::default(), AtomicUsize::new(0));
    let tasks: [Task; 2] = Default::default();
    let (threads, orders): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel()).unzip();
    let threads = Rc::from(threads);
    let mut ids = 0..;

    thread::scope(|scope| {
        for orders in orders {
            let (followed, rng) = (&followed, rng.fork());
            scope.spawn(move || follow(orders, followed, rng));
        }
        let start = CHILDREN[seed as usize % CHILDREN.len()];
        let mut child = |rng: &mut Rng| Child {
            id: ids.next().expect("there is no end"),
            turns: rng.usize(..6),
            waits: None,
            rng: rng.fork(),
            threads: Rc::clone(&threads),
            log: &log,
        };
        let mut group = Group::unboxed();
        let mut keys = Vec::new();
        let mut task = 0;
        for _ in 0..STEPS {
            if group.is_empty() {
                keys.extend((0..start).map(|_| group.push(child(&mut rng))));
            }
            match rng.u8(..16) {
                0..3 => task = 1 - task,
                3..7 => keys.push(group.push(child(&mut rng))),
                7..9 => _ = group.remove(keys[rng.usize(..keys.len())]),
                9 => group = group.with_limit(rng.usize(1..=start)),
                10 if rng.u8(..8) == 0 => group.clear(),
                _ => {}
            }
            let task = &tasks[task];
            task.wakes();
            let poll = catch_unwind(AssertUnwindSafe(|| match rng.u8(..8) {
                0 => task.poll(&mut group).map(drop),
                _ => task.poll(&mut group.next()).map(drop),
            }));
            match poll {
                Ok(Poll::Pending) if rng.bool() => wait(task, &log, &followed),
                Ok(_) => {}
                Err(panic) if panic.is::<Panic>() => assert!(group.is_empty()),
                Err(panic) => resume_unwind(panic),
            }
        }
        drop(threads);
        drop(group);
    });
    assert_eq!(tasks.map(|task| task.wakers()), [0, 0]);
    let mut dropped = log.dropped.take();
    dropped.sort_unstable();
    assert_eq!(dropped, Vec::from_iter(0..ids.start));
}

#[test]
fn nothing_is_lost_while_threads_wake_and_the_owner_does_as_it_likes() {
    (0..SEEDS).for_each(run);
}
