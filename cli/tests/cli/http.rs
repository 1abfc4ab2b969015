//! Asking a sidecar.

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

/// How long an answer may take, and an event.
const LIMIT: Duration = Duration::from_secs(30);

/// A client of one sidecar.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What it answered.
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

impl Asker {
    pub(crate) fn of(url: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { url: url.to_owned(), client }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        timeout(LIMIT, self.try_get(path)).await.expect("an answer in time").expect("an answer")
    }

    /// Nothing, if nobody answers.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        self.ask("GET", path, None).await
    }

    /// Nothing, if nobody answers.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = self.client.request(request.body(Empty::new()).ok()?).await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, headers, text: String::from_utf8(text.into()).ok()? })
    }

    /// Asks until the answer to `path` has this status.
    #[track_caller]
    pub(crate) fn until(&self, path: &'static str, status: u16) -> impl Future<Output = Answer> {
        let asked = std::panic::Location::caller();
        async move {
            for _ in 0..600 {
                match self.try_get(path).await {
                    Some(answer) if answer.status == status => return answer,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            panic!("{asked}: {path} is not {status}");
        }
    }

    /// Listens to its events.
    pub(crate) async fn events(&self) -> Events {
        self.listen("/events").await
    }

    /// Listens to what comes from `path`.
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

/// Events as they come.
pub(crate) struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    /// The next; none once the server has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match event.strip_prefix("data: ") {
                    Some(data) => return Some(serde_json::from_str(data).unwrap()),
                    // A comment, to keep the connection alive.
                    None => continue,
                }
            }
            let bytes = timeout(LIMIT, self.body.next()).await.expect("an event in time")?.unwrap();
            self.text.push_str(str::from_utf8(&bytes).unwrap());
        }
    }

    /// All up to the first for which `so` holds.
    pub(crate) async fn until(&mut self, so: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await.expect("more events");
            seen.push(event);
            if seen.last().is_some_and(&so) {
                return seen;
            }
        }
    }
}
