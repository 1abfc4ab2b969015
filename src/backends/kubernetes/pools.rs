//! Which connection carries a request. HTTP/1 needs one for each request under way.
//!
//! | pool | requests | a connection closes after |
//! |---|---|---|
//! | sessions | heartbeats, and other requests about a session, up to four at once | 85 s without a request |
//! | steady | other requests, up to four at once | 85 s without a request |
//! | surplus | what finds no place in its pool | 5 to 10 s without a request |
//!
//! So a process that sends many requests at once has few connections soon after, and the requests that it sends all the
//! time find one that is open. If a server dies without a word, a heartbeat is lost on each connection that waits in its
//! pool, and a session has time for three attempts. So heartbeats have a pool of their own.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Request;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioTimer},
};
use kube::client::Body;
use tower::Service;

use super::route::Route;

/// How many requests of a pool wait for an answer before further ones are surplus, and how many connections it keeps.
const AT_ONCE: usize = 4;
/// How long a connection without a request is kept. The API server closes it after 90 s. If it were kept longer, a
/// request could meet the end of its connection.
const KEPT: Duration = Duration::from_secs(85);
/// The same, for a connection that was opened for surplus requests. It closes after at most twice this time.
const SURPLUS_KEPT: Duration = Duration::from_secs(5);

/// In the extensions of a request: it is about a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfSession;

type HttpClient = Client<HttpsConnector<Route>, Body>;
type Response = <HttpClient as Service<Request<Body>>>::Response;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Pools {
    sessions: Arc<Narrow>,
    steady: Arc<Narrow>,
    surplus: HttpClient,
}

/// A pool for a few requests at once.
struct Narrow {
    client: HttpClient,
    /// Each request that waits for an answer has a reference.
    places: Arc<()>,
}

impl Pools {
    pub(super) fn new(connector: &HttpsConnector<Route>) -> Self {
        let narrow = || {
            let client = client(connector, KEPT, AT_ONCE);
            Arc::new(Narrow { client, places: Arc::default() })
        };
        let surplus = client(connector, SURPLUS_KEPT, usize::MAX);
        Self { sessions: narrow(), steady: narrow(), surplus }
    }
}

/// A client that keeps at most so many connections without a request, each for so long.
fn client(connector: &HttpsConnector<Route>, kept: Duration, most: usize) -> HttpClient {
    let mut builder = Client::builder(TokioExecutor::new());
    // Without a timer a pool closes a connection only when it would give it to a request.
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(kept).pool_max_idle_per_host(most);
    builder.build(connector.clone())
}

impl Narrow {
    /// A place for one more request, if there is one. Requests that come at the same instant may all get the last one.
    fn place(&self) -> Option<Arc<()>> {
        (Arc::strong_count(&self.places) <= AT_ONCE).then(|| Arc::clone(&self.places))
    }
}

impl Service<Request<Body>> for Pools {
    type Response = Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let of_session = request.extensions().get::<OfSession>().is_some();
        let pool = if of_session { &self.sessions } else { &self.steady };
        let place = pool.place();
        let client = if place.is_some() { &pool.client } else { &self.surplus };
        let answer = client.request(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(place);
            answer
        })
    }
}
