//! Opens TCP connections. The addresses of one name are tried in parallel, each a little later than the one before, as
//! RFC 8305 describes.
//!
//! `HttpConnector` of `hyper-util` is not enough: it tries the addresses of one family in turn, and gives each an equal
//! share of the time to connect. One dead address then takes longer than a request may. Every attempt here is an
//! `HttpConnector` for one address, so that the socket options remain its own. Of the crates for RFC 8305 none is a
//! connector for hyper.

use std::{
    future::{Ready, ready},
    io, iter,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::Uri;
use hyper_util::client::legacy::connect::{
    HttpConnector,
    dns::{GaiResolver, Name},
};
use tokio::time::{sleep, timeout};
use tower::{BoxError, Service, ServiceExt as _};

/// The time from one attempt to the next, unless the attempt fails earlier. RFC 8305 recommends it.
const STAGGER: Duration = Duration::from_millis(250);
/// The silence after which the kernel checks a connection.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Opens connections to the host of a URL.
#[derive(Clone, Debug)]
pub(super) struct Connector<R = GaiResolver> {
    resolver: R,
    limit: Duration,
}

type Connection = <HttpConnector as Service<Uri>>::Response;

impl Connector {
    /// A connector that takes at most `limit` for a connection, after the name is resolved.
    pub(super) fn new(limit: Duration) -> Self {
        Self { resolver: GaiResolver::new(), limit }
    }
}

impl<R> Service<Uri> for Connector<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr> + Send, Error = io::Error, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = Connection;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Connection, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Self { resolver, limit } = self.clone();
        Box::pin(async move {
            // A host that is an address does not use the resolver.
            let addresses = match host(&url).parse() {
                Ok(ip) => vec![SocketAddr::new(ip, 0)],
                Err(_) => resolver.oneshot(host(&url).parse()?).await?.collect(),
            };
            let connect = |address| tcp(address).oneshot(url.clone());
            match timeout(limit, race(interleave(addresses), connect)).await {
                Ok(Some(Ok(connection))) => Ok(connection),
                Ok(Some(Err(error))) => Err(error.into()),
                Ok(None) => {
                    Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into())
                }
                Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late).into()),
            }
        })
    }
}

/// The host, without the brackets of an IPv6 address.
fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// A connector to one address. The port is that of the URL.
fn tcp(address: SocketAddr) -> HttpConnector<One> {
    let mut tcp = HttpConnector::new_with_resolver(One(address));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp
}

/// Resolves every name to one address.
#[derive(Clone, Copy, Debug)]
struct One(SocketAddr);

impl Service<Name> for One {
    type Response = iter::Once<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(iter::once(self.0)))
    }
}

/// The addresses with both families in turn, and within a family in their order. The family of the first one begins.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == begins_with_v4);
    let mut both = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return both;
        }
        both.extend(pair.0.into_iter().chain(pair.1));
    }
}

/// Tries `addresses` in order: the next one after [`STAGGER`], or at once when an attempt fails. Returns the first
/// success and gives up the others, or the first error when all have failed; `None` without addresses.
async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Option<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        attempts.extend(addresses.next().map(&connect));
        let more = addresses.len() > 0;
        tokio::select! {
            biased;
            Some(ended) = attempts.next() => match ended {
                Ok(connection) => return Some(Ok(connection)),
                Err(error) => first_error = first_error.or(Some(Err(error))),
            },
            () = sleep(STAGGER), if more => {}
            else => return first_error,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests measure how long a connection takes")]
mod tests {
    use std::sync::Mutex;

    use tokio::{
        net::{TcpListener, TcpSocket, TcpStream},
        time::Instant,
    };

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let mixed = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"];
        let turns = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"];
        assert_eq!(interleave(addresses(&mixed)), addresses(&turns));

        let v4_first = ["1.0.0.1:1", "1.0.0.2:1", "[::1]:1"];
        let turns = ["1.0.0.1:1", "[::1]:1", "1.0.0.2:1"];
        assert_eq!(interleave(addresses(&v4_first)), addresses(&turns));
        assert_eq!(interleave(Vec::new()), []);
    }

    /// Races three addresses of which each ends after its time, if it has one. Returns the result, when it came, and
    /// when each attempt began.
    async fn raced(
        ends: [(Option<u64>, Result<u8, u8>); 3],
    ) -> (Option<Result<u8, u8>>, u128, Vec<u128>) {
        let (begun, attempts) = (Instant::now(), Mutex::new(Vec::new()));
        let connect = |address: SocketAddr| {
            attempts.lock().unwrap().push(begun.elapsed().as_millis());
            let (after, end) = ends[usize::from(address.port())];
            async move {
                match after {
                    Some(millis) => sleep(Duration::from_millis(millis)).await,
                    None => std::future::pending().await,
                }
                end
            }
        };
        let result = race(addresses(&["1.0.0.1:0", "1.0.0.1:1", "1.0.0.1:2"]), connect).await;
        (result, begun.elapsed().as_millis(), attempts.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_wins_and_each_address_has_a_head_start() {
        let dead = (None, Err(0));
        let quick = (Some(10), Ok(1));

        assert_eq!(raced([quick, dead, dead]).await, (Some(Ok(1)), 10, vec![0]));
        assert_eq!(raced([dead, quick, dead]).await, (Some(Ok(1)), 260, vec![0, 250]));
        assert_eq!(raced([dead, dead, quick]).await, (Some(Ok(1)), 510, vec![0, 250, 500]));
        let slow = (Some(300), Ok(9));
        assert_eq!(raced([slow, dead, dead]).await, (Some(Ok(9)), 300, vec![0, 250]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_attempt_at_once() {
        let refused = |error| (Some(10), Err(error));

        let all = raced([refused(1), refused(2), refused(3)]).await;
        assert_eq!(all, (Some(Err(1)), 30, vec![0, 10, 20]), "the first error is reported");
        let last = raced([(None, Err(0)), refused(2), (Some(5), Ok(3))]).await;
        assert_eq!(last, (Some(Ok(3)), 265, vec![0, 250, 260]));
        let none = race::<(), (), _>(Vec::new(), |_| ready(Ok(()))).await;
        assert_eq!(none, None);
    }

    /// Resolves every name to these addresses.
    #[derive(Clone)]
    struct Fixed(Vec<SocketAddr>);

    impl Service<Name> for Fixed {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            ready(Ok(self.0.clone().into_iter()))
        }
    }

    /// An address that answers no connection: the queue of its listener is full. Keep the sockets.
    async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = timeout(STAGGER, TcpStream::connect(address)).await {
            queued.push(stream);
        }
        (address, listener, queued)
    }

    #[tokio::test]
    async fn a_dead_first_address_delays_a_connection_by_less_than_an_attempt() {
        let (dead, _listener, _queued) = black_hole().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let resolver = Fixed(vec![dead, dead, alive.local_addr().unwrap()]);
        let connector = Connector { resolver, limit: Duration::from_secs(5) };

        // An attempt of a contender with a ttl of 15 s.
        let url = Uri::from_static("https://kubernetes.invalid/");
        let connected = timeout(Duration::from_millis(1500), connector.oneshot(url)).await;

        connected.expect("in time").expect("a connection");
    }

    #[tokio::test]
    async fn without_an_address_that_answers_the_connection_ends_at_its_limit() {
        let (dead, _listener, _queued) = black_hole().await;
        let limit = Duration::from_millis(600);
        let connector = Connector { resolver: Fixed(vec![dead, dead]), limit };

        let begun = Instant::now();
        let url = Uri::from_static("https://kubernetes.invalid/");
        let error = connector.oneshot(url).await.expect_err("no connection");

        assert!(begun.elapsed() >= limit, "{error}");
        let error = error.downcast_ref::<io::Error>().expect("an error of this connector");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
