//! A small HTTP client: one request on one connection, both inside the future that asks.

use std::{error, fmt};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, Uri, header};
use smol::future;
use smol::net::TcpStream;
use smol_hyper::rt::FuturesIo;

/// A valid `http://` URL, and what to call it.
pub(crate) struct Target {
    pub(crate) name: String,
    uri: Uri,
    address: String,
}

/// What a server answered, with success.
pub(crate) type Page = Response<Bytes>;

/// Which target failed, and why.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) name: String,
    pub(crate) cause: Cause,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The server has answered, but not with success.
    Status(StatusCode),
    /// The server has answered that the page is elsewhere.
    Redirect(StatusCode, String),
    Other(Box<dyn error::Error + Send + Sync>),
}

impl Target {
    pub(crate) fn new(name: &str, url: &str) -> Result<Self, Error> {
        let (uri, address) = parse(url).map_err(|cause| Error::refused(name, cause))?;
        let name = name.to_owned();
        Ok(Self { name, uri, address })
    }

    /// Gets the page.
    ///
    /// To drop this future is to drop the connection, which closes the socket.
    pub(crate) async fn get(&self) -> Result<Page, Error> {
        self.exchange().await.map_err(|cause| Error { name: self.name.clone(), cause })
    }

    async fn exchange(&self) -> Result<Page, Cause> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = http1::handshake(FuturesIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(self.request()?).await?;
            let status = response.status();
            if !status.is_success() {
                let location = response.headers().get(header::LOCATION);
                return Err(match location.map(|location| location.to_str()) {
                    Some(Ok(url)) if status.is_redirection() => Cause::Redirect(status, url.into()),
                    _ => Cause::Status(status),
                });
            }
            let (head, body) = response.into_parts();
            Ok(Page::from_parts(head, body.collect().await?.to_bytes()))
        };
        // The answer learns of all that goes wrong on the connection, so it alone ends the race.
        let drive = async {
            _ = connection.await;
            future::pending().await
        };
        future::or(answer, drive).await
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, Cause> {
        let host = self.uri.authority().map_or("", |host| host.as_str());
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path).header(header::HOST, host);
        Ok(request.body(Empty::new())?)
    }
}

impl Error {
    /// The error of a URL that is not even asked for. What may be a password in it is not told.
    pub(crate) fn refused(url: &str, cause: Cause) -> Self {
        let name = match url.rsplit_once('@') {
            Some((_, rest)) => format!("...@{rest}"),
            None => url.into(),
        };
        Self { name, cause }
    }
}

/// Checks what those who write a URL by hand get wrong, before it is parsed.
pub(crate) fn check(url: &str) -> Result<(), Cause> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("https") {
        Err("https:// is not supported, only http://".into())
    } else if !scheme.eq_ignore_ascii_case("http") {
        Err("bad URL: it does not start with http://".into())
    } else if authority.contains('@') {
        Err("bad URL: a user or password in it is not supported".into())
    } else {
        Ok(())
    }
}

/// The parts of a URL, and the `host:port` to connect to.
fn parse(url: &str) -> Result<(Uri, String), Cause> {
    check(url)?;
    let uri = url.parse::<Uri>().map_err(|e| format!("bad URL: {e}"))?;
    let host = uri.host().unwrap_or_default();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let port = match authority.strip_prefix(host) {
        _ if host.is_empty() => None,
        Some("" | ":") => Some(80),
        Some(rest) => rest.trim_start_matches(':').parse::<u16>().ok(),
        None => None,
    };
    let port = port.ok_or("bad URL: it names no plain host or host:port")?;
    let address = format!("{host}:{port}");
    Ok((uri, address))
}

impl error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.cause)
    }
}

impl<E: Into<Box<dyn error::Error + Send + Sync>>> From<E> for Cause {
    fn from(cause: E) -> Self {
        Self::Other(cause.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "HTTP {status}"),
            Self::Redirect(status, url) => {
                write!(f, "HTTP {status} (redirects are not followed: {url})")
            }
            Self::Other(cause) => match cause.source() {
                Some(source) => write!(f, "{cause}: {source}"),
                None => cause.fmt(f),
            },
        }
    }
}
