//! One write beside the election's own, given up in time, and what its answer means.

use std::{sync::Arc, time::Duration};

use http::Request;
use kube::Client;
use leasehold::Error;
use serde_json::Value;
use tokio::time::timeout;

use crate::cluster::wait::no_answer;

/// How long one may take. Nothing waits for it that anybody's lead depends on.
const LIMIT: Duration = Duration::from_secs(2);

/// What is written, in the server's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
}

impl Asked<'_> {
    /// Sends it once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] leaves open whether it was done.
    pub(crate) async fn send(
        &self,
        client: &Client,
        request: Request<Vec<u8>>,
    ) -> Result<(), Error> {
        match timeout(LIMIT, client.request::<Value>(request)).await {
            Ok(Ok(_)) => Ok(()),
            // By an earlier attempt, whose answer was lost: nobody else uses that name.
            Ok(Err(kube::Error::Api(status)))
                if self.verb == "create" && status.is_already_exists() =>
            {
                Ok(())
            }
            Ok(Err(error)) => Err(self.meaning(error)),
            Err(_) => Err(no_answer()),
        }
    }

    fn meaning(&self, error: kube::Error) -> Error {
        let kube::Error::Api(status) = error else { return unavailable(error) };
        let Self { verb, resource, namespace } = *self;
        let said = &status.message;
        match status.code {
            401 | 403 => Error::Refused {
                verb,
                resource: resource.into(),
                namespace: namespace.into(),
                reason: format!(
                    "{said}. Grant the verb with a Role and a RoleBinding in this namespace"
                ),
            },
            400 | 404 | 405 | 409 | 422 => Error::Rejected {
                backend: "kubernetes",
                name: resource.into(),
                reason: format!("{verb} in namespace `{namespace}`: {said}"),
            },
            _ => unavailable(kube::Error::Api(status)),
        }
    }
}

fn unavailable(error: kube::Error) -> Error {
    Error::Unavailable { backend: "kubernetes", source: Arc::new(error), retry_after: None }
}
