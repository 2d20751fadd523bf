//! What the group promises to wakers on other threads, in all interleavings with a few preemptions.
//!
//! `RUSTFLAGS='--cfg errgroup_loom' cargo test --release --test loom`. Pages are tiny there, so that
//! three children fill two of them.

#![cfg(errgroup_loom)]

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc as StdArc, atomic::AtomicUsize as CoreUsize},
    task::{Context, Poll, Wake, Waker},
};

use errgroup::{Group, Handle};
use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Waits for its flag, and leaves its waker to whoever sets it.
struct Child {
    flag: Arc<AtomicBool>,
    waker: Rc<RefCell<Option<Waker>>>,
}

/// Sets a child's flag and wakes it.
struct End {
    flag: Arc<AtomicBool>,
    waker: Waker,
}

/// A task that only counts.
struct Counter(AtomicUsize);

impl Future for Child {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.flag.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl End {
    fn wake(self) {
        // Relaxed on both sides: it is the wake that hands the flag to the child's poll.
        self.flag.store(true, Ordering::Relaxed);
        self.waker.wake();
    }
}

impl Wake for Counter {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter() -> StdArc<Counter> {
    StdArc::new(Counter(AtomicUsize::new(0)))
}

/// A group of children that wait, polled once by `task`, and the ends of the children.
fn waiting(children: usize, task: &Waker) -> (Group<Child>, Vec<End>) {
    let mut group = Group::unboxed();
    let mut ends = Vec::new();
    let mut left = Vec::new();
    for _ in 0..children {
        let flag = Arc::new(AtomicBool::new(false));
        let waker = Rc::default();
        left.push((flag.clone(), Rc::clone(&waker)));
        group.push(Child { flag, waker });
    }
    assert!(poll(&mut group, task).is_pending());
    for (flag, waker) in left {
        let waker = waker.take().expect("polled");
        ends.push(End { flag, waker });
    }
    (group, ends)
}

fn poll(group: &mut Group<Child>, task: &Waker) -> Poll<Result<(), ()>> {
    Pin::new(group).poll(&mut Context::from_waker(task))
}

fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(test);
}

/// The children that wake are the last ones: the first page has one slot.
fn wakes_reach_a_task_that_took_over(children: usize, threads: usize, preemptions: usize) {
    model(preemptions, move || {
        let (mut group, mut ends) = waiting(children, Waker::noop());
        let mut joins = Vec::new();
        for _ in 0..threads {
            let end = ends.pop().expect("there are more children than threads");
            joins.push(thread::spawn(move || end.wake()));
        }
        ends.into_iter().for_each(End::wake);
        // The task is another one than that of the first poll: it takes over while wakes come.
        assert_eq!(block_on(&mut group), Ok(()));
        joins.into_iter().for_each(|join| join.join().unwrap());
    });
}

#[test]
fn wake_in_the_first_page_while_the_task_changes() {
    wakes_reach_a_task_that_took_over(1, 1, 5);
}

#[test]
fn lead_while_the_task_changes() {
    wakes_reach_a_task_that_took_over(2, 1, 4);
}

#[test]
fn wakes_in_two_pages_while_the_task_changes() {
    wakes_reach_a_task_that_took_over(2, 2, 2);
}

#[test]
fn wakes_in_one_page_of_the_stack_while_the_task_changes() {
    wakes_reach_a_task_that_took_over(3, 2, 2);
}

#[test]
fn wakes_in_two_pages_of_the_stack_while_the_task_changes() {
    wakes_reach_a_task_that_took_over(4, 2, 2);
}

#[test]
fn batch_of_wakes_is_one_wake_of_the_task() {
    model(3, || {
        let task = counter();
        let (mut group, ends) = waiting(3, &task.clone().into());
        let joins: Vec<_> =
            ends.into_iter().skip(1).map(|end| thread::spawn(|| end.wake())).collect();
        joins.into_iter().for_each(|join| join.join().unwrap());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut group, &task.clone().into()).is_pending());
        assert_eq!(group.finished(), 2);
    });
}

#[test]
fn wake_while_the_group_is_dropped_and_the_task_is_released() {
    model(3, || {
        let task = counter();
        let (group, ends) = waiting(3, &task.clone().into());
        let joins: Vec<_> =
            ends.into_iter().skip(1).map(|end| thread::spawn(|| end.wake())).collect();
        drop(group);
        joins.into_iter().for_each(|join| join.join().unwrap());
        assert_eq!(StdArc::strong_count(&task), 1, "a waker of the task is kept");
    });
}

#[test]
fn wakes_by_two_clones_while_the_group_is_dropped() {
    model(3, || {
        let task = counter();
        let (group, mut ends) = waiting(2, &task.clone().into());
        let waker = ends.pop().expect("the second child").waker;
        let clone = waker.clone();
        let other = thread::spawn(move || clone.wake_by_ref());
        drop(group);
        waker.wake();
        other.join().unwrap();
        assert_eq!(StdArc::strong_count(&task), 1);
    });
}

/// A child that comes by a handle, and says where it was polled or dropped.
struct Added {
    counts: StdArc<Counts>,
    outcome: Poll<Result<(), ()>>,
}

/// The counts are core's, and no part of the models.
#[derive(Default)]
struct Counts {
    polled: CoreUsize,
    dropped: CoreUsize,
}

impl Future for Added {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.counts.polled.fetch_add(1, Ordering::Relaxed);
        self.outcome
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A group with one child, and children for its handle.
fn with_handle(
    first: Poll<Result<(), ()>>,
) -> (Group<Added>, Handle<Added>, impl Fn() -> Added + Clone, StdArc<Counts>) {
    let counts = StdArc::<Counts>::default();
    let child = {
        let counts = counts.clone();
        move || Added { counts: counts.clone(), outcome: Poll::Ready(Ok(())) }
    };
    let mut group = Group::unboxed();
    let handle = group.handle();
    let mut only = child();
    only.outcome = first;
    group.push(only);
    (group, handle, child, counts)
}

#[test]
fn add_wakes_a_group_that_waits_for_outputs() {
    model(3, || {
        let (mut group, handle, child, counts) = with_handle(Poll::Pending);
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                assert!(handle.push(child()).is_ok());
            }
        });
        // Without a wake that is due, loom sees a deadlock.
        for _ in 0..2 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        thread.join().unwrap();
        assert_eq!(group.len(), 1);
        drop(group);
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 3);
    });
}

/// As above, with fewer preemptions: the stack's own models have two who add and three of them.
#[test]
fn adds_by_two_threads_wake_a_group_that_waits_for_outputs() {
    model(1, || {
        let (mut group, handle, child, _) = with_handle(Poll::Pending);
        let (other, its) = (handle.clone(), child.clone());
        let one = thread::spawn(move || assert!(other.push(its()).is_ok()));
        let two = thread::spawn(move || assert!(handle.push(child()).is_ok()));
        for _ in 0..2 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn add_while_the_task_changes_wakes_the_one_in_force() {
    model(3, || {
        let (mut group, handle, child, _) = with_handle(Poll::Pending);
        let old = counter();
        assert!(Pin::new(&mut group).poll(&mut Context::from_waker(&old.into())).is_pending());
        let thread = thread::spawn(move || assert!(handle.push(child()).is_ok()));
        assert_eq!(block_on(group.next()), Some(Ok(())));
        thread.join().unwrap();
    });
}

#[test]
fn add_while_the_group_is_changed_between_two_polls_wakes_it() {
    model(3, || {
        let task = counter();
        let (mut group, handle, child, _) = with_handle(Poll::Pending);
        let waker = task.clone().into();
        assert!(Pin::new(&mut group).poll(&mut Context::from_waker(&waker)).is_pending());
        let other = handle.clone();
        let its = child.clone();
        let thread = thread::spawn(move || assert!(other.push(its()).is_ok()));
        group.push(child());
        thread.join().unwrap();
        assert!(handle.push(child()).is_ok());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert_eq!(group.len(), 4);
    });
}

#[test]
fn adds_that_race_the_end_of_the_last_child_run_or_come_back() {
    model(3, || {
        let (mut group, handle, child, counts) = with_handle(Poll::Ready(Ok(())));
        let (other, its) = (handle.clone(), child.clone());
        let one = thread::spawn(move || (0..2).filter(|_| other.push(its()).is_ok()).count());
        let two = thread::spawn(move || usize::from(handle.push(child()).is_ok()));
        assert_eq!(block_on(&mut group), Ok(()));
        let polled = counts.polled.load(Ordering::Relaxed);
        let accepted = one.join().unwrap() + two.join().unwrap();
        assert_eq!(polled, 1 + accepted);
        assert_eq!(group.finished(), polled);
        drop(group);
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn adds_and_handles_that_race_the_drop_of_the_group_leave_nothing_behind() {
    model(3, || {
        let task = counter();
        let (mut group, handle, child, counts) = with_handle(Poll::Pending);
        let waker = task.clone().into();
        assert!(Pin::new(&mut group).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        let (other, its) = (handle.clone(), child.clone());
        let one = thread::spawn(move || drop(other.push(its())));
        let two = thread::spawn(move || drop(handle.push(child())));
        drop(group);
        one.join().unwrap();
        two.join().unwrap();
        assert_eq!(counts.polled.load(Ordering::Relaxed), 1);
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(StdArc::strong_count(&task), 1, "a waker of the task is kept");
    });
}

/// A task as an executor may have it that does no write when it finds the task notified already.
struct Notified(AtomicBool);

impl Wake for Notified {
    fn wake(self: StdArc<Self>) {
        if !self.0.load(Ordering::Acquire) {
            self.0.swap(true, Ordering::AcqRel);
        }
    }
}

/// What is added on the group's own thread is counted apart, and what has ended is taken off the other count.
#[test]
fn group_without_a_limit_has_room_while_children_come_and_go_on_its_thread() {
    /// Adds two by its handle, and stays.
    enum Near {
        Adds(Handle<Near>),
        Done,
    }

    impl Future for Near {
        type Output = Result<(), ()>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            let Self::Adds(handle) = &*self else { return Poll::Ready(Ok(())) };
            for _ in 0..2 {
                assert!(handle.push(Self::Done).is_ok());
            }
            Poll::Pending
        }
    }

    model(2, || {
        let mut group = Group::unboxed();
        let handle = group.handle();
        group.push(Near::Adds(handle.clone()));
        let thread = thread::spawn(move || assert!(handle.try_push(Near::Done).is_ok()));
        let waker = counter().into();
        assert!(Pin::new(&mut group).poll(&mut Context::from_waker(&waker)).is_pending());
        thread.join().unwrap();
    });
}

#[test]
fn wake_that_finds_its_task_notified_is_seen_by_the_poll_to_come() {
    model(4, || {
        let task = StdArc::new(Notified(AtomicBool::new(false)));
        let waker = task.clone().into();
        let (mut group, mut ends) = waiting(1, &waker);
        // Something else in the task has woken it.
        waker.wake_by_ref();
        let end = ends.pop().expect("the child");
        let child = thread::spawn(move || end.wake());
        let mut outcome = Poll::Pending;
        while outcome.is_pending() && task.0.swap(false, Ordering::AcqRel) {
            outcome = poll(&mut group, &waker);
        }
        child.join().unwrap();
        if outcome.is_pending() {
            assert!(task.0.load(Ordering::Acquire), "the wake was lost");
            assert!(poll(&mut group, &waker).is_ready());
        }
    });
}

#[test]
fn old_task_is_let_go_while_it_is_notified() {
    model(4, || {
        let (old, new) = (counter(), counter());
        let (mut group, mut ends) = waiting(1, &old.clone().into());
        let end = ends.pop().expect("the child");
        let waker = end.waker.clone();
        let notifier = thread::spawn(move || waker.wake());
        // A poll that finds the notifier inside the old waker keeps both.
        let _ = poll(&mut group, &new.clone().into());
        notifier.join().unwrap();
        assert!(poll(&mut group, &new.clone().into()).is_pending());
        end.wake();
        assert!(new.0.load(Ordering::Relaxed) > 0, "the wake went to the old task");
        assert_eq!(poll(&mut group, &new.clone().into()), Poll::Ready(Ok(())));
        drop(group);
        assert_eq!(StdArc::strong_count(&old), 1);
        assert_eq!(StdArc::strong_count(&new), 1);
    });
}
