//! A small HTTP server on loopback.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use smol::Task;
use smol::net::TcpListener;
use smol_hyper::rt::FuturesIo;

/// A server which accepts connections until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _accepting: Task<()>,
}

impl Server {
    /// Starts a server on a free port, which answers each request with a status and a body.
    ///
    /// The future that `answer` gives is dropped when the client goes away.
    pub(crate) async fn start<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = (StatusCode, Bytes)> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self { address, _accepting: smol::spawn(accept(listener, answer)) })
    }
}

async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = (StatusCode, Bytes)> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        let service = service_fn(move |request| respond(answer(request)));
        let connection = http1::Builder::new().serve_connection(FuturesIo::new(stream), service);
        smol::spawn(connection).detach();
    }
}

async fn respond(
    answer: impl Future<Output = (StatusCode, Bytes)>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = answer.await;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    Ok(response)
}
