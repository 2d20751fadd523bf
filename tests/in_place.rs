//! A child stays where it was first polled until it is dropped there, whatever its size and alignment
//! (futures-concurrency issue 188: children that are moved before their drop).

mod kit;

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use errgroup::Group;
use kit::{LARGE, SIZES, Task};

#[derive(Default)]
struct Tally {
    moves: Cell<usize>,
    drops: Cell<usize>,
}

/// Notes its address at its first poll and tells when it is ever met elsewhere.
struct Still<'a> {
    home: Cell<usize>,
    yields: Cell<usize>,
    tally: &'a Tally,
    _pinned: PhantomPinned,
}

impl<'a> Still<'a> {
    fn new(tally: &'a Tally, yields: usize) -> Self {
        Still { home: Cell::new(0), yields: Cell::new(yields), tally, _pinned: PhantomPinned }
    }

    fn check(&self) {
        let home = self.home.get();
        if home != 0 && home != address(self) {
            self.tally.moves.set(self.tally.moves.get() + 1);
        }
    }
}

fn address<T>(value: &T) -> usize {
    value as *const T as usize
}

impl Future for Still<'_> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.check();
        self.home.set(address(&*self));
        match self.yields.get().checked_sub(1) {
            None => Poll::Ready(Ok(())),
            Some(left) => {
                self.yields.set(left);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.check();
        self.tally.drops.set(self.tally.drops.get() + 1);
    }
}

#[test]
fn still_while_the_group_grows_to_thousands() {
    const ROUNDS: usize = if cfg!(miri) { 2 } else { 50 };
    const YIELDS: usize = if cfg!(miri) { 9 } else { 90 };
    let (tally, task) = (Tally::default(), Task::default());
    let mut group = Group::unboxed();
    for round in 0..ROUNDS {
        group.extend((0..100).map(|id| Still::new(&tally, (id + round) % YIELDS)));
        let _ = task.poll(&mut group.next());
    }
    assert!(group.len() > 60 * ROUNDS);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!((tally.moves.get(), tally.drops.get()), (0, 100 * ROUNDS));
}

#[test]
fn still_while_slots_are_used_again() {
    const ADDED: usize = if cfg!(miri) { 50 } else { 2_000 };
    let (tally, task) = (Tally::default(), Task::default());
    let mut group = Group::unboxed();
    group.extend((0..70).map(|id| Still::new(&tally, id)));
    for added in 0..ADDED {
        let next = task.poll_while_woken(&mut group.next());
        assert_eq!(next, Poll::Ready(Some(Ok(()))));
        let key = group.push(Still::new(&tally, added % 13));
        if added % 5 == 0 {
            assert!(group.remove(key));
            group.push(Still::new(&tally, added % 11));
        }
    }
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!((tally.moves.get(), tally.drops.get()), (0, 70 + ADDED + ADDED / 5));
}

#[test]
fn still_under_a_limit() {
    for limit in [1, 2, 33, 64, 500] {
        let (tally, task) = (Tally::default(), Task::default());
        let mut group = Group::with_capacity(10).with_limit(limit);
        group.extend((0..LARGE).map(|id| Still::new(&tally, id % 4)));
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!((tally.moves.get(), tally.drops.get()), (0, LARGE));
    }
}

#[test]
fn still_until_removed_cleared_or_dropped() {
    for n in SIZES {
        let (tally, task) = (Tally::default(), Task::default());
        let mut group = Group::unboxed();
        for _ in 0..2 {
            let keys: Vec<_> = (0..n).map(|_| group.push(Still::new(&tally, usize::MAX))).collect();
            assert!(task.poll(&mut group).is_pending());
            assert!(group.remove(keys[n / 2]));
            assert!(task.poll(&mut group).is_pending() || n == 1);
            group.clear();
        }
        group.extend((0..n).map(|_| Still::new(&tally, usize::MAX)));
        assert!(task.poll(&mut group).is_pending());
        drop(group);
        assert_eq!((tally.moves.get(), tally.drops.get()), (0, 3 * n));
    }
}

#[test]
fn still_while_the_group_itself_moves() {
    let (tally, task) = (Tally::default(), Task::default());
    let mut group = Group::unboxed().with_limit(40);
    group.extend((0..50).map(|_| Still::new(&tally, 9)));
    let _ = task.poll(&mut group.next());
    let mut moved = vec![Box::new(group)];
    let _ = task.poll(&mut moved[0].next());
    let mut group = *moved.remove(0);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!((tally.moves.get(), tally.drops.get()), (0, 50));
}

#[repr(align(256))]
struct Wide<'a>(Still<'a>);

impl Future for Wide<'_> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert_eq!(address(&*self) % 256, 0);
        self.0.check();
        self.0.home.set(address(&self.0));
        match self.0.yields.get().checked_sub(1) {
            None => Poll::Ready(Ok(())),
            Some(left) => {
                self.0.yields.set(left);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[test]
fn alignment_of_256_bytes_is_kept() {
    for limit in [1, 7, 1_000] {
        for n in SIZES {
            let (tally, task) = (Tally::default(), Task::default());
            let mut group = Group::unboxed().with_limit(limit);
            group.extend((0..n).map(|id| Wide(Still::new(&tally, id % 3))));
            assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
            assert_eq!((tally.moves.get(), tally.drops.get()), (0, n));
        }
    }
}

/// Takes no room at all: three polls of any of them, and the one polled last is ready.
struct Nothing;

static POLLS: AtomicUsize = AtomicUsize::new(0);
static DROPS: AtomicUsize = AtomicUsize::new(0);

impl Future for Nothing {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if POLLS.fetch_add(1, SeqCst) % 3 == 2 {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        DROPS.fetch_add(1, SeqCst);
    }
}

#[test]
fn futures_of_no_size_are_polled_and_dropped_like_any() {
    assert_eq!(size_of::<Nothing>(), 0);
    let task = Task::default();
    let (mut polls, mut drops) = (0, 0);
    for limit in [1, 33, 2_000] {
        for n in SIZES {
            let mut group = Group::unboxed().with_limit(limit);
            let keys: Vec<_> = (0..n).map(|_| group.push(Nothing)).collect();
            assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
            polls += 3 * n;
            drops += n;
            assert_eq!((POLLS.load(SeqCst), DROPS.load(SeqCst)), (polls, drops));
            assert!(!group.remove(keys[0]));

            let key = group.push(Nothing);
            group.extend((0..n).map(|_| Nothing));
            assert!(group.remove(key));
            assert_eq!(DROPS.load(SeqCst), drops + 1);
            drop(group);
            drops += n + 1;
            assert_eq!((POLLS.load(SeqCst), DROPS.load(SeqCst)), (polls, drops));
        }
    }
}
