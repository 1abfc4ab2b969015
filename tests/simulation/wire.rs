//! The HTTP transport of the kube client: a tower service that reports each request to the world and waits for the
//! reply.
//!
//! The world handles a request even if the client no longer waits.

use bytes::Bytes;
use http::Response;
use http_body_util::{
    Either, Full,
    channel::{Channel, Sender},
};
use kube::{Client, client::Body};
use tokio::sync::oneshot;

use leasehold_test_support::wire::{Asked, parse};
pub(crate) use leasehold_test_support::wire::{Failure, reset};

use crate::{
    api::{Answer, Request},
    channel::{Message, ProcessChannel},
};

pub(crate) type Reply = Result<Response<Either<Full<Bytes>, Channel<Bytes, Failure>>>, Failure>;
pub(crate) type Stream = Sender<Bytes, Failure>;

/// How many chunks of a body may be unread. A slower reader loses its watch.
const BACKLOG: usize = 1024;

/// A client whose requests have attempts of `attempt` ms.
pub(crate) fn client(channel: &ProcessChannel, attempt: u64) -> Client {
    let channel = channel.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let channel = channel.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            let Asked { verb, name, query, body, .. } = parse(request).await;
            let request = Request { verb, name, query, body };
            let counted = !matches!(request.verb, "list" | "watch");
            let (_under_way, under_way) = counted.then(|| channel.request_begins(attempt)).unzip();
            let under_way = under_way.unwrap_or_default();
            channel.send(Message::Request { request, under_way, reply });
            answer.await.unwrap_or_else(|_| Err(reset()))
        }
    });
    Client::new(service, "default")
}

/// A complete response.
pub(crate) fn complete(answer: Answer) -> Reply {
    let mut response =
        Response::builder().status(answer.status).header("content-type", "application/json");
    if let Some(secs) = answer.retry_after {
        response = response.header("retry-after", secs.to_string());
    }
    Ok(response.body(Either::Left(Full::from(answer.body)))?)
}

/// A response whose body is streamed.
pub(crate) fn streaming() -> (Reply, Stream) {
    let (body, channel) = Channel::new(BACKLOG);
    let response =
        Response::builder().header("content-type", "application/json").body(Either::Right(channel));
    (response.map_err(Into::into), body)
}

/// Returns false if the reader is gone, or too slow.
pub(crate) fn send_chunk(body: &mut Stream, text: impl Into<Bytes>) -> bool {
    use futures::FutureExt as _;

    matches!(body.send_data(text.into()).now_or_never(), Some(Ok(())))
}
