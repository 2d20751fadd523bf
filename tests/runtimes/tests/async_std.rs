//! async-std.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_std::io::{ReadExt, WriteExt};
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use errgroup_runtimes::{Runtime, scenarios};

struct AsyncStd;

impl Runtime for AsyncStd {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn sleep(time: Duration) {
        task::sleep(time).await;
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
        stream.write_all(&message.to_be_bytes()).await
    }

    async fn receive(stream: &mut TcpStream) -> io::Result<u64> {
        let mut message = [0; 8];
        stream.read_exact(&mut message).await?;
        Ok(u64::from_be_bytes(message))
    }
}

mod block_on {
    use super::*;

    scenarios!(local AsyncStd, |scenario| task::block_on(scenario));
}

mod spawned {
    use super::*;

    scenarios!(AsyncStd, |scenario| task::block_on(task::spawn(scenario)));
}
