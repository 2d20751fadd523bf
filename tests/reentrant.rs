//! A task's waker may do anything inside `wake` or as it drops: poll the group, or drop it.

mod kit;

use std::any::Any;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use errgroup::Group;
use kit::{Act, Cast, Child, Task, panic_of, waker_of};

/// An executor without a queue: whoever wakes it polls the group there and then.
struct Inline {
    group: Mutex<Option<Group<Child>>>,
    outcome: Mutex<Option<Result<(), usize>>>,
    woken: AtomicBool,
    polls: AtomicUsize,
}

impl Inline {
    fn run(group: Group<Child>) -> Arc<Self> {
        let inline = Arc::new(Inline {
            group: Mutex::new(Some(group)),
            outcome: Mutex::new(None),
            woken: AtomicBool::new(false),
            polls: AtomicUsize::new(0),
        });
        inline.clone().wake();
        inline
    }

    fn outcome(&self) -> Option<Result<(), usize>> {
        *self.outcome.lock().unwrap()
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        // Woken as it polls, it goes round again instead of down.
        let Ok(mut slot) = self.group.try_lock() else {
            return;
        };
        while self.woken.swap(false, SeqCst) {
            let Some(group) = &mut *slot else { return };
            self.polls.fetch_add(1, SeqCst);
            let poll = Pin::new(group).poll(&mut Context::from_waker(&waker_of(&self)));
            if let Poll::Ready(outcome) = poll {
                *self.outcome.lock().unwrap() = Some(outcome);
                *slot = None;
            }
        }
    }
}

/// In futures-concurrency this is a deadlock: it calls the task's waker under its lock.
#[test]
fn wake_polls_the_group_at_once() {
    let cast = Cast::new(3);
    let inline = Inline::run(cast.children().collect());
    assert_eq!(cast.polled(), [0, 1, 2]);
    for id in [1, 0, 2] {
        assert_eq!(inline.outcome(), None);
        cast.tell(id, Act::Succeed);
        cast.wake(id);
        assert_eq!(cast.drops(id), 1);
    }
    assert_eq!(inline.outcome(), Some(Ok(())));
    assert_eq!(inline.polls.load(SeqCst), 4);
}

#[test]
fn group_fails_and_dies_inside_the_wake_of_its_child() {
    for n in [1, 2, 33, 65] {
        let cast = Cast::new(n);
        let inline = Inline::run(cast.children().collect());
        cast.tell(n - 1, Act::Fail);
        cast.wake(n - 1);
        assert_eq!(inline.outcome(), Some(Err(n - 1)));
        cast.assert_all_dropped_once();
        (0..n).for_each(|id| cast.wake(id));
        cast.forget_wakers();
        assert_eq!(Arc::strong_count(&inline), 1);
    }
}

#[test]
fn children_that_wake_themselves_neither_deadlock_nor_recurse() {
    const YIELDS: usize = if cfg!(miri) { 20 } else { 1_000 };
    for n in [1, 2, 33, 65] {
        let cast = Cast::new(n);
        cast.tell_all(Act::Yield(YIELDS));
        let inline = Inline::run(cast.children().collect());
        assert_eq!(inline.outcome(), Some(Ok(())));
        assert!((0..n).all(|id| cast.polls(id) == YIELDS + 1));
    }
}

/// Hands the group, as it is woken, to another task, which polls it there and then.
#[derive(Default)]
struct Relay {
    group: Mutex<Option<Group<Child>>>,
    next: Option<Arc<Relay>>,
    wakes: AtomicUsize,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        let Some(next) = &self.next else { return };
        let Some(mut group) = self.group.lock().unwrap().take() else { return };
        poll_with(&next.clone().into(), &mut group);
        *next.group.lock().unwrap() = Some(group);
    }
}

#[test]
fn wake_polls_the_group_as_another_task_and_that_as_a_third() {
    let cast = Cast::new(3);
    let third = Arc::new(Relay::default());
    let second = Arc::new(Relay { next: Some(third.clone()), ..Relay::default() });
    let first = Arc::new(Relay { next: Some(second.clone()), ..Relay::default() });
    let mut group: Group<Child> = cast.children().collect();
    poll_with(&first.clone().into(), &mut group);
    *first.group.lock().unwrap() = Some(group);

    // Inside the wake of the first task the second one takes over, woken by a child's own wake.
    cast.tell(0, Act::Yield(1));
    cast.polled();
    cast.wake(0);
    assert_eq!(cast.polled(), [0, 0]);
    // The old task may have been woken once more, but it is the new one that counts.
    let wakes = || [&second, &third].map(|task| task.wakes.load(SeqCst));
    assert_eq!(wakes(), [0, 0]);
    cast.wake(1);
    assert_eq!(wakes(), [1, 0]);
    cast.wake(2);
    assert_eq!(wakes(), [1, 1]);

    let group = third.group.lock().unwrap().take();
    assert_eq!(group.expect("it was handed on").len(), 2);
    drop(second);
    cast.forget_wakers();
    assert_eq!(Arc::strong_count(&third), 2);
    drop(first);
    assert_eq!(Arc::strong_count(&third), 1);
}

#[test]
fn queued_children_run_inside_the_wake() {
    const CHILDREN: usize = if cfg!(miri) { 300 } else { 10_000 };
    let cast = Cast::new(CHILDREN);
    cast.tell_all(Act::Succeed);
    cast.tell(0, Act::Wait);
    let mut group = Group::unboxed().with_limit(1);
    group.extend(cast.children());
    let inline = Inline::run(group);
    assert_eq!(inline.outcome(), None);
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(inline.outcome(), Some(Ok(())));
    cast.assert_all_dropped_once();
}

/// Drops what it holds when it is woken.
#[derive(Default)]
struct Bin(Mutex<Vec<Box<dyn Any + Send>>>);

impl Wake for Bin {
    fn wake(self: Arc<Self>) {
        let held = mem::take(&mut *self.0.lock().unwrap());
        drop(held);
    }
}

fn poll_with(waker: &Waker, group: &mut Group<Child>) {
    let poll = Pin::new(group).poll(&mut Context::from_waker(waker));
    assert!(poll.is_pending());
}

#[test]
fn wake_that_drops_the_group() {
    for n in [1, 2, 33, 65] {
        let (cast, bin) = (Cast::new(n), Arc::new(Bin::default()));
        let mut group: Group<Child> = cast.children().collect();
        poll_with(&bin.clone().into(), &mut group);
        bin.0.lock().unwrap().push(Box::new(group));
        cast.wake(n - 1);
        cast.assert_all_dropped_once();
        cast.wake(0);
        cast.forget_wakers();
        assert_eq!(Arc::strong_count(&bin), 1);
    }
}

#[test]
fn wake_that_drops_the_last_wakers_and_the_group() {
    for n in [1, 2, 33, 65] {
        let (cast, bin) = (Cast::new(n), Arc::new(Bin::default()));
        let mut group: Group<Child> = cast.children().collect();
        poll_with(&bin.clone().into(), &mut group);
        let wakers: Vec<Waker> = (0..n).map(|id| cast.waker(id)).collect();
        let last = wakers[n / 2].clone();
        cast.forget_wakers();
        bin.0.lock().unwrap().push(Box::new(wakers));
        bin.0.lock().unwrap().push(Box::new(group));
        last.wake();
        cast.assert_all_dropped_once();
        assert_eq!(Arc::strong_count(&bin), 1);
    }
}

#[test]
fn wake_that_drops_the_wakers_of_a_dead_group_last() {
    let (cast, bin) = (Cast::new(5), Arc::new(Bin::default()));
    let mut group: Group<Child> = cast.children().collect();
    poll_with(&bin.clone().into(), &mut group);
    bin.0.lock().unwrap().push(Box::new(group));
    bin.0.lock().unwrap().push(Box::new(cast.waker(1)));
    let last = cast.waker(3);
    cast.forget_wakers();
    last.wake_by_ref();
    cast.assert_all_dropped_once();
    last.wake();
    assert_eq!(Arc::strong_count(&bin), 1);
}

/// Wakes a child as it drops.
#[derive(Default)]
struct Parting(Mutex<Option<Waker>>);

impl Wake for Parting {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Parting {
    fn drop(&mut self) {
        if let Some(child) = self.0.lock().unwrap().take() {
            child.wake();
        }
    }
}

/// A waker that is dropped under a lock is a deadlock here (tokio issue 5429).
#[test]
fn task_waker_that_wakes_a_child_as_it_is_replaced() {
    let (cast, parting, task) = (Cast::new(3), Arc::new(Parting::default()), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    poll_with(&parting.clone().into(), &mut group);
    *parting.0.lock().unwrap() = Some(cast.waker(1));
    drop(parting);
    cast.polled();
    assert!(task.poll_while_woken(&mut group).is_pending());
    assert_eq!(cast.polled(), [1]);
}

#[test]
fn task_waker_that_wakes_a_child_as_the_group_drops() {
    let (cast, parting) = (Cast::new(3), Arc::new(Parting::default()));
    let mut group: Group<Child> = cast.children().collect();
    poll_with(&parting.clone().into(), &mut group);
    *parting.0.lock().unwrap() = Some(cast.waker(1));
    drop(parting);
    drop(group);
    cast.assert_all_dropped_once();
    cast.forget_wakers();
    assert_eq!(cast.polls(1), 1);
}

/// Polls the group under other tasks as it is woken, one after the other.
#[derive(Default)]
struct Tour {
    group: Mutex<Option<Group<Child>>>,
    tasks: Mutex<Vec<Waker>>,
}

impl Wake for Tour {
    fn wake(self: Arc<Self>) {
        let Some(mut group) = self.group.lock().unwrap().take() else { return };
        for task in mem::take(&mut *self.tasks.lock().unwrap()) {
            poll_with(&task, &mut group);
        }
        *self.group.lock().unwrap() = Some(group);
    }
}

/// Counts its drop, and may panic then.
struct Fuse(Arc<AtomicUsize>, bool);

impl Wake for Fuse {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        assert!(!self.1, "drop of a task");
    }
}

#[test]
fn old_tasks_are_let_go_also_when_one_of_them_panics() {
    let (cast, drops, tour) =
        (Cast::new(3), Arc::new(AtomicUsize::new(0)), Arc::new(Tour::default()));
    *tour.tasks.lock().unwrap() = [false, false, true, false]
        .map(|explosive| Waker::from(Arc::new(Fuse(drops.clone(), explosive))))
        .into();
    let mut group: Group<Child> = cast.children().collect();
    poll_with(&tour.clone().into(), &mut group);
    *tour.group.lock().unwrap() = Some(group);
    cast.wake(0);
    assert_eq!(drops.load(SeqCst), 0);

    let mut group = tour.group.lock().unwrap().take().expect("it came back");
    assert_eq!(panic_of(|| Task::default().poll(&mut group)), "drop of a task");
    assert_eq!(drops.load(SeqCst), 4);
    cast.assert_all_dropped_once();
}
