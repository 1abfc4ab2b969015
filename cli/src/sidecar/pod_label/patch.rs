//! Writes one label of one pod, and nothing else.

use http::{Request, header::CONTENT_TYPE};
use kube::Client;
use leasehold::Error;
use serde_json::json;

use super::LabelKey;
use crate::backend::Backend;
use crate::cluster::{pod::OwnPod, requests::ApiRequest};

/// A patch of the label.
#[derive(Clone)]
pub(crate) struct LabelPatch {
    client: Client,
    pod: OwnPod,
    key: LabelKey,
    quiet: bool,
}

impl LabelPatch {
    pub(crate) const fn new(client: Client, pod: OwnPod, key: LabelKey, quiet: bool) -> Self {
        Self { client, pod, key, quiet }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.pod.namespace
    }

    /// Sets the label to `true`, or removes it, with a merge patch.
    pub(crate) async fn write(&self, leads: bool) -> Result<(), Error> {
        let OwnPod { namespace, name, uid } = &self.pod;
        let mut patch =
            json!({ "metadata": { "labels": { self.key.as_str(): leads.then_some("true") } } });
        if let Some(uid) = uid {
            // The uid makes the patch fail if another pod has the name by now.
            patch["metadata"]["uid"] = uid.as_str().into();
        }
        let request = Request::patch(format!("/api/v1/namespaces/{namespace}/pods/{name}"))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .map_err(|error| Error::Config {
                backend: Backend::Kubernetes.name(),
                reason: format!(
                    "`{name}` in `{namespace}` is not a valid name of a pod: check --pod, POD_NAME \
                    and POD_NAMESPACE"
                ),
                source: Some(std::sync::Arc::new(error)),
            })?;
        let resource = format!("pods/{name}");
        ApiRequest { verb: "patch", resource: &resource, namespace }
            .send(&self.client, request)
            .await
    }

    /// Warns that a write failed. It will be retried.
    pub(crate) fn warn(&self, error: &Error) {
        let OwnPod { namespace, name, .. } = &self.pod;
        let error = error.with_causes();
        if !self.quiet {
            crate::console::report(format_args!(
                "label `{}` of pod `{name}` in namespace `{namespace}` could not be written: \
                    {error}. Trying again",
                self.key.as_str()
            ));
        }
    }
}

impl std::fmt::Debug for LabelPatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pen")
            .field("pod", &self.pod)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
