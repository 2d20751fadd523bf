//! monoio, a thread per core on io_uring, or on epoll.
#![cfg(target_os = "linux")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use errgroup_runtimes::{Ended, Runtime, probe_io_uring, scenarios, skip};
use monoio::io::{AsyncReadRentExt, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

struct Monoio;

impl Runtime for Monoio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn sleep(time: Duration) {
        monoio::time::sleep(time).await;
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_addr(address).await
    }

    async fn send(stream: &mut TcpStream, message: u64) -> io::Result<()> {
        stream.write_all(message.to_be_bytes().to_vec()).await.0?;
        Ok(())
    }

    async fn receive(stream: &mut TcpStream) -> io::Result<u64> {
        stream.read_u64().await
    }
}

fn block_on(scenario: impl Future<Output = Ended>) -> Ended {
    if let Err(error) = probe_io_uring() {
        return skip("monoio on io_uring", error);
    }
    RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().unwrap().block_on(scenario)
}

mod block_on {
    use super::*;

    scenarios!(local Monoio, |scenario| block_on(scenario));
}

mod spawned {
    use super::*;

    scenarios!(local Monoio, |scenario| block_on(async { monoio::spawn(scenario).await }));
}

mod block_on_epoll {
    use super::*;

    scenarios!(local Monoio, |scenario| {
        RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().unwrap().block_on(scenario)
    });
}
