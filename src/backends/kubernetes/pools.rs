//! Which connection carries a request. HTTP/1 needs one for each request under way.
//!
//! | pool | requests | a connection closes after |
//! |---|---|---|
//! | sessions | heartbeats, and other requests about a session; two connections are kept | 85 s without a request |
//! | steady | other requests, up to four at once | 85 s without a request |
//! | surplus | what finds no place in its pool | 5 to 10 s without a request |
//!
//! So a process that sends many requests at once has few connections soon after, and the requests that it sends all the
//! time find one that is open. If a server vanishes without a reset, a heartbeat is lost on each connection that waits
//! in its pool, and a session has time for three attempts. So heartbeats have a pool of their own, which keeps two
//! connections. A heartbeat is never surplus, because the attempts before it may still wait for answers that never come.

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

/// How many steady requests wait for an answer before further ones are surplus, and how many connections are kept for them.
const STEADY: usize = 4;
/// How many connections are kept for requests about sessions.
const HEARTBEATS: usize = 2;
/// How long a connection without a request is kept. The API server closes it after 90 s. If it were kept longer, a
/// request could meet the end of its connection.
const KEPT: Duration = Duration::from_secs(85);
/// The same, for a connection that was opened for surplus requests. It closes after at most twice this time.
const SURPLUS_KEPT: Duration = Duration::from_secs(5);

/// In the extensions of a request: it is about a session. Also reads, because one follows a heartbeat without an answer.
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
    at_once: usize,
    /// Each request that waits for an answer has a reference.
    places: Arc<()>,
}

impl Pools {
    pub(super) fn new(connector: &HttpsConnector<Route>) -> Self {
        let narrow = |at_once, kept| {
            let client = client(connector, KEPT, kept);
            Arc::new(Narrow { client, at_once, places: Arc::default() })
        };
        let surplus = client(connector, SURPLUS_KEPT, usize::MAX);
        Self { sessions: narrow(usize::MAX, HEARTBEATS), steady: narrow(STEADY, STEADY), surplus }
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
        (Arc::strong_count(&self.places) <= self.at_once).then(|| Arc::clone(&self.places))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http_body_util::BodyExt as _;
    use kube::Config;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::{
        super::{connector::Connector, tls},
        *,
    };

    /// Answers each request with the number of its connection. No request here has a body.
    async fn answer(mut connection: TcpStream, number: usize) {
        let mut bytes = [0; 1024];
        while connection.read(&mut bytes).await.is_ok_and(|read| read > 0) {
            let text = number.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
            connection.write_all((head + &text).as_bytes()).await.unwrap();
        }
    }

    async fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for number in 0.. {
                tokio::spawn(answer(listener.accept().await.unwrap().0, number));
            }
        });
        url
    }

    #[tokio::test]
    async fn requests_about_sessions_share_no_connection_with_others() {
        let url = server().await;
        let mut config = Config::new(url.parse().unwrap());
        config.root_cert = Some(Vec::new());
        let route = Route::Direct(Connector::new(KEPT));
        let mut pools = Pools::new(&tls::connector(&config, route).unwrap());
        let mut connections = [BTreeSet::new(), BTreeSet::new()];

        for number in 0..20 {
            let mut request = Request::get(&url).body(Body::empty()).unwrap();
            if number % 2 == 1 {
                request.extensions_mut().insert(OfSession);
            }
            let answer = pools.call(request).await.unwrap();
            let connection = answer.into_body().collect().await.unwrap().to_bytes();
            connections[number % 2].insert(connection);
        }

        assert!(connections[0].is_disjoint(&connections[1]), "{connections:?}");
    }
}
