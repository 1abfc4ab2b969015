//! A tower service that puts each request into its host's outbox and waits: the world carries it out, whether
//! or not anybody still waits.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{
    BodyExt as _, Either, Full,
    channel::{Channel, Sender},
};
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    api::{Answer, Request},
    post::{Letter, Post},
};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Replied = Result<Response<Either<Full<Bytes>, Channel<Bytes, Failure>>>, Failure>;
pub(crate) type Stream = Sender<Bytes, Failure>;

/// How many pieces of a body may wait to be read: a reader that is slower loses its watch.
const BACKLOG: usize = 1024;

pub(crate) fn client(post: &Post) -> Client {
    let post = post.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let post = post.clone();
        async move {
            let (reply, replied) = oneshot::channel();
            let request = parse(request).await;
            post.send(Letter::Request { request, reply });
            replied.await.unwrap_or_else(|_| Err(reset()))
        }
    });
    Client::new(service, "default")
}

async fn parse(request: http::Request<Body>) -> Request {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let query: BTreeMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), unescaped(value)))
        .collect();
    let place = head
        .uri
        .path()
        .strip_prefix("/apis/coordination.k8s.io/v1/namespaces/default/leases")
        .unwrap_or_default();
    let name = place.strip_prefix('/').map(ToOwned::to_owned);
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let verb = match (&head.method, &name) {
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) if query.get("watch").is_some_and(|watch| watch == "true") => "watch",
        (&Method::GET, None) => "list",
        (&Method::POST, None) => "create",
        (&Method::PUT, Some(_)) => "update",
        (&Method::DELETE, Some(_)) => "delete",
        _ => "unknown",
    };
    let name = name
        .or_else(|| body["metadata"]["name"].as_str().map(ToOwned::to_owned))
        .or_else(|| Some(query.get("fieldSelector")?.strip_prefix("metadata.name=")?.to_owned()))
        .unwrap_or_default();
    Request { verb, name, query, body }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'%').then(|| {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?')
        });
        bytes.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn reset() -> Failure {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

/// The answer as it arrives.
pub(crate) fn whole(answer: Answer) -> Replied {
    let mut response =
        Response::builder().status(answer.status).header("content-type", "application/json");
    if let Some(secs) = answer.retry_after {
        response = response.header("retry-after", secs.to_string());
    }
    Ok(response.body(Either::Left(Full::from(answer.body)))?)
}

/// A body that goes on.
pub(crate) fn begun() -> (Replied, Stream) {
    let (body, channel) = Channel::new(BACKLOG);
    let response =
        Response::builder().header("content-type", "application/json").body(Either::Right(channel));
    (response.map_err(Into::into), body)
}

/// False if nobody reads any more, or not fast enough.
pub(crate) fn push(body: &mut Stream, text: impl Into<Bytes>) -> bool {
    use futures::FutureExt as _;

    matches!(body.send_data(text.into()).now_or_never(), Some(Ok(())))
}
