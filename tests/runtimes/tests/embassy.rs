//! embassy-executor on a thread, with the timers of embassy-time and the sockets of async-io.
//!
//! By default embassy-time keeps its timers in the tasks, and panics at a waker that is not a task's, as
//! in a group. Its features `generic-queue-*` lift that.

mod async_io;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use async_io::AsyncIo;
use embassy_executor::Executor;
use embassy_executor::raw::TaskStorage;
use embassy_time::Timer;
use errgroup_runtimes::{Runtime, scenarios};

struct Embassy;

impl Runtime for Embassy {
    type Listener = <AsyncIo as Runtime>::Listener;
    type Stream = <AsyncIo as Runtime>::Stream;

    async fn sleep(time: Duration) {
        Timer::after_micros(time.as_micros() as u64).await;
    }

    async fn listen() -> io::Result<(Self::Listener, SocketAddr)> {
        AsyncIo::listen().await
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        AsyncIo::accept(listener).await
    }

    async fn connect(address: SocketAddr) -> io::Result<Self::Stream> {
        AsyncIo::connect(address).await
    }

    async fn send(stream: &mut Self::Stream, message: u64) -> io::Result<()> {
        AsyncIo::send(stream, message).await
    }

    async fn receive(stream: &mut Self::Stream) -> io::Result<u64> {
        AsyncIo::receive(stream).await
    }
}

/// Runs a future as a task. An executor and its tasks live for ever, hence the leaks.
fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let output = Rc::new(Cell::new(None));
    let task = {
        let output = output.clone();
        async move { output.set(Some(future.await)) }
    };
    let token = Box::leak(Box::new(TaskStorage::new())).spawn(|| task).unwrap();
    let executor = Box::leak(Box::new(Executor::new()));
    // The task's end drops its clone.
    executor.run_until(|spawner| spawner.spawn(token), || Rc::strong_count(&output) == 1);
    output.take().unwrap()
}

mod spawned {
    use super::*;

    scenarios!(local Embassy, |scenario| run(scenario));
}
