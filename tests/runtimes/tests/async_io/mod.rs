//! The timers and sockets that smol has from async-io, which brings its own thread for them: the
//! companion of an executor that has none.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use errgroup_runtimes::Runtime;
use smol::Timer;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

pub(crate) struct AsyncIo;

impl Runtime for AsyncIo {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn sleep(time: Duration) {
        Timer::after(time).await;
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
        stream.write_all(&message.to_ne_bytes()).await
    }

    async fn receive(stream: &mut TcpStream) -> io::Result<u64> {
        let mut message = [0; 8];
        stream.read_exact(&mut message).await?;
        Ok(u64::from_ne_bytes(message))
    }
}
