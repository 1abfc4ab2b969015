//! Writes besides those of the library, each with a time limit, and the meaning of the answers.

use std::time::Duration;

use http::Request;
use kube::Client;
use leasehold::Error;
use serde_json::Value;
use tokio::time::timeout;

use crate::backend::Backend;

/// Time limit of a request. No tenure depends on these requests.
const LIMIT: Duration = Duration::from_secs(2);

/// A write: its verb and resource as in RBAC rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiRequest<'a> {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
}

impl ApiRequest<'_> {
    /// Sends `request` once.
    ///
    /// # Errors
    ///
    /// After [`Error::Unavailable`] the outcome of the write is unknown.
    pub(crate) async fn send(
        &self,
        client: &Client,
        request: Request<Vec<u8>>,
    ) -> Result<(), Error> {
        match timeout(LIMIT, client.request::<Value>(request)).await {
            Ok(Ok(_)) => Ok(()),
            // An earlier attempt succeeded, but its answer was lost. No other process uses this name.
            Ok(Err(kube::Error::Api(status)))
                if self.verb == "create" && status.is_already_exists() =>
            {
                Ok(())
            }
            Ok(Err(error)) => Err(self.to_error(error)),
            Err(_) => Err(Backend::Kubernetes.no_answer()),
        }
    }

    fn to_error(self, error: kube::Error) -> Error {
        let kube::Error::Api(status) = error else { return Backend::Kubernetes.unavailable(error) };
        let Self { verb, resource, namespace } = self;
        let message = &status.message;
        match status.code {
            401 | 403 => Error::PermissionDenied {
                verb,
                resource: resource.into(),
                namespace: namespace.into(),
                // The text of an authorizer. Quotas and policies answer 403 too, but a Role does not help there.
                reason: if message.contains("forbidden: User ") && message.contains(" cannot ") {
                    format!(
                        "{message}. Grant the verb with a Role and a RoleBinding in this namespace"
                    )
                } else if status.code == 401 && !message.contains(" denied the request") {
                    "the API server does not accept the credentials: they are wrong or have expired. Renew the \
                        credentials in the kubeconfig, or mount a fresh service account token"
                        .into()
                } else {
                    format!("{message}. Change what this text names; a Role does not help")
                },
            },
            400 | 404 | 405 | 409 | 422 => Error::Rejected {
                backend: Backend::Kubernetes.name(),
                name: resource.into(),
                reason: format!("{verb} in namespace `{namespace}`: {message}"),
            },
            _ => Backend::Kubernetes.unavailable(kube::Error::Api(status)),
        }
    }
}
