//! Requests, parsed for a simulated API server.

use std::{collections::BTreeMap, io};

use http::Method;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

/// Why there is no answer.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A request in the server's terms.
#[derive(Debug)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, `update`, `delete`, `patch`, `unknown`; `review` for a
    /// `SelfSubjectRulesReview`.
    pub verb: &'static str,
    /// Empty for all namespaces.
    pub namespace: String,
    /// The name of the object; for a list or a watch, the name that it selects.
    pub name: String,
    /// The query string, unescaped.
    pub query: BTreeMap<String, String>,
    /// `null` if there is none.
    pub body: Value,
}

/// Parses a request for Leases.
pub async fn parse(request: http::Request<Body>) -> Asked {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let path = head.uri.path();
    let query: BTreeMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), unescaped(value)))
        .collect();
    let place = path.strip_prefix("/apis/coordination.k8s.io/v1/namespaces/").unwrap_or_default();
    let mut parts = place.split('/');
    let namespace = parts.next().unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = parts.nth(1).map(ToOwned::to_owned);
    let verb = match (&head.method, &name) {
        _ if path.ends_with("/selfsubjectrulesreviews") => "review",
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) if query.get("watch").is_some_and(|watch| watch == "true") => "watch",
        (&Method::GET, None) => "list",
        (&Method::POST, None) => "create",
        (&Method::PUT, Some(_)) => "update",
        (&Method::DELETE, Some(_)) => "delete",
        (&Method::PATCH, Some(_)) => "patch",
        _ => "unknown",
    };
    let name = name
        .or_else(|| body["metadata"]["name"].as_str().map(ToOwned::to_owned))
        .or_else(|| Some(query.get("fieldSelector")?.strip_prefix("metadata.name=")?.to_owned()))
        .unwrap_or_default();
    Asked { verb, namespace, name, query, body }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'%').then(|| {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?')
        });
        bytes.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A connection that was reset.
pub fn reset() -> Failure {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}
