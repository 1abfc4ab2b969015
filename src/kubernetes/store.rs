//! Lease objects as a [`Store`].

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::{
    BACKEND,
    codec::{self, ELECTION, Pod},
    error::{Asked, Failed},
    permissions,
    watch::Watches,
};
use crate::{
    engine::record::{Change as Purpose, Versioned, Write},
    error::{Error, Result},
    name::{LeaseName, Namespace},
    store::{Change, Entry, Key, Kind, Scope, Store, Written},
};

/// The resource, in the server's terms.
pub(super) const LEASES: &str = "leases.coordination.k8s.io";
/// How many objects one page of a list has.
const PAGE: usize = 500;

/// One attempt for each call, whatever comes of it; the caller has the timeouts.
#[derive(Debug)]
pub(super) struct Leases {
    api: Api,
    pod: Option<Pod>,
    watches: Watches,
}

/// The client, and nothing but requests.
#[derive(Clone)]
pub(super) struct Api(pub(super) Client);

impl Leases {
    pub(super) fn new(client: Client, pod: Option<Pod>) -> Self {
        Self { api: Api(client.clone()), pod, watches: Watches::new(client) }
    }

    async fn delete(&self, key: &Key, write: &Write) -> Result<Written> {
        let asked = asked("delete", key);
        let Some(base) = &write.base else { return Ok(Written::Gone) };
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "resourceVersion": base.version.number.to_string(), "uid": &*base.version.uid },
        });
        match self
            .api
            .send(Method::DELETE, &path(&key.namespace, Some(&key.lease)), Some(&body), &asked)
            .await
        {
            Ok(_) | Err(Failed::NotFound) => Ok(Written::Gone),
            Err(Failed::Conflict) => Ok(Written::Conflict),
            Err(other) => Err(other.into_error(&asked)),
        }
    }
}

impl Store for Leases {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(permissions::check(&self.api, namespace))
    }

    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        Box::pin(async move {
            let asked = asked("get", key);
            match self
                .api
                .send(Method::GET, &path(&key.namespace, Some(&key.lease)), None, &asked)
                .await
            {
                Ok(object) => codec::decode(object).map(|found| Some(Arc::new(found))),
                Err(Failed::NotFound) => Ok(None),
                Err(other) => Err(other.into_error(&asked)),
            }
        })
    }

    fn write<'a>(&'a self, key: &'a Key, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            if write.change == Purpose::Free && matches!(key.kind, Kind::Candidate(_)) {
                return self.delete(key, write).await;
            }
            let object = codec::encode(key, write, self.pod.as_ref());
            let (method, path, asked) = match &write.base {
                None => (Method::POST, path(&key.namespace, None), asked("create", key)),
                Some(_) => {
                    (Method::PUT, path(&key.namespace, Some(&key.lease)), asked("update", key))
                }
            };
            match self.api.send(method, &path, Some(&object), &asked).await {
                Ok(object) => codec::decode(object).map(|found| Written::Stored(Arc::new(found))),
                // The object that the write was conditional on has gone.
                Err(Failed::Conflict | Failed::NotFound) => Ok(Written::Conflict),
                Err(other) => Err(other.into_error(&asked)),
            }
        })
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(async move {
            let (Scope::Record(namespace, _) | Scope::Elections(namespace, _)) = scope;
            let asked =
                Asked { verb: "list", resource: LEASES, name: None, namespace: namespace.as_str() };
            let mut entries = Vec::new();
            let mut next = String::new();
            loop {
                let query = format!(
                    "{}?limit={PAGE}&{}{next}",
                    path(namespace, None),
                    selector(scope).query()
                );
                let mut page = self
                    .api
                    .send(Method::GET, &query, None, &asked)
                    .await
                    .map_err(|failed| failed.into_error(&asked))?;
                if let Value::Array(items) = page["items"].take() {
                    entries.extend(items.into_iter().filter_map(readable));
                }
                match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                    Some(token) => next = format!("&continue={}", escaped(token)),
                    None => return Ok(entries),
                }
            }
        })
    }

    fn changes(&self, scope: &Scope) -> BoxStream<'static, Change> {
        self.watches.subscribe(scope)
    }

    fn doubt(&self, scope: &Scope) {
        self.watches.doubt(scope);
    }
}

/// A listed object, unless it cannot be read: one bad object must not hide the others.
pub(super) fn readable(object: Value) -> Option<Entry> {
    codec::decode(object)
        .map(codec::entry)
        .inspect_err(|error| tracing::warn!(%error, "passing over a Lease"))
        .ok()
}

/// How a scope is asked for.
#[derive(Clone, Debug)]
pub(super) enum Selector {
    Field(String),
    Label(String),
}

impl Selector {
    fn query(&self) -> String {
        match self {
            Self::Field(selector) => format!("fieldSelector={}", escaped(selector)),
            Self::Label(selector) => format!("labelSelector={}", escaped(selector)),
        }
    }
}

/// By its name for one record, which a Role may restrict to that name; by label for elections.
pub(super) fn selector(scope: &Scope) -> Selector {
    match scope {
        Scope::Record(_, lease) => Selector::Field(format!("metadata.name={lease}")),
        Scope::Elections(_, Some(election)) => {
            Selector::Label(format!("{ELECTION}={}", election.label()))
        }
        Scope::Elections(_, None) => Selector::Label(ELECTION.into()),
    }
}

fn asked<'a>(verb: &'static str, key: &'a Key) -> Asked<'a> {
    Asked {
        verb,
        resource: LEASES,
        name: Some(key.lease.as_str()),
        namespace: key.namespace.as_str(),
    }
}

fn path(namespace: &Namespace, lease: Option<&LeaseName>) -> String {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
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

impl Api {
    /// Sends one request and reads its whole answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        asked: &Asked<'_>,
    ) -> Result<Value, Failed> {
        let lost = |error| Failed::Other(error);
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
            return Err(asked.failed(head.status, &head.headers, &body));
        }
        // Cut short or garbled: what was asked may well have been done.
        serde_json::from_slice(&body).map_err(|error| lost(codec::malformed(error)))
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}
