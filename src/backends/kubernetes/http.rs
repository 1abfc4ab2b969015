//! Requests to the API server. Each call is one attempt; the caller sets the timeout.
//!
//! `kube::core::Request` and its parameter types build every request: method, path, query and body.
//! Objects stay untyped JSON, because a typed Lease would drop the fields that its version of the API does not know.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header::ACCEPT};
use http_body_util::BodyExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Client, Resource as _,
    api::{ListParams, WatchParams},
    client::Body,
    core::{Request, WatchEvent, request},
};
use serde_json::Value;

use super::{
    BACKEND,
    codec::{self, ELECTION, KIND},
    error::{RequestContext, RequestFailure},
};
use crate::{
    api::{
        error::{Error, Result},
        name::Namespace,
    },
    store::{Entry, Scope},
};

/// The resource, as the API server and the rules of a Role name it.
pub(super) const LEASES: &str = "leases.coordination.k8s.io";
/// The maximum number of objects on one page of a list.
const PAGE: u32 = 500;

/// An event of a watch, with the Lease as the server sent it.
pub(super) type LeaseEvent = WatchEvent<Value>;

/// What `kube::core::Request` builds.
pub(super) type BuiltRequest = Result<http::Request<Vec<u8>>, request::Error>;

/// The client, for requests only.
#[derive(Clone)]
pub(super) struct Http(pub(super) Client);

impl Http {
    /// Sends one request and reads the whole response.
    ///
    /// `Client::request` is not used, because it drops the headers of a failed response, and `Retry-After` with them.
    pub(super) async fn send(
        &self,
        request: BuiltRequest,
        context: &RequestContext<'_>,
    ) -> Result<Value, RequestFailure> {
        let unavailable = |error| RequestFailure::Other(Error::unavailable(BACKEND, error));
        let mut request =
            request.map_err(|error| RequestFailure::Other(codec::malformed(error)))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.0.send(request.map(Body::from)).await.map_err(unavailable)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(unavailable)?.to_bytes();
        if !head.status.is_success() {
            return Err(context.classify(head.status, &head.headers, &body));
        }
        // If the body is truncated or garbled, the server may still have done what was requested.
        serde_json::from_slice(&body)
            .map_err(|error| RequestFailure::Other(codec::malformed(error)))
    }

    /// Every record in `scope`, and the version from which to watch the scope.
    pub(super) async fn list(&self, scope: &Scope) -> Result<(Vec<Entry>, String)> {
        let context = context("list", scope);
        let mut entries = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        (params.field_selector, params.label_selector) = selectors(scope);
        loop {
            let mut page = self
                .send(leases(namespace(scope)).list(&params), &context)
                .await
                .map_err(|failure| failure.into_error(&context))?;
            entries.extend(items(&mut page)?);
            let metadata = &page["metadata"];
            let Some(token) = metadata["continue"].as_str().filter(|token| !token.is_empty())
            else {
                let version = metadata["resourceVersion"].as_str().unwrap_or_default();
                return Ok((entries, version.into()));
            };
            params.continue_token = Some(token.into());
        }
    }

    /// The changes in `scope` after `version`. The server is asked to end the watch after `length`.
    /// Stop at the first error: no event after it is reliable.
    pub(super) async fn watch(
        &self,
        scope: &Scope,
        version: &str,
        length: Duration,
    ) -> Result<impl Stream<Item = Result<LeaseEvent>> + Send + Unpin + use<>> {
        let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
        let mut params = WatchParams::default().timeout(seconds);
        (params.field_selector, params.label_selector) = selectors(scope);
        let request = leases(namespace(scope)).watch(&params, version).map_err(codec::malformed)?;
        let events =
            self.0.request_events(request).await.map_err(|error| watch_error(error, scope))?;
        let scope = scope.clone();
        let map_error = move |event: kube::Result<LeaseEvent>| {
            event.map_err(|error| watch_error(error, &scope))
        };
        Ok(Box::pin(events.map(map_error)))
    }
}

/// Builds requests for the Leases of one namespace, or of all.
pub(super) fn leases(namespace: Option<&Namespace>) -> Request {
    Request::new(Lease::url_path(&(), namespace.map(Namespace::as_str)))
}

/// What the failure of a watch means.
pub(super) fn watch_error(error: kube::Error, scope: &Scope) -> Error {
    let kube::Error::Api(status) = error else { return Error::unavailable(BACKEND, error) };
    let context = context("watch", scope);
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&status).unwrap_or_default();
    context.classify(code, &HeaderMap::new(), &body).into_error(&context)
}

fn context<'a>(verb: &'static str, scope: &'a Scope) -> RequestContext<'a> {
    // `*` is how `kubectl` and RBAC rules write "all".
    let namespace = namespace(scope).map_or("*", Namespace::as_str);
    RequestContext { verb, resource: LEASES, name: None, namespace }
}

const fn namespace(scope: &Scope) -> Option<&Namespace> {
    match scope {
        Scope::Record(namespace, _) | Scope::Elections(namespace, _) => Some(namespace),
        Scope::Records(namespace, _) => namespace.as_ref(),
    }
}

/// The field selector and the label selector of a scope.
///
/// One record is selected by its name, because a Role can restrict `list` and `watch` to a name but not to a label.
fn selectors(scope: &Scope) -> (Option<String>, Option<String>) {
    let labels = match scope {
        Scope::Record(_, lease) => return (Some(format!("metadata.name={lease}")), None),
        Scope::Elections(_, Some(election)) => format!("{ELECTION}={}", election.label()),
        Scope::Elections(_, None) => ELECTION.into(),
        Scope::Records(_, None) => KIND.into(),
        Scope::Records(_, Some(labels)) => format!("{KIND},{labels}"),
    };
    (None, Some(labels))
}

/// The records on one page of a list.
///
/// # Errors
///
/// [`Error::Unavailable`] if `page` is not a list. Such a response must not be read as an empty list, because
/// every record would then count as deleted.
pub(super) fn items(page: &mut Value) -> Result<impl Iterator<Item = Entry> + use<>> {
    let items = match page.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        // Some servers omit the field of an empty list.
        None | Some(Value::Null) if page["metadata"].is_object() => Vec::new(),
        _ => return Err(codec::malformed(NotAList)),
    };
    Ok(items.into_iter().filter_map(decode_entry))
}

/// A proxy or a server responded with something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "the response to a list request is not a list: check that the URL of the API server is right"
)]
struct NotAList;

/// Decodes a listed or watched object. One that cannot be decoded is skipped, so that it does not hide the others.
pub(super) fn decode_entry(object: Value) -> Option<Entry> {
    codec::decode(object)
        .map(codec::entry)
        .inspect_err(|error| tracing::warn!(%error, "skipping a Lease that cannot be read"))
        .ok()
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}
