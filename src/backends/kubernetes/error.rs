//! The meaning of a failed response: the only place where an HTTP status becomes an error.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use kube::core::{Status, response::StatusDetails};

use super::{BACKEND, refusal::Refusal};
use crate::{api::error::Error, store::sessions::Patches};

/// The verb whose failed conditions the server reports with a status of its own.
pub(super) const PATCH: &str = "patch";

/// How the advice to grant a missing verb begins.
const GRANT: &str = "Grant the ";

/// Adds all verbs that a session needs to the refusal of one of its first requests, because the server names one verb
/// at a time.
pub(super) fn with_verbs_of_session(mut error: Error) -> Error {
    if let Error::PermissionDenied { reason, .. } = &mut error
        && reason.contains(GRANT)
    {
        reason.push_str(
            ". A session needs create, get, list, watch, update and delete on all Leases of its namespace, and should \
             have patch",
        );
    }
    error
}

/// The request that failed, so that the error can name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext<'a> {
    /// As the API server names it: `get`, `create`, `update`, `delete`, `list`, `watch`.
    pub(super) verb: &'static str,
    /// The resource, for example `leases.coordination.k8s.io`.
    pub(super) resource: &'a str,
    /// The name of the object; `None` for a request about many objects.
    pub(super) name: Option<&'a str>,
    pub(super) namespace: &'a str,
}

/// A failed request, sorted by what the caller does next.
#[derive(Debug)]
pub(super) enum RequestFailure {
    /// The object does not exist.
    NotFound,
    /// The object is not the one that the write was conditional on.
    Conflict,
    /// The version from which to continue a list or a watch is too old: the server no longer has it.
    Expired,
    /// A patch was refused, and a request that replaces the whole object may not be.
    PatchRefused(Patches, Error),
    /// Any other failure.
    Other(Error),
}

impl RequestFailure {
    /// The error for a caller that handles no kind of failure itself.
    pub(super) fn into_error(self, context: &RequestContext<'_>) -> Error {
        match self {
            Self::Other(error) | Self::PatchRefused(_, error) => error,
            Self::NotFound => context.rejected(
                "the API server has no such object or resource. Check that the URL of the API \
                 server is right",
            ),
            Self::Conflict => {
                context.rejected("the API server reports a conflict. Repeat the request")
            }
            Self::Expired => Error::unavailable(
                BACKEND,
                ServerStatus {
                    code: StatusCode::GONE,
                    message: "the requested version is too old; the list starts again".into(),
                },
            ),
        }
    }
}

/// Something else answers at the URL, for example a login page.
#[derive(Debug, thiserror::Error)]
#[error("not an API server: the answer to a request is status {} with {content}", .code.as_u16())]
pub(super) struct NotAnApiServer {
    code: StatusCode,
    content: String,
}

impl NotAnApiServer {
    /// `None` if `body` may be the object of an API server that did not arrive whole.
    pub(super) fn detect(code: StatusCode, body: &[u8]) -> Option<Self> {
        let content = match body.trim_ascii().first() {
            Some(b'{') => return None,
            Some(_) => format!("`{}`", first_line(body)),
            None => "an empty body".into(),
        };
        Some(Self { code, content })
    }
}

/// The server's message, as the cause of an [`Error::Unavailable`].
#[derive(Debug, thiserror::Error)]
#[error("the API server responded {code}: {message}")]
struct ServerStatus {
    code: StatusCode,
    message: String,
}

impl RequestContext<'_> {
    /// Sorts a response with an error status. The body is a `Status` object, or text that a proxy wrote.
    pub(super) fn classify(
        &self,
        code: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> RequestFailure {
        let status: Option<Status> = serde_json::from_slice(body).ok();
        let refusal = Refusal::of(code, status.as_ref());
        let refused = refused_patches(code, refusal).filter(|_| self.verb == PATCH);
        match (self.sort(code, headers, body, status.as_ref(), refusal), refused) {
            (RequestFailure::Other(error), Some(refused)) => {
                RequestFailure::PatchRefused(refused, error)
            }
            (other, _) => other,
        }
    }

    fn sort(
        &self,
        code: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        status: Option<&Status>,
        refusal: Option<Refusal>,
    ) -> RequestFailure {
        let message = match status {
            Some(status) if !status.message.is_empty() => status.message.clone(),
            _ => first_line(body),
        };
        let details = status.and_then(|status| status.details.as_ref());
        if let Some(refusal) = refusal.filter(|refusal| *refusal != Refusal::NotReady) {
            return RequestFailure::Other(self.refused(refusal, &message));
        }
        match code {
            StatusCode::NOT_FOUND if self.names_namespace(status) => {
                RequestFailure::Other(self.namespace_error(
                    "it does not exist. Create it, or choose another one",
                ))
            }
            StatusCode::NOT_FOUND if self.names_object(status) => RequestFailure::NotFound,
            StatusCode::CONFLICT => RequestFailure::Conflict,
            // The server says no more if an operation of a patch fails. An object that is not valid has causes.
            StatusCode::UNPROCESSABLE_ENTITY
                if self.verb == PATCH && details.is_none_or(|details| details.causes.is_empty()) =>
            {
                RequestFailure::Conflict
            }
            StatusCode::GONE => RequestFailure::Expired,
            StatusCode::UNAUTHORIZED => RequestFailure::Other(self.denied(
                "the API server does not accept the credentials: they are wrong or have expired. \
                 Renew the credentials in the kubeconfig, or mount a fresh service account token"
                    .into(),
            )),
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => RequestFailure::Other(self.rejected(&message)),
            // A proxy that does not know the method. It will not learn it by itself.
            StatusCode::NOT_IMPLEMENTED if self.verb == PATCH => {
                RequestFailure::Other(self.rejected(&message))
            }
            _ => {
                let in_body = details
                    .map(|details| u64::from(details.retry_after_seconds))
                    .filter(|&secs| secs > 0);
                let in_header =
                    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let retry_after = in_header.or(in_body).map(Duration::from_secs);
                let source = Arc::new(ServerStatus { code, message });
                RequestFailure::Other(Error::Unavailable { backend: BACKEND, source, retry_after })
            }
        }
    }

    /// Whether a 404 says that the namespace does not exist.
    fn names_namespace(&self, status: Option<&Status>) -> bool {
        details_of_404(status)
            .is_some_and(|details| details.kind == "namespaces" && details.name == self.namespace)
    }

    /// Whether a 404 says that the object of the request does not exist.
    ///
    /// The API server names the object in the details. A 404 without them says nothing about the object: a gateway sends
    /// it, or an API server that does not serve the resource yet. A request about many objects names none, and its 404
    /// is that of the resource.
    fn names_object(&self, status: Option<&Status>) -> bool {
        let Some(name) = self.name else {
            return status.is_some_and(|status| status.code == 404);
        };
        let kind = self.resource.split('.').next().unwrap_or_default();
        self.verb != "create"
            && details_of_404(status)
                .is_some_and(|details| details.kind == kind && details.name == name)
    }

    /// A refusal with the server's text and the next step.
    fn refused(&self, refusal: Refusal, message: &str) -> Error {
        match refusal {
            Refusal::Authorizer => self.denied(format!("{message}. {}", self.grant())),
            Refusal::Anonymous => self.denied(format!(
                "{message}. The request had no credentials. Name a user with credentials in the kubeconfig"
            )),
            Refusal::Quota => Error::QuotaExceeded {
                verb: self.verb,
                resource: self.object(),
                namespace: self.namespace.into(),
                reason: format!(
                    "{message}. Delete Leases that are not in use, for example with `leasehold prune`, or have the \
                     quota raised"
                ),
            },
            Refusal::Policy => self.rejected(&format!(
                "{message}. Give the Lease what the policy requires, for example a label, or have the policy changed"
            )),
            Refusal::Terminating => self.namespace_error(
                "it is being deleted. Wait until it is gone and create it again, or choose another one",
            ),
            Refusal::Stranger => self.denied(format!(
                "not the API server refused it, but something in front of it, such as a proxy: {message}. Check the \
                 URL of the API server and the proxy"
            )),
            Refusal::Other | Refusal::NotReady => {
                self.denied(format!("{message}. Change what this text names; a Role does not help"))
            }
        }
    }

    /// How to grant the missing verb.
    const fn grant(&self) -> &'static str {
        match (self.namespace.as_bytes(), self.name, self.verb.as_bytes()) {
            (b"*", ..) => "Grant the verb with a ClusterRole and a ClusterRoleBinding",
            (_, None, b"list" | b"watch") => {
                "Grant the verb with a Role and a RoleBinding in this namespace. The rule must have no resourceNames, \
                 because the request is about all Leases"
            }
            _ => "Grant the verb with a Role and a RoleBinding in this namespace",
        }
    }

    fn namespace_error(&self, reason: &str) -> Error {
        Error::Namespace { namespace: self.namespace.into(), reason: reason.into() }
    }

    fn denied(&self, reason: String) -> Error {
        Error::PermissionDenied {
            verb: self.verb,
            resource: self.object(),
            namespace: self.namespace.into(),
            reason,
        }
    }

    fn rejected(&self, reason: &str) -> Error {
        let reason = format!("{} {}: {reason}", self.verb, self.object());
        Error::Rejected {
            backend: BACKEND,
            name: self.name.unwrap_or(self.namespace).into(),
            reason,
        }
    }

    fn object(&self) -> String {
        match self.name {
            Some(name) => format!("{}/{name}", self.resource),
            None => self.resource.into(),
        }
    }
}

/// The details of a `Status` object with the code 404. A 404 without such an object comes from a proxy.
fn details_of_404(status: Option<&Status>) -> Option<&StatusDetails> {
    status.filter(|status| status.code == 404)?.details.as_ref()
}

/// What a refusal of one patch says of other patches; `None` if it is a failure like that of any other request, for
/// example one of the credentials.
const fn refused_patches(code: StatusCode, refusal: Option<Refusal>) -> Option<Patches> {
    match refusal {
        Some(Refusal::Authorizer) => Some(Patches::All),
        Some(Refusal::Policy | Refusal::Stranger | Refusal::Other) => Some(Patches::OfRecord),
        Some(Refusal::Anonymous | Refusal::Quota | Refusal::Terminating | Refusal::NotReady) => {
            None
        }
        None => match code {
            StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::NOT_IMPLEMENTED => Some(Patches::All),
            StatusCode::BAD_REQUEST
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Some(Patches::OfRecord),
            _ => None,
        },
    }
}

/// The first line of a body that is not a `Status` object, at most 200 characters.
fn first_line(body: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(body);
    let line = text.trim().lines().next().unwrap_or_default();
    if line.is_empty() {
        "the response gives no reason".into()
    } else {
        line.chars().take(SHOWN).collect()
    }
}
