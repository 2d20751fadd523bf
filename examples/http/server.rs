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
    /// Starts a server on a free port, which answers each request.
    ///
    /// The future that `answer` gives is dropped when the client goes away.
    pub(crate) async fn start<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self { address, _accepting: smol::spawn(accept(listener, answer)) })
    }
}

/// An answer with this status and body.
pub(crate) fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async { Ok::<_, Infallible>(answer.await.map(Full::new)) }
        });
        let connection = http1::Builder::new().serve_connection(FuturesIo::new(stream), service);
        smol::spawn(connection).detach();
    }
}
