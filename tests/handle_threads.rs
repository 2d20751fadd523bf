//! Children are added from many threads, while the group is polled, while it ends and while it is dropped.

mod kit;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::task::{Context, Poll};
use std::thread;

use errgroup::{Group, Handle, TryPushError};
use futures::executor::block_on;
use kit::Task;

const THREADS: usize = 4;
const ROUNDS: usize = if cfg!(miri) { 6 } else { 2_000 };
const ADDS: usize = if cfg!(miri) { 8 } else { 1_000 };

/// What became of the children.
#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    polled: AtomicUsize,
    dropped: AtomicUsize,
    accepted: AtomicUsize,
}

struct Child<'a> {
    counts: &'a Counts,
    waits: bool,
}

impl<'a> Child<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.made.fetch_add(1, SeqCst);
        Self { counts, waits: false }
    }

    fn that_waits(counts: &'a Counts) -> Self {
        let mut child = Self::new(counts);
        child.waits = true;
        child
    }
}

impl Future for Child<'_> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.counts.polled.fetch_add(1, SeqCst);
        if self.waits { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, SeqCst);
    }
}

impl Counts {
    /// Adds a child, and says whether it was taken.
    fn add<'a>(&'a self, handle: &Handle<Child<'a>>) -> bool {
        match handle.push(Child::new(self)) {
            Ok(()) => {
                self.accepted.fetch_add(1, SeqCst);
                true
            }
            Err(closed) => {
                drop(closed.into_inner());
                false
            }
        }
    }

    fn polled(&self) -> usize {
        self.polled.load(SeqCst)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    fn assert_all_dropped_once(&self) {
        assert_eq!(self.dropped.load(SeqCst), self.made.load(SeqCst));
    }
}

/// Each thread adds one after the other, as long as they are taken: the end comes between two of them.
#[test]
fn adds_that_race_the_end_run_or_come_back() {
    for round in 0..ROUNDS {
        let counts = Counts::default();
        let mut group = Group::unboxed();
        let handle = group.handle();
        group.push(Child::new(&counts));
        let start = Barrier::new(THREADS + 1);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (handle, counts, start) = (handle.clone(), &counts, &start);
                scope.spawn(move || {
                    start.wait();
                    // Some give up before the end, which otherwise might never come.
                    let adds = 1 + (round + thread) % 5;
                    (0..adds).all(|_| counts.add(&handle));
                });
            }
            start.wait();
            assert_eq!(block_on(&mut group), Ok(()));
            assert!(!counts.add(&handle));
        });
        assert_eq!(counts.polled(), 1 + counts.accepted());
        assert_eq!(group.finished(), counts.polled());
        counts.assert_all_dropped_once();
    }
}

#[test]
fn adds_that_race_the_drop_of_the_group_are_dropped_or_come_back() {
    for round in 0..ROUNDS {
        let counts = Counts::default();
        let mut group = Group::unboxed();
        let handle = group.handle();
        group.push(Child::that_waits(&counts));
        let start = Barrier::new(THREADS + 1);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let (handle, counts, start) = (handle.clone(), &counts, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..10).all(|_| counts.add(&handle));
                });
            }
            start.wait();
            if round % 2 == 0 {
                while let Poll::Ready(Some(_)) = Task::default().poll(&mut group.next()) {}
            }
            assert!(!handle.is_closed());
            drop(group);
            assert!(!counts.add(&handle));
        });
        let most = if round % 2 == 0 { 1 + counts.accepted() } else { 0 };
        assert!(counts.polled() <= most);
        counts.assert_all_dropped_once();
    }
}

/// The group waits each time until it is woken: where a wake is lost, this never ends.
#[test]
fn adds_from_other_threads_wake_the_group() {
    for limit in [usize::MAX, 2, 5] {
        let counts = Counts::default();
        let mut group = Group::unboxed().with_limit(limit);
        let handle = group.handle();
        group.push(Child::that_waits(&counts));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let (handle, counts) = (handle.clone(), &counts);
                scope.spawn(move || {
                    for _ in 0..ADDS {
                        assert!(counts.add(&handle));
                        while counts.polled() + 10 < counts.accepted() {
                            thread::yield_now();
                        }
                    }
                });
            }
            for _ in 0..THREADS * ADDS {
                assert_eq!(block_on(group.next()), Some(Ok(())));
            }
        });
        assert_eq!(group.len(), 1);
        drop(group);
        assert_eq!(counts.polled(), 1 + THREADS * ADDS);
        counts.assert_all_dropped_once();
    }
}

#[test]
fn threads_that_wait_for_room_all_get_it_and_never_more_than_there_is() {
    const LIMIT: usize = 3;
    let counts = Counts::default();
    let mut group = Group::unboxed().with_limit(LIMIT);
    let handle = group.handle();
    group.push(Child::that_waits(&counts));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (handle, counts) = (handle.clone(), &counts);
            scope.spawn(move || {
                for _ in 0..ADDS {
                    let mut child = Child::new(counts);
                    loop {
                        assert!(block_on(handle.ready()).is_ok());
                        match handle.try_push(child) {
                            Ok(()) => break,
                            Err(TryPushError::Full(refused)) => child = refused,
                            Err(TryPushError::Closed(_)) => panic!("it has not ended"),
                        }
                    }
                }
            });
        }
        for _ in 0..THREADS * ADDS {
            assert_eq!(block_on(group.next()), Some(Ok(())));
            assert!(group.len() <= LIMIT);
        }
    });
    assert_eq!(group.len(), 1);
    drop(group);
    counts.assert_all_dropped_once();
}

/// Who begins to wait either finds the room, or the end, that is made in this moment, or is told of it.
#[test]
fn who_begins_to_wait_as_room_is_made_or_the_group_ends_is_told() {
    for round in 0..ROUNDS.max(60) {
        let (counts, task) = (Counts::default(), Task::default());
        let mut group = Group::unboxed().with_limit(1);
        let handle = group.handle();
        group.push(Child::new(&counts));
        let (start, over) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut room = handle.ready();
                start.wait();
                let waits = task.poll(&mut room).is_pending();
                over.wait();
                waits
            });
            start.wait();
            if round % 2 == 0 {
                assert_eq!(Task::default().poll(&mut group.next()), Poll::Ready(Some(Ok(()))));
            } else {
                drop(group);
            }
            over.wait();
            assert!(!waiter.join().unwrap() || task.wakes() > 0, "it waits for ever");
        });
    }
}

/// Within a poll, what a child adds goes by a row of its own thread, but not past what it knows of.
#[test]
fn child_that_adds_after_another_thread_has_comes_behind_it() {
    let mut group = Group::new();
    let handle = group.handle();
    group.go(async move {
        handle.go(async { 1 }).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| handle.go(async { 2 }).unwrap());
        });
        handle.go(async { 3 }).unwrap();
        0
    });
    assert_eq!(block_on(group.join()), [0, 1, 2, 3]);
}

/// Each adds, and polls whenever no other does.
#[test]
fn group_that_goes_from_thread_to_thread_takes_what_comes_on_each() {
    let counts = Counts::default();
    let mut group = Group::unboxed();
    let handle = group.handle();
    group.push(Child::that_waits(&counts));
    let place = Mutex::new(Some(group));
    let take = || place.lock().unwrap().take();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ADDS {
                    assert!(counts.add(&handle));
                    if let Some(mut group) = take() {
                        while Task::default().poll(&mut group.next()).is_ready() {}
                        *place.lock().unwrap() = Some(group);
                    }
                }
            });
        }
    });
    let mut group = take().unwrap();
    while Task::default().poll(&mut group.next()).is_ready() {}
    assert_eq!(counts.polled(), 1 + counts.accepted());
    drop(group);
    counts.assert_all_dropped_once();
}
