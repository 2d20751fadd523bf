//! HTTP services on loopback which count the requests that they are working on.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use smol::{Timer, future};

use crate::http::client::Target;
use crate::http::server::{Server, reply};

/// What a service does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Plan {
    /// Answers with the text after so many milliseconds.
    Answer(u64, &'static str),
    /// Answers 500 so many milliseconds after each of the three services has got its request.
    Fail(u64),
    /// Never answers.
    Hang,
}

/// Three services, which accept requests until they are dropped.
pub(crate) struct Services {
    pub(crate) targets: Vec<Target>,
    pub(crate) traffic: Arc<Traffic>,
    _servers: Vec<Server>,
}

/// How many requests the services are working on.
#[derive(Default)]
pub(crate) struct Traffic {
    in_flight: AtomicUsize,
    at_failure: AtomicUsize,
}

/// A request in flight. hyper drops it with its handler: at the end, or as the client goes away.
struct Visit<'a>(&'a Traffic);

impl Services {
    pub(crate) async fn start(plans: [(&str, Plan); 3]) -> Result<Self, Box<dyn Error>> {
        let traffic = Arc::<Traffic>::default();
        let (mut targets, mut servers) = (Vec::new(), Vec::new());
        for (name, plan) in plans {
            let traffic = traffic.clone();
            let server = Server::start(move |_| answer(plan, traffic.clone())).await?;
            targets.push(Target::new(name, &format!("http://{}/", server.address))?);
            servers.push(server);
        }
        Ok(Self { targets, traffic, _servers: servers })
    }
}

impl Traffic {
    /// How many requests were still in flight when a service had failed.
    pub(crate) fn at_failure(&self) -> usize {
        self.at_failure.load(SeqCst)
    }

    /// Waits for so many requests in flight, two seconds at most; tells how many there are.
    pub(crate) async fn reach(&self, count: usize) -> usize {
        let reached = async {
            while self.in_flight.load(SeqCst) != count {
                sleep(1).await;
            }
        };
        future::or(reached, sleep(2000)).await;
        self.in_flight.load(SeqCst)
    }

    fn enter(&self) -> Visit<'_> {
        self.in_flight.fetch_add(1, SeqCst);
        Visit(self)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

async fn answer(plan: Plan, traffic: Arc<Traffic>) -> Response<Bytes> {
    let visit = traffic.enter();
    match plan {
        Plan::Answer(millis, text) => {
            sleep(millis).await;
            reply(StatusCode::OK, text)
        }
        Plan::Fail(millis) => {
            traffic.reach(3).await;
            sleep(millis).await;
            drop(visit);
            let others = traffic.in_flight.load(SeqCst);
            traffic.at_failure.store(others, SeqCst);
            reply(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
        Plan::Hang => future::pending().await,
    }
}

async fn sleep(millis: u64) {
    Timer::after(Duration::from_millis(millis)).await;
}
