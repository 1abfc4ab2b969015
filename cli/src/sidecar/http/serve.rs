//! Accepts connections and answers their requests, within limits.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{Request, Response, header},
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::{
    connections::{Connection, Connections},
    request::{answered, normalized},
    socket::Socket,
};

/// The longest head of a request, and the most that is buffered of an answer, in bytes.
const LONGEST: usize = 16 * 1024;
/// The pause after a connection could not be accepted, for example because file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the sender of `stop` is dropped, and then until the requests in progress are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    open_files: u64,
    stop: watch::Receiver<()>,
) {
    let connections = Connections::new(open_files);
    let mut tasks = JoinSet::new();
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            accepted = listener.accept() => accepted,
        };
        while tasks.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            connections.end_one();
            sleep(PAUSE).await;
            continue;
        };
        // Send answers at once. Ignore errors: a closed socket needs no option.
        let _ = stream.set_nodelay(true);
        let connection = connections.admit();
        let number = connection.number();
        let task = tasks.spawn(answer(stream, connection, router.clone(), stop.clone()));
        connections.served_by(number, task);
        // The requests of these connections are answered before more connections take their places.
        tokio::task::yield_now().await;
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Answers the requests of one connection.
async fn answer(
    stream: TcpStream,
    connection: Connection,
    router: Router,
    mut stop: watch::Receiver<()>,
) {
    let connection = Arc::new(connection);
    let socket = TokioIo::new(Socket::new(stream, Arc::clone(&connection)));
    let router = TowerToHyperService::new(router);
    let requests = Arc::clone(&connection);
    let service = service_fn(move |request: Request<Incoming>| {
        requests.requested();
        let (request, asked) = normalized(request);
        let (answer, connection) = (router.call(request), Arc::clone(&requests));
        async move { answer.await.map(|answer| followed(answered(asked, answer), connection)) }
    });
    let mut serving =
        pin!(http1::Builder::new().max_buf_size(LONGEST).serve_connection(socket, service));
    tokio::select! {
        biased;
        _ = stop.changed() => serving.as_mut().graceful_shutdown(),
        () = until_expired(&connection, serving.as_mut()) => return,
    }
    until_expired(&connection, serving).await;
}

/// Serves until the connection ends, or a phase of it lasts too long.
async fn until_expired(connection: &Connection, mut serving: impl Future + Unpin) {
    let mut present = 0;
    let mut limit = pin!(sleep(Duration::ZERO));
    let mut limited = false;
    poll_fn(|cx| {
        if Pin::new(&mut serving).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // All phases begin while the connection is polled.
        let (step, left) = connection.limit();
        if step != present {
            present = step;
            limited = left.is_some();
            limit.set(sleep(left.unwrap_or_default()));
        }
        if limited { limit.as_mut().poll(cx) } else { Poll::Pending }
    })
    .await;
}

/// The answer with a body that reports its end.
fn followed(answer: Response<Body>, connection: Arc<Connection>) -> Response<FollowedBody> {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "text/event-stream") && !answer.body().is_end_stream() {
        connection.streams();
    }
    answer.map(|body| FollowedBody { body, connection })
}

/// The body of an answer.
struct FollowedBody {
    body: Body,
    connection: Arc<Connection>,
}

impl HttpBody for FollowedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for FollowedBody {
    fn drop(&mut self) {
        self.connection.answered();
    }
}
