//! compio, a thread per core on io_uring.
#![cfg(target_os = "linux")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use compio::io::{AsyncReadExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};
use errgroup_runtimes::{Ended, probe_io_uring, scenarios, skip};

struct Compio;

impl errgroup_runtimes::Runtime for Compio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn sleep(time: Duration) {
        compio::time::sleep(time).await;
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

fn block_on(scenario: impl Future<Output = Ended>) -> Ended {
    match probe_io_uring() {
        Ok(()) => Runtime::new().unwrap().block_on(scenario),
        Err(error) => skip("compio", error),
    }
}

mod block_on {
    use super::*;

    scenarios!(local Compio, |scenario| block_on(scenario));
}

mod spawned {
    use super::*;

    scenarios!(local Compio, |scenario| block_on(async { spawn(scenario).await.unwrap() }));
}
