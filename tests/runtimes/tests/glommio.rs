//! glommio, a thread per core on io_uring.
#![cfg(target_os = "linux")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use errgroup_runtimes::{Ended, Runtime, probe_io_uring, scenarios, skip};
use futures::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, spawn_local, timer};

struct Glommio;

impl Runtime for Glommio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn sleep(time: Duration) {
        timer::sleep(time).await;
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?)
    }

    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        Ok(TcpStream::connect(address).await?)
    }

    async fn send(stream: &mut TcpStream, message: u64) -> io::Result<()> {
        stream.write_all(&message.to_be_bytes()).await
    }

    async fn receive(stream: &mut TcpStream) -> io::Result<u64> {
        let mut message = [0; 8];
        stream.read_exact(&mut message).await?;
        Ok(u64::from_be_bytes(message))
    }
}

fn run(scenario: impl Future<Output = Ended>) -> Ended {
    if let Err(error) = probe_io_uring() {
        return skip("glommio", error);
    }
    match LocalExecutorBuilder::default().make() {
        // It insists on 512 KiB that it may lock in memory.
        Err(error) if error.to_string().contains("MemLockLimit") => skip("glommio", error),
        executor => executor.unwrap().run(scenario),
    }
}

mod run {
    use super::*;

    scenarios!(local Glommio, |scenario| run(scenario));
}

mod spawned {
    use super::*;

    scenarios!(local Glommio, |scenario| run(async { spawn_local(scenario).await }));
}
