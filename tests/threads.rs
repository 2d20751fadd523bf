//! Wakers are used from many threads, while the group is polled, while it changes and while it dies.

mod kit;

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use errgroup::Group;
use futures::executor::block_on;
use futures::task::AtomicWaker;
use kit::{Act, Cast, Child, Task};

const THREADS: usize = 4;
const ROUNDS: usize = if cfg!(miri) { 10 } else { 5_000 };
/// Miri takes every so many of the runs that a test repeats.
const STEP: usize = if cfg!(miri) { 50 } else { 1 };

/// Written by one thread, waited for by one child.
#[derive(Default)]
struct Signal {
    round: AtomicUsize,
    waker: AtomicWaker,
}

impl Signal {
    async fn reaches(&self, round: usize) -> Result<(), ()> {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            match self.round.load(SeqCst) < round {
                true => Poll::Pending,
                false => Poll::Ready(Ok(())),
            }
        })
        .await
    }
}

/// Polls as often as it is woken, which must be soon when nobody is left to wake it.
fn run<F: Future + Unpin>(mut future: F, busy: impl Fn() -> bool) -> F::Output {
    let task = Task::default();
    loop {
        if let Poll::Ready(output) = task.poll(&mut future) {
            return output;
        }
        loop {
            let busy = busy();
            if task.wakes() > 0 {
                break;
            }
            assert!(busy, "a wake was lost");
            thread::yield_now();
        }
    }
}

#[test]
fn no_wake_is_lost() {
    for children in [THREADS, 33, 130] {
        let signals: Vec<Signal> = (0..children).map(|_| Signal::default()).collect();
        thread::scope(|scope| {
            let signals = &signals;
            let threads = [0, 1, 2, 3].map(|of| {
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        for signal in signals.iter().skip(of).step_by(THREADS) {
                            signal.round.store(round, SeqCst);
                            signal.waker.wake();
                        }
                    }
                })
            });
            let mut group = Group::new();
            for signal in signals {
                group.go(signal.reaches(ROUNDS));
            }
            let busy = || threads.iter().any(|thread| !thread.is_finished());
            assert_eq!(run(&mut group, busy), Ok(()));
            assert_eq!(group.finished(), children);
        });
    }
}

#[test]
fn values_are_in_order_when_threads_wake_the_children_in_another() {
    for run_number in 0..if cfg!(miri) { 2 } else { 100 } {
        for children in [THREADS, if cfg!(miri) { 20 } else { 130 }] {
            let signals: Vec<Signal> = (0..children).map(|_| Signal::default()).collect();
            thread::scope(|scope| {
                let signals = &signals;
                let threads = [0, 1, 2, 3].map(|of| {
                    scope.spawn(move || {
                        for signal in signals.iter().skip(of).step_by(THREADS).rev() {
                            signal.round.store(1, SeqCst);
                            signal.waker.wake();
                        }
                    })
                });
                let child = async |(id, signal): (usize, &Signal)| {
                    signal.reaches(1).await?;
                    Ok::<_, ()>(id)
                };
                let group: Group<_> = signals.iter().enumerate().map(child).collect();
                let limit = if run_number % 2 == 0 { usize::MAX } else { 10 };
                let busy = || threads.iter().any(|thread| !thread.is_finished());
                let values = run(group.with_limit(limit).try_join(), busy);
                assert_eq!(values, Ok(Vec::from_iter(0..children)));
            });
        }
    }
}

/// Each side waits for the other, so every single wake counts.
fn dialogues(children: usize) {
    let signals: Vec<Signal> = (0..children).map(|_| Signal::default()).collect();
    let (asked, answered) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    thread::scope(|scope| {
        let mut group = Group::new();
        for signal in &signals {
            let (go, come) = mpsc::channel();
            scope.spawn(move || {
                for round in come {
                    signal.round.store(round, SeqCst);
                    signal.waker.wake();
                    answered.fetch_add(1, SeqCst);
                }
            });
            group.go(async move {
                for round in 1..=ROUNDS {
                    asked.fetch_add(1, SeqCst);
                    go.send(round).map_err(drop)?;
                    signal.reaches(round).await?;
                }
                Ok::<(), ()>(())
            });
        }
        let busy = || answered.load(SeqCst) < asked.load(SeqCst);
        assert_eq!(run(group, busy), Ok(()));
    });
    assert!(signals.iter().all(|s| s.round.load(SeqCst) == ROUNDS));
}

#[test]
fn no_wake_of_one_dialogue_is_lost() {
    dialogues(1);
}

#[test]
fn no_wake_of_many_dialogues_is_lost() {
    dialogues(THREADS);
}

/// The thread is done before the poll it wakes in the midst of.
#[test]
fn wakes_from_another_thread_during_a_poll_are_seen() {
    for n in [1, 2, 33, 65] {
        let (cast, task) = (Cast::new(n), Task::default());
        let mut group = Group::new();
        for child in cast.children() {
            group.go(child);
        }
        assert!(task.poll_while_woken(&mut group).is_pending());
        cast.polled();
        let other = cast.clone();
        group.go(poll_fn(move |cx| {
            let (cast, own) = (other.clone(), cx.waker().clone());
            let wake = move || {
                (0..n).for_each(|id| cast.wake(id));
                own.wake();
            };
            thread::spawn(wake).join().unwrap();
            match other.polls(0) {
                1 => Poll::Pending,
                _ => Poll::Ready(Ok(())),
            }
        }));
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert!((0..n).all(|id| cast.polls(id) >= 2));
        assert_eq!((group.len(), group.finished()), (n, 1));
    }
}

/// Starts threads that use the wakers of all children for a while, all at once.
fn use_wakers(cast: &Cast, n: usize) -> (Arc<Barrier>, Vec<thread::JoinHandle<()>>) {
    let start = Arc::new(Barrier::new(THREADS + 1));
    let spawn = |_| {
        let wakers: Vec<Waker> = (0..n).map(|id| cast.waker(id)).collect();
        let start = start.clone();
        thread::spawn(move || {
            start.wait();
            for _ in 0..if cfg!(miri) { 1 } else { 20 } {
                for waker in &wakers {
                    let clone = waker.clone();
                    waker.wake_by_ref();
                    clone.wake();
                }
            }
        })
    };
    let threads = (0..THREADS).map(spawn).collect();
    (start, threads)
}

#[test]
fn wakers_in_use_while_the_group_dies() {
    for polls in (0..100).step_by(STEP) {
        let (cast, task) = (Cast::new(40), Task::default());
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        let (start, threads) = use_wakers(&cast, 40);
        cast.forget_wakers();
        start.wait();
        for _ in 0..polls {
            assert!(task.poll(&mut group).is_pending());
        }
        drop(group);
        assert!(cast.polled().len() >= 40);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(cast.polled(), []);
        cast.assert_all_dropped_once();
        cast.forget_wakers();
        assert_eq!(task.wakers(), 0);
    }
}

#[test]
fn wakers_in_use_while_the_group_fails() {
    for failed in (0..100).step_by(STEP) {
        let (cast, task) = (Cast::new(100), Task::default());
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        let (start, threads) = use_wakers(&cast, 100);
        start.wait();
        cast.tell(failed, Act::Fail);
        assert_eq!(block_on(&mut group), Err(failed));
        cast.assert_all_dropped_once();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    }
}

#[test]
fn wakers_in_use_while_children_come_and_go() {
    let (cast, task) = (Cast::new(40), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll_while_woken(&mut group).is_pending());
    let (start, threads) = use_wakers(&cast, 40);
    start.wait();
    let guests = Cast::new(if cfg!(miri) { 150 } else { 2_000 });
    let mut keys = Vec::new();
    for child in guests.children() {
        keys.push(group.push(child));
        if keys.len() > 100 {
            assert!(group.remove(keys.remove(37)));
        }
        assert!(task.poll(&mut group).is_pending());
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(group.len(), 140);

    cast.tell_all(Act::Succeed);
    guests.tell_all(Act::Succeed);
    for key in keys {
        assert!(group.remove(key));
    }
    (0..40).for_each(|id| cast.wake(id));
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    cast.assert_all_dropped_once();
    guests.assert_all_dropped_once();
}

#[test]
fn all_threads_together_wake_the_task_once() {
    let (cast, task) = (Cast::new(100), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll_while_woken(&mut group).is_pending());
    for _ in (0..20).step_by(STEP) {
        let (start, threads) = use_wakers(&cast, 100);
        task.wakes();
        start.wait();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(task.wakes(), 1);
        cast.polled();
        assert!(task.poll_while_woken(&mut group).is_pending());
        assert_eq!(cast.polled().len(), 100);
    }
}

#[test]
fn group_that_moves_from_thread_to_thread() {
    let cast = Cast::new(10);
    let mut group: Group<Child> = cast.children().collect();
    for id in 0..10 {
        let actor = cast.clone();
        group = thread::spawn(move || {
            let task = Task::default();
            assert!(task.poll_while_woken(&mut group).is_pending());
            actor.tell(id, Act::Fail);
            actor.wake(id);
            assert_eq!(task.wakes(), 1);
            assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Err(id))));
            group
        })
        .join()
        .unwrap();
    }
    assert!(group.is_empty());
    cast.assert_all_dropped_once();
}
