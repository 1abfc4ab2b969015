//! A client of the HTTP server of a sidecar.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

/// Time limit for an answer or an event.
const LIMIT: Duration = Duration::from_secs(30);

/// A client of one sidecar.
#[derive(Clone)]
pub(crate) struct SidecarClient {
    pub(crate) url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }
}

impl SidecarClient {
    pub(crate) fn of(url: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { url: url.to_owned(), client }
    }

    /// The address and the port.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("http")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        timeout(LIMIT, self.try_get(path)).await.expect("an answer in time").expect("an answer")
    }

    /// `None` if there is no answer.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        self.request("GET", path, None).await
    }

    /// `None` if there is no answer.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: impl IntoIterator<Item = (&str, &str)>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = self.client.request(request.body(Empty::new()).ok()?).await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, headers, text: String::from_utf8(text.into()).ok()? })
    }

    /// Repeats the request until the answer has this status.
    #[track_caller]
    pub(crate) fn until(&self, path: &'static str, status: u16) -> impl Future<Output = Answer> {
        let caller = std::panic::Location::caller();
        async move {
            for _ in 0..600 {
                match self.try_get(path).await {
                    Some(answer) if answer.status == status => return answer,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            panic!("{caller}: {path} is not {status}");
        }
    }

    /// The stream of `/events`.
    pub(crate) async fn events(&self) -> Events {
        self.listen("/events").await
    }

    /// A stream of server-sent events.
    pub(crate) async fn listen(&self, path: &str) -> Events {
        let answer = self.client.get(format!("{}{path}", self.url).parse().unwrap()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events {
            body: axum::body::Body::new(answer.into_body()).into_data_stream(),
            text: String::new(),
        }
    }
}

/// A stream of events.
pub(crate) struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    /// The next event; `None` after the server has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match event.strip_prefix("data: ") {
                    Some(data) => return Some(serde_json::from_str(data).unwrap()),
                    // A keep-alive comment.
                    None => continue,
                }
            }
            let bytes = timeout(LIMIT, self.body.next()).await.expect("an event in time")?.unwrap();
            self.text.push_str(str::from_utf8(&bytes).unwrap());
        }
    }

    /// Waits until the server closes the stream; false if it stays open.
    pub(crate) async fn ends(&mut self) -> bool {
        let end = async { while let Some(Ok(_)) = self.body.next().await {} };
        timeout(LIMIT, end).await.is_ok()
    }

    /// Whether the stream has not ended.
    pub(crate) async fn is_open(&mut self) -> bool {
        loop {
            match timeout(Duration::from_millis(10), self.body.next()).await {
                Err(_) => return true,
                Ok(Some(Ok(_))) => {}
                Ok(_) => return false,
            }
        }
    }

    /// All events up to the first one that satisfies `matches`.
    pub(crate) async fn until(&mut self, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await.expect("more events");
            seen.push(event);
            if seen.last().is_some_and(&matches) {
                return seen;
            }
        }
    }
}
