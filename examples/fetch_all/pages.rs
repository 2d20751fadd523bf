//! A server on loopback with pages to fetch, of different sizes, some slower than others.

use std::time::Duration;
use std::{future, io};

use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use smol::Timer;

use crate::http::server::{Server, reply};

const PAGES: u64 = 300;

/// Starts the server; the URLs are those of its pages.
pub(crate) async fn serve() -> io::Result<(Server, Vec<String>)> {
    let server = Server::start(answer).await?;
    let urls = (0..PAGES).map(|page| format!("http://{}/{page}", server.address)).collect();
    Ok((server, urls))
}

/// Next to the pages there is `/silent`, which never answers. Nothing else is found.
async fn answer(request: Request<Incoming>) -> Response<Bytes> {
    let name = request.uri().path().trim_start_matches('/');
    if name == "silent" {
        return future::pending().await;
    }
    match name.parse::<u64>() {
        Ok(page) if page < PAGES => {
            Timer::after(Duration::from_millis(page * 37 % 100)).await;
            let size = 1000 + page * 7919 % 50_000;
            reply(StatusCode::OK, vec![b'.'; size as usize])
        }
        _ => reply(StatusCode::NOT_FOUND, ""),
    }
}
