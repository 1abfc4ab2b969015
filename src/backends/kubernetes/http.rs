//! Requests for Leases: each one attempt. Whoever asks has the timeouts.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body, core::WatchEvent};
use serde_json::Value;

use super::{
    BACKEND,
    codec::{self, ELECTION, KIND},
    error::{RequestContext, RequestFailure},
};
use crate::{
    api::{
        error::{Error, Result},
        name::{LeaseName, Namespace},
    },
    store::{Entry, Scope},
};

/// The resource, in the server's terms.
pub(super) const LEASES: &str = "leases.coordination.k8s.io";
/// Where the server has them.
const GROUP: &str = "/apis/coordination.k8s.io/v1";
/// How many objects one page of a list has.
const PAGE: usize = 500;

/// A change that a watch tells of.
pub(super) type LeaseEvent = WatchEvent<Value>;

/// The client, and nothing but requests.
#[derive(Clone)]
pub(super) struct Http(pub(super) Client);

impl Http {
    /// Sends one request and reads its whole answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        context: &RequestContext<'_>,
    ) -> Result<Value, RequestFailure> {
        let lost = |error| RequestFailure::Other(error);
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(Body::from(body))
            .map_err(|error| lost(codec::malformed(error)))?;
        let answer =
            self.0.send(request).await.map_err(|error| lost(Error::unavailable(BACKEND, error)))?;
        let (head, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| lost(Error::unavailable(BACKEND, error)))?
            .to_bytes();
        if !head.status.is_success() {
            return Err(context.classify(head.status, &head.headers, &body));
        }
        // Cut short or garbled: what was asked may well have been done.
        serde_json::from_slice(&body).map_err(|error| lost(codec::malformed(error)))
    }
}

impl Http {
    /// Everything in `scope`, and the version from which to watch it.
    pub(super) async fn list(&self, scope: &Scope) -> Result<(Vec<Entry>, String)> {
        let context = context("list", scope);
        let mut entries = Vec::new();
        let mut next = String::new();
        loop {
            let query = format!("{}&limit={PAGE}{next}", selection(scope));
            let mut page = self
                .send(Method::GET, &query, None, &context)
                .await
                .map_err(|failure| failure.into_error(&context))?;
            entries.extend(items(&mut page)?);
            let metadata = &page["metadata"];
            let more = metadata["continue"].as_str().filter(|token| !token.is_empty());
            let Some(token) = more else {
                let version = metadata["resourceVersion"].as_str().unwrap_or_default();
                return Ok((entries, version.into()));
            };
            next = format!("&continue={}", escaped(token));
        }
    }

    /// What changes in `scope` after `version`, until the server ends it, which it is asked to after `length`.
    /// The first error is the last item of use.
    pub(super) async fn watch(
        &self,
        scope: &Scope,
        version: &str,
        length: Duration,
    ) -> Result<impl Stream<Item = Result<LeaseEvent>> + Send + Unpin + use<>> {
        let query = format!(
            "{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
            selection(scope),
            length.as_secs(),
            escaped(version)
        );
        let request = Request::get(query).body(Vec::new()).map_err(codec::malformed)?;
        let events =
            self.0.request_events(request).await.map_err(|error| watch_error(error, scope))?;
        let scope = scope.clone();
        let told = move |event: kube::Result<LeaseEvent>| {
            event.map_err(|error| watch_error(error, &scope))
        };
        Ok(Box::pin(events.map(told)))
    }
}

/// What a watch that failed means.
pub(super) fn watch_error(error: kube::Error, scope: &Scope) -> Error {
    let kube::Error::Api(status) = error else { return Error::unavailable(BACKEND, error) };
    let context = context("watch", scope);
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&status).unwrap_or_default();
    context.classify(code, &HeaderMap::new(), &body).into_error(&context)
}

fn context<'a>(verb: &'static str, scope: &'a Scope) -> RequestContext<'a> {
    // As `kubectl` and the rules of a role call all of them.
    let namespace = namespace(scope).map_or("*", Namespace::as_str);
    RequestContext { verb, resource: LEASES, name: None, namespace }
}

const fn namespace(scope: &Scope) -> Option<&Namespace> {
    match scope {
        Scope::Record(namespace, _) | Scope::Elections(namespace, _) => Some(namespace),
        Scope::Records(namespace, _) => namespace.as_ref(),
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// What is listed on a page; anything else than a page is no answer, and must not be taken for an empty one.
pub(super) fn items(page: &mut Value) -> Result<impl Iterator<Item = Entry> + use<>> {
    let items = match page.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        // An empty list of a server that leaves it out.
        None | Some(Value::Null) if page["metadata"].is_object() => Vec::new(),
        _ => return Err(codec::malformed(NotAList)),
    };
    Ok(items.into_iter().filter_map(decode_entry))
}

/// A proxy or a server that answers with something else.
#[derive(Debug, thiserror::Error)]
#[error("the answer is no list")]
struct NotAList;

/// A listed object, unless it cannot be read: one bad object must not hide the others.
pub(super) fn decode_entry(object: Value) -> Option<Entry> {
    codec::decode(object)
        .map(codec::entry)
        .inspect_err(|error| tracing::warn!(%error, "passing over a Lease"))
        .ok()
}

/// The path and query of a scope: by its name for one record, which a Role may restrict to that name; by label for the others.
fn selection(scope: &Scope) -> String {
    let selector = match scope {
        Scope::Record(_, lease) => ("fieldSelector", format!("metadata.name={lease}")),
        Scope::Elections(_, Some(election)) => {
            ("labelSelector", format!("{ELECTION}={}", election.label()))
        }
        Scope::Elections(_, None) => ("labelSelector", ELECTION.into()),
        Scope::Records(_, None) => ("labelSelector", KIND.into()),
        Scope::Records(_, Some(labels)) => ("labelSelector", format!("{KIND},{labels}")),
    };
    let path = match namespace(scope) {
        Some(namespace) => path(namespace, None),
        None => format!("{GROUP}/leases"),
    };
    format!("{path}?{}={}", selector.0, escaped(&selector.1))
}

pub(super) fn path(namespace: &Namespace, lease: Option<&LeaseName>) -> String {
    let leases = format!("{GROUP}/namespaces/{namespace}/leases");
    match lease {
        Some(lease) => format!("{leases}/{lease}"),
        None => leases,
    }
}

/// For a query: everything but unreserved characters escaped.
fn escaped(text: &str) -> String {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    escaped
}
