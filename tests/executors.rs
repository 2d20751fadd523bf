//! The same scenarios under every executor at hand: the group asks nothing of its runtime.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use errgroup::Group;
use futures::channel::{mpsc, oneshot};
use futures::executor::{LocalPool, block_on};
use futures::{SinkExt, StreamExt};
use smol::future::yield_now;

/// Adds one to a count as it is dropped.
struct Guard<'a>(&'a AtomicUsize);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

async fn first_error_drops_the_siblings() {
    let dropped = AtomicUsize::new(0);
    let mut group = Group::new();
    for _ in 0..50 {
        let guard = Guard(&dropped);
        group.go(async move {
            let _guard = guard;
            std::future::pending().await
        });
    }
    group.go(async {
        yield_now().await;
        Err("first")
    });
    assert_eq!((&mut group).await, Err("first"));
    assert_eq!(dropped.load(SeqCst), 50);
    assert_eq!(group.await, Ok(()));
}

async fn limit_is_kept() {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut group = Group::new().with_limit(3);
    for turns in 0..20 {
        let (now, most) = (&now, &most);
        group.go(async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            for _ in 0..turns {
                yield_now().await;
            }
            now.fetch_sub(1, SeqCst);
            Ok::<(), ()>(())
        });
    }
    assert_eq!((&mut group).await, Ok(()));
    assert_eq!((most.load(SeqCst), group.finished()), (3, 20));
}

async fn children_borrow_from_the_stack() {
    let mut slots = [0; 20];
    let mut group = Group::new();
    for (id, slot) in slots.iter_mut().enumerate() {
        group.go(async move {
            yield_now().await;
            *slot = id;
            Ok::<(), ()>(())
        });
    }
    assert_eq!(group.await, Ok(()));
    assert_eq!(slots.iter().sum::<usize>(), 190);
}

async fn children_are_woken_from_another_thread() {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..40).map(|_| oneshot::channel::<usize>()).unzip();
    let mut group: Group<_> = receivers.into_iter().collect();
    let thread = thread::spawn(move || {
        let send = |(id, sender): (usize, oneshot::Sender<usize>)| sender.send(id);
        senders.into_iter().enumerate().rev().try_for_each(send)
    });
    let mut sum = 0;
    while let Some(value) = group.next().await {
        sum += value.unwrap();
    }
    assert_eq!((sum, group.finished()), (780, 40));
    assert_eq!(thread.join().unwrap(), Ok(()));
}

async fn sender_that_dies_fails_the_group() {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel::<()>()).unzip();
    let group: Group<_> = receivers.into_iter().collect();
    let thread = thread::spawn(move || {
        let mut senders = senders;
        drop(senders.remove(2));
        senders
    });
    assert_eq!(group.await, Err(oneshot::Canceled));
    let senders = thread.join().unwrap();
    assert!(senders.iter().all(oneshot::Sender::is_canceled));
}

async fn children_feed_each_other() {
    let (mut sender, mut receiver) = mpsc::channel(1);
    let total = AtomicUsize::new(0);
    let mut group = Group::new();
    group.go(async move {
        for value in 0..100 {
            sender.send(value).await?;
        }
        Ok::<(), mpsc::SendError>(())
    });
    group.go(async {
        while let Some(value) = receiver.next().await {
            total.fetch_add(value, SeqCst);
        }
        Ok(())
    });
    assert!(group.await.is_ok());
    assert_eq!(total.load(SeqCst), 4_950);
}

/// The number of scenarios that came to their end.
async fn scenarios() -> usize {
    first_error_drops_the_siblings().await;
    limit_is_kept().await;
    children_borrow_from_the_stack().await;
    children_are_woken_from_another_thread().await;
    sender_that_dies_fails_the_group().await;
    children_feed_each_other().await;
    6
}

async fn local_scenario() -> usize {
    let count = Rc::new(Cell::new(0));
    let mut group = Group::new_local();
    for _ in 0..10 {
        let count = count.clone();
        group.go(async move {
            yield_now().await;
            count.set(count.get() + 1);
            Ok::<(), ()>(())
        });
    }
    assert_eq!(group.await, Ok(()));
    count.get()
}

#[test]
fn futures_block_on() {
    assert_eq!(block_on(scenarios()), 6);
    assert_eq!(block_on(local_scenario()), 10);
}

#[test]
fn futures_local_pool() {
    let mut pool = LocalPool::new();
    assert_eq!(pool.run_until(scenarios()), 6);
    assert_eq!(pool.run_until(local_scenario()), 10);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no timerfd, which smol's reactor needs")]
fn smol_block_on() {
    assert_eq!(smol::block_on(scenarios()), 6);
    assert_eq!(smol::block_on(local_scenario()), 10);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no timerfd, which smol's reactor needs")]
fn smol_local_executor() {
    let executor = smol::LocalExecutor::new();
    let (all, local) = (executor.spawn(scenarios()), executor.spawn(local_scenario()));
    assert_eq!(smol::block_on(executor.run(all)), 6);
    assert_eq!(smol::block_on(executor.run(local)), 10);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no timerfd, which smol's reactor needs")]
fn smol_spawn() {
    let tasks: Vec<_> = (0..4).map(|_| smol::spawn(scenarios())).collect();
    let ends = tasks.into_iter().map(smol::block_on);
    assert_eq!(ends.sum::<usize>(), 4 * 6);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no timerfd, which smol's reactor needs")]
fn async_std_block_on() {
    assert_eq!(async_std::task::block_on(scenarios()), 6);
    assert_eq!(async_std::task::block_on(local_scenario()), 10);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no timerfd, which smol's reactor needs")]
fn async_std_spawn() {
    let tasks: Vec<_> = (0..4).map(|_| async_std::task::spawn(scenarios())).collect();
    let ends = tasks.into_iter().map(async_std::task::block_on);
    assert_eq!(ends.sum::<usize>(), 4 * 6);
}

#[test]
fn tokio_block_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(scenarios()), 6);
    assert_eq!(runtime.block_on(local_scenario()), 10);
}

#[test]
fn tokio_spawn() {
    const TASKS: usize = if cfg!(miri) { 2 } else { 4 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(scenarios())).collect();
    let ends = tasks.into_iter().map(|task| runtime.block_on(task).unwrap());
    assert_eq!(ends.sum::<usize>(), TASKS * 6);
}

/// Once a task has used up its budget, tokio's types have every child wake itself and wait: polling
/// all children to hear this, at every poll, would be quadratic (futures-rs issue 2526).
#[test]
fn tokio_budget_leaves_the_work_linear() {
    const CHILDREN: usize = if cfg!(miri) { 500 } else { 10_000 };
    let (mutex, polls) = (tokio::sync::Mutex::new(0), Cell::new(0));
    let lock = || {
        let mut lock = Box::pin(async {
            *mutex.lock().await += 1;
            Ok::<(), ()>(())
        });
        poll_fn({
            let polls = &polls;
            move |cx| {
                polls.set(polls.get() + 1);
                lock.as_mut().poll(cx)
            }
        })
    };
    let group: Group<_> = (0..CHILDREN).map(|_| lock()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(group), Ok(()));
    assert!((CHILDREN..2 * CHILDREN).contains(&polls.get()), "{} polls", polls.get());
    assert_eq!(mutex.into_inner(), CHILDREN);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no timerfd, which smol's reactor needs")]
fn group_itself_is_spawned() {
    let mut group = Group::new();
    group.go(async { Err::<(), _>("failed") });
    assert_eq!(smol::block_on(smol::spawn(group)), Err("failed"));

    let mut group = Group::new();
    group.go(async { Ok::<(), ()>(()) });
    let task = async_std::task::spawn(group);
    assert_eq!(async_std::task::block_on(task), Ok(()));
}
