//! Requests to the API server. Each call is one attempt; the caller sets the timeout.
//!
//! `kube::core::Request` and its parameter types build every request: method, path, query and body.
//! Objects stay untyped JSON, because a typed Lease would drop the fields that its version of the API does not know.

use std::{collections::HashSet, time::Duration};

use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header::ACCEPT};
use http_body_util::BodyExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Client, Resource as _,
    api::{DeleteParams, ListParams, Preconditions, WatchParams},
    client::Body,
    core::{Request, WatchEvent, request},
};
use serde_json::Value;

use super::{
    BACKEND,
    codec::{self, ELECTION, KIND},
    error::{NotAnApiServer, RequestContext, RequestFailure},
    names::label,
    page::{self, Page, PageFailure},
    pools::OfSession,
};
use crate::{
    api::{
        error::{Error, Result},
        name::{Namespace, RecordName},
    },
    protocol::{record::Version, session::SessionId},
    store::{Entry, Scope, sessions::Cursor},
};

/// The resource, as the API server and the rules of a Role name it.
pub(super) const LEASES: &str = "leases.coordination.k8s.io";
/// The maximum number of objects on one page of a list.
const PAGE: u32 = 500;

/// An event of a watch, with the Lease as the server sent it.
pub(super) type LeaseEvent = WatchEvent<Value>;

/// The Leases that a list or a watch selects.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    Scope(Scope),
    /// Every Lease of a namespace, whichever program wrote it.
    Namespace(Namespace),
    /// Every Lease of a namespace, or of all, that this label selector selects.
    Labelled(Option<Namespace>, String),
}

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
        let parse = |status, body: &[u8]| {
            serde_json::from_slice(body).map_err(|error| unreadable(status, body, error))
        };
        self.receive(request, context, parse).await
    }

    /// Sends one request, and parses the body of a response that is no failure.
    async fn receive<T>(
        &self,
        request: BuiltRequest,
        context: &RequestContext<'_>,
        parse: impl FnOnce(StatusCode, &[u8]) -> Result<T, Error>,
    ) -> Result<T, RequestFailure> {
        let unavailable = |error| RequestFailure::Other(Error::unavailable(BACKEND, error));
        let mut request =
            request.map_err(|error| RequestFailure::Other(codec::malformed(error)))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if context.name.and_then(SessionId::parse).is_some() {
            request.extensions_mut().insert(OfSession);
        }
        let response = self.0.send(request.map(Body::from)).await.map_err(unavailable)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(unavailable)?.to_bytes();
        if !head.status.is_success() {
            return Err(context.classify(head.status, &head.headers, &body));
        }
        parse(head.status, &body).map_err(RequestFailure::Other)
    }

    /// Every record in `selection` that has one of `names`, and the version from which to watch the selection.
    /// Without `names` it is every record.
    pub(super) async fn list(
        &self,
        selection: &Selection,
        names: Option<&HashSet<RecordName>>,
    ) -> Result<(Vec<Entry>, String)> {
        let wanted = |item: &Value| names.is_none_or(|names| names.contains(name(item)));
        let decode = |item| Some(item).filter(wanted).and_then(|item| decode_entry(&item));
        self.list_objects(selection, decode).await
    }

    /// What `decode` makes of every object in `selection`, and the version from which to watch the selection.
    ///
    /// All pages show one state, which the server keeps for some minutes. A list for which it does not begins again, once.
    pub(super) async fn list_objects<T: Send>(
        &self,
        selection: &Selection,
        decode: impl Fn(Value) -> Option<T> + Send + Sync,
    ) -> Result<(Vec<T>, String)> {
        let (mut found, mut next, mut begun_again) = (Vec::new(), None, false);
        loop {
            match self.page(selection, next.as_ref(), &decode).await? {
                Page::Expired if begun_again => return Err(expired(selection)),
                Page::Expired => {
                    (next, begun_again) = (None, true);
                    found.clear();
                }
                Page::Last(page, version) => {
                    found.extend(page);
                    return Ok((found, version));
                }
                Page::Further(page, cursor) => {
                    found.extend(page);
                    next = Some(cursor);
                }
            }
        }
    }

    /// What `decode` makes of the objects on one page of `selection`: the first one, or the one at `cursor`.
    pub(super) async fn page<T: Send>(
        &self,
        selection: &Selection,
        cursor: Option<&Cursor>,
        decode: impl Fn(Value) -> Option<T> + Send,
    ) -> Result<Page<T>> {
        let context = selection.context("list");
        let mut params = ListParams::default().limit(PAGE);
        (params.field_selector, params.label_selector) = selection.selectors();
        params.continue_token = cursor.map(|cursor| cursor.place.clone());
        let request = leases(selection.namespace()).list(&params);
        let parse = |status, body: &[u8]| {
            page::decode(body, cursor, decode).map_err(|failure| match failure {
                PageFailure::NotAList => codec::malformed(NotAList),
                PageFailure::NoEnd => codec::malformed(NoEnd),
                PageFailure::Malformed(error) => unreadable(status, body, error),
            })
        };
        match self.receive(request, &context, parse).await {
            Ok(page) => Ok(page),
            Err(RequestFailure::Expired) if cursor.is_some() => Ok(Page::Expired),
            Err(failure) => Err(failure.into_error(&context)),
        }
    }

    /// The changes in `selection` after `version`. The server is asked to end the watch after `length`.
    /// Stop at the first error: no event after it is reliable.
    pub(super) async fn watch(
        &self,
        selection: &Selection,
        version: &str,
        length: Duration,
    ) -> Result<impl Stream<Item = Result<LeaseEvent>> + Send + Unpin + use<>> {
        let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
        let mut params = WatchParams::default().timeout(seconds);
        (params.field_selector, params.label_selector) = selection.selectors();
        let request =
            leases(selection.namespace()).watch(&params, version).map_err(codec::malformed)?;
        let events =
            self.0.request_events(request).await.map_err(|error| watch_error(error, selection))?;
        let selection = selection.clone();
        let map_error = move |event: kube::Result<LeaseEvent>| {
            event.map_err(|error| watch_error(error, &selection))
        };
        Ok(Box::pin(events.map(map_error)))
    }
}

/// The request that deletes a Lease if it is still in this version.
pub(super) fn delete_version(
    namespace: &Namespace,
    lease: &str,
    version: &Version,
) -> BuiltRequest {
    let params = DeleteParams::default().preconditions(Preconditions {
        resource_version: Some(version.number.to_string()),
        uid: Some(version.uid.to_string()),
    });
    leases(Some(namespace)).delete(lease, &params)
}

/// Builds requests for the Leases of one namespace, or of all.
pub(super) fn leases(namespace: Option<&Namespace>) -> Request {
    Request::new(Lease::url_path(&(), namespace.map(Namespace::as_str)))
}

/// The name of a Lease.
pub(super) fn name(lease: &Value) -> &str {
    lease["metadata"]["name"].as_str().unwrap_or_default()
}

/// What the failure of a watch means.
pub(super) fn watch_error(error: kube::Error, selection: &Selection) -> Error {
    let kube::Error::Api(status) = error else { return Error::unavailable(BACKEND, error) };
    let context = selection.context("watch");
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&status).unwrap_or_default();
    context.classify(code, &HeaderMap::new(), &body).into_error(&context)
}

impl Selection {
    fn context(&self, verb: &'static str) -> RequestContext<'_> {
        // `*` is how `kubectl` and RBAC rules write "all".
        let namespace = self.namespace().map_or("*", Namespace::as_str);
        let name = match self {
            Self::Scope(Scope::Record(_, lease)) => Some(lease.as_str()),
            _ => None,
        };
        RequestContext { verb, resource: LEASES, name, namespace }
    }

    const fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Namespace(namespace)
            | Self::Scope(Scope::Record(namespace, _) | Scope::Elections(namespace, _)) => {
                Some(namespace)
            }
            Self::Labelled(namespace, _) | Self::Scope(Scope::Records(namespace, _)) => {
                namespace.as_ref()
            }
        }
    }

    /// The field selector and the label selector.
    ///
    /// One record is selected by its name, because a Role can restrict `list` and `watch` to a name but not to a label.
    /// A namespace is selected without a label, because a Lease that another program made has none.
    fn selectors(&self) -> (Option<String>, Option<String>) {
        let labels = match self {
            Self::Namespace(_) => return (None, None),
            Self::Labelled(_, labels) => labels.clone(),
            Self::Scope(Scope::Record(_, lease)) => {
                return (Some(format!("metadata.name={lease}")), None);
            }
            Self::Scope(Scope::Elections(_, Some(election))) => {
                format!("{ELECTION}={}", label(election))
            }
            Self::Scope(Scope::Elections(_, None)) => ELECTION.into(),
            Self::Scope(Scope::Records(_, None)) => KIND.into(),
            Self::Scope(Scope::Records(_, Some(labels))) => format!("{KIND},{labels}"),
        };
        (None, Some(labels))
    }
}

/// What a body means that is no JSON. If it is truncated or garbled, the server may still have done what was requested.
fn unreadable(status: StatusCode, body: &[u8], error: serde_json::Error) -> Error {
    match NotAnApiServer::detect(status, body) {
        Some(stranger) => Error::unavailable(BACKEND, stranger),
        None => codec::malformed(error),
    }
}

/// The pages of a list have expired, and those of the next one too.
pub(super) fn expired(selection: &Selection) -> Error {
    RequestFailure::Expired.into_error(&selection.context("list"))
}

/// A proxy or a server responded with something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "the response to a list request is not a list: check that the URL of the API server is right"
)]
struct NotAList;

/// A proxy or a server ignores where a page begins.
#[derive(Debug, thiserror::Error)]
#[error("the pages of a list have no end: does a proxy answer in place of the API server?")]
struct NoEnd;

/// Decodes a listed or watched object. One that cannot be decoded is skipped, so that it does not hide the others.
pub(super) fn decode_entry(object: &Value) -> Option<Entry> {
    codec::decode_entry(object)
        .inspect_err(|error| tracing::warn!(%error, "skipping a Lease that cannot be read"))
        .ok()
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backends::kubernetes::{
            codec::{
                check::{claim, key},
                encode,
            },
            names::LeaseNames,
        },
        store::Kind,
    };

    /// Whether an API server selects `object`, by the rules for the selectors that are sent.
    fn is_selected(selection: &Selection, object: &Value) -> bool {
        let (fields, labels) = selection.selectors();
        let within =
            selection.namespace().is_none_or(|one| object["metadata"]["namespace"] == one.as_str());
        let has_field = |field: String| format!("metadata.name={}", name(object)) == field;
        let has_label = |label: &str| match label.split_once('=') {
            Some((key, value)) => object["metadata"]["labels"][key] == value,
            None => object["metadata"]["labels"][label].is_string(),
        };
        within
            && fields.is_none_or(has_field)
            && labels.is_none_or(|labels| labels.split(',').all(has_label))
    }

    /// Leases of each purpose in two namespaces, and one that another program made.
    fn objects() -> Vec<Value> {
        let long = "l".repeat(100);
        let mut objects = Vec::new();
        for name in ["billing", "jobs/nightly", &long] {
            let election = key(Kind::Election, name);
            let id = crate::api::name::Name::parse("id", "web-1").unwrap();
            let candidate = election.candidate(&LeaseNames::default(), &id);
            for key in [key(Kind::Lock, &format!("{name}.lock")), election, candidate] {
                let mut object = encode(&key, &claim(None), &codec::Extras::default());
                object["metadata"]["resourceVersion"] = "42".into();
                object["metadata"]["uid"] = "u-1".into();
                let mut elsewhere = object.clone();
                elsewhere["metadata"]["namespace"] = "other".into();
                objects.extend([object, elsewhere]);
            }
        }
        let mut foreign = objects[0].clone();
        foreign["metadata"]["name"] = "foreign".into();
        foreign["metadata"]["labels"] = serde_json::json!({ "app": "theirs" });
        objects.push(foreign);
        objects
    }

    #[test]
    fn the_selectors_select_what_a_scope_selects() {
        let objects = objects();
        let entries: Vec<_> = objects.iter().map(|object| decode_entry(object).unwrap()).collect();
        let namespace = || Namespace::stored("shop");
        let mut scopes = vec![
            Scope::Elections(namespace(), None),
            Scope::Records(Some(namespace()), None),
            Scope::Records(None, None),
        ];
        for entry in &entries {
            scopes.push(Scope::Record(namespace(), entry.record.clone()));
            scopes.push(Scope::Elections(namespace(), Some(entry.record.clone())));
        }
        for scope in scopes {
            let selection = Selection::Scope(scope.clone());
            for (object, entry) in objects.iter().zip(&entries) {
                assert_eq!(
                    is_selected(&selection, object),
                    scope.selects(entry),
                    "{scope:?}: {object}"
                );
            }
        }
    }
}
