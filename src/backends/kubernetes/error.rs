//! What an API server's answer means: the one place where statuses become errors.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use kube::core::Status;

use super::BACKEND;
use crate::api::error::Error;

/// What was asked, for the error to name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext<'a> {
    /// In the server's terms: `get`, `create`, `update`, `delete`, `list`, `watch`.
    pub(super) verb: &'static str,
    /// `leases.coordination.k8s.io`, or another.
    pub(super) resource: &'a str,
    /// The object, where there is one.
    pub(super) name: Option<&'a str>,
    pub(super) namespace: &'a str,
}

/// An answer that is no success, sorted by what follows from it.
#[derive(Debug)]
pub(super) enum RequestFailure {
    /// The object is not there.
    NotFound,
    /// The object is not what the write was conditional on.
    Conflict,
    /// What was to be continued has been compacted away.
    Expired,
    /// Everything else.
    Other(Error),
}

impl RequestFailure {
    /// For requests where no failure is expected.
    pub(super) fn into_error(self, context: &RequestContext<'_>) -> Error {
        match self {
            Self::Other(error) => error,
            Self::NotFound => context.rejected("the server has no such object or resource"),
            Self::Conflict => context.rejected("the object is in conflict"),
            Self::Expired => Error::unavailable(
                BACKEND,
                ServerStatus { status: StatusCode::GONE, message: "the list has expired".into() },
            ),
        }
    }
}

/// The server's own words, as the cause of an [`Error::Unavailable`].
#[derive(Debug, thiserror::Error)]
#[error("the API server answered {status}: {message}")]
struct ServerStatus {
    status: StatusCode,
    message: String,
}

impl RequestContext<'_> {
    /// What an answer of `status` means. The body is a `Status` object, or whatever a proxy made of it.
    pub(super) fn classify(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> RequestFailure {
        let status_body: Option<Status> = serde_json::from_slice(body).ok();
        let message = match &status_body {
            Some(status_body) if !status_body.message.is_empty() => status_body.message.clone(),
            _ => first_line(body),
        };
        let details = status_body.as_ref().and_then(|status_body| status_body.details.as_ref());
        let about_namespace = details.is_some_and(|details| details.kind == "namespaces");
        let terminating = details.is_some_and(|details| {
            details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
        });
        // A proxy that does not know the way knows nothing of the object either.
        let not_found = status_body.as_ref().is_some_and(|status_body| status_body.code == 404);
        match status {
            StatusCode::NOT_FOUND if not_found && (about_namespace || self.verb == "create") => {
                let reason = "it does not exist: create it, or choose another with the namespace option".into();
                RequestFailure::Other(Error::Namespace { namespace: self.namespace.into(), reason })
            }
            StatusCode::NOT_FOUND if not_found => RequestFailure::NotFound,
            StatusCode::CONFLICT => RequestFailure::Conflict,
            StatusCode::GONE => RequestFailure::Expired,
            StatusCode::UNAUTHORIZED => RequestFailure::Other(self.refused(
                "the server does not accept the credentials: has the token expired? Renew the kubeconfig's user, or mount a fresh service account token".into(),
            )),
            StatusCode::FORBIDDEN if terminating => {
                let reason = "it is being deleted: wait until it has gone and create it again, or choose another".into();
                RequestFailure::Other(Error::Namespace { namespace: self.namespace.into(), reason })
            }
            StatusCode::FORBIDDEN => RequestFailure::Other(self.refused(format!("{message}. Grant the verb with a Role and a RoleBinding in this namespace"))),
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => RequestFailure::Other(self.rejected(&message)),
            _ => {
                let in_body = details.map(|details| u64::from(details.retry_after_seconds)).filter(|&secs| secs > 0);
                let in_header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let retry_after = in_header.or(in_body).map(Duration::from_secs);
                let source = std::sync::Arc::new(ServerStatus { status, message });
                RequestFailure::Other(Error::Unavailable { backend: BACKEND, source, retry_after })
            }
        }
    }

    fn refused(&self, reason: String) -> Error {
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

/// The beginning of a body that is no `Status`.
fn first_line(body: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(body);
    let line = text.trim().lines().next().unwrap_or_default();
    if line.is_empty() { "without a reason".into() } else { line.chars().take(SHOWN).collect() }
}
