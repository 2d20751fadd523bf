//! tokio, with one thread and with several.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use errgroup::Group;
use errgroup_runtimes::{Runtime, scenarios, within_time_limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::{LocalSet, spawn_local, yield_now};

struct Tokio;

impl Runtime for Tokio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    async fn send(stream: &mut TcpStream, message: u64) -> io::Result<()> {
        stream.write_u64(message).await
    }

    async fn receive(stream: &mut TcpStream) -> io::Result<u64> {
        stream.read_u64().await
    }
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

mod current_thread_block_on {
    use super::*;

    scenarios!(local Tokio, |scenario| current_thread().block_on(scenario));
}

mod current_thread_spawned {
    use super::*;

    scenarios!(Tokio, |scenario| {
        let runtime = current_thread();
        runtime.block_on(runtime.spawn(scenario)).unwrap()
    });
}

/// As in actix-rt.
mod current_thread_spawned_local {
    use super::*;

    scenarios!(local Tokio, |scenario| {
        let task = async { spawn_local(scenario).await.unwrap() };
        LocalSet::new().block_on(&current_thread(), task)
    });
}

mod multi_thread_block_on {
    use super::*;

    scenarios!(local Tokio, |scenario| multi_thread().block_on(scenario));
}

mod multi_thread_spawned {
    use super::*;

    scenarios!(Tokio, |scenario| {
        let runtime = multi_thread();
        runtime.block_on(runtime.spawn(scenario)).unwrap()
    });
}

const CHILDREN: usize = 10_000;

/// Runs children as a group and counts how often they are polled.
async fn count_polls(children: impl Iterator<Item: Future<Output = ()>>) -> usize {
    let polls = &AtomicUsize::new(0);
    let counted = children.map(|child| {
        let mut child = Box::pin(child);
        poll_fn(move |cx| {
            polls.fetch_add(1, SeqCst);
            child.as_mut().poll(cx).map(Ok::<(), ()>)
        })
    });
    assert_eq!(counted.collect::<Group<_>>().await, Ok(()));
    polls.load(SeqCst)
}

async fn take_turns_with_a_mutex() -> usize {
    let mutex = Mutex::new(0);
    let child = async |id| {
        let mut taken = mutex.lock().await;
        if id == 0 {
            yield_now().await; // meanwhile all others wait
        }
        *taken += 1;
    };
    let polls = count_polls((0..CHILDREN).map(child)).await;
    assert_eq!(mutex.into_inner(), CHILDREN);
    polls
}

/// The budget of the task runs out again and again while thousands wait: to poll them all each time
/// would be quadratic.
#[test]
fn children_that_wait_for_one_mutex_are_polled_in_turn() {
    within_time_limit("children_that_wait_for_one_mutex_are_polled_in_turn", || {
        for runtime in [current_thread(), multi_thread()] {
            let polls = [
                runtime.block_on(take_turns_with_a_mutex()),
                runtime.block_on(runtime.spawn(take_turns_with_a_mutex())).unwrap(),
            ];
            assert!(polls.iter().all(|polls| *polls < 3 * CHILDREN), "polls: {polls:?}");
        }
    });
}

/// All are ready, but the budget lets 128 go on at a time and has the rest wait: to poll them all to hear
/// that would be quadratic (futures-rs issue 2526). On the thread of `block_on` they wake themselves.
/// Inside the scheduler tokio wakes them after the poll of the group, which looks like any other wake.
async fn wait_for_budget() -> usize {
    let child = |_| {
        let (sender, receiver) = oneshot::channel();
        sender.send(()).unwrap();
        async { receiver.await.unwrap() }
    };
    count_polls((0..CHILDREN).map(child)).await
}

#[test]
fn children_that_wait_for_budget_are_not_all_polled_to_hear_it() {
    within_time_limit("children_that_wait_for_budget_are_not_all_polled_to_hear_it", || {
        for runtime in [current_thread(), multi_thread()] {
            let polls = [
                runtime.block_on(wait_for_budget()),
                runtime.block_on(runtime.spawn(wait_for_budget())).unwrap(),
            ];
            assert!(polls.iter().all(|polls| *polls < 5 * CHILDREN), "polls: {polls:?}");
        }
    });
}
