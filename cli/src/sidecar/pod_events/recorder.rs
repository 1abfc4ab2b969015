//! Writes Events of `events.k8s.io/v1`.
//!
//! kube's `events::Recorder` (5.0.0) is not used. It merges an Event into an earlier one that differs only in its note, so
//! that the token of a second election within some minutes is lost. It needs the verb `patch` as well, does not shorten
//! names and notes that are too long for the API, and does not retry, so that a lead that was lost during an outage is
//! not recorded.

use std::{fmt::Write as _, time::Duration};

use http::{Request, header::CONTENT_TYPE};
use jiff::Timestamp;
use kube::Client;
use leasehold::{Error, Token};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    backend::Backend,
    cluster::{pod::OwnPod, requests::ApiRequest},
    output::status::CandidateStatus,
};

/// The resource, as in RBAC rules.
const EVENTS: &str = "events.events.k8s.io";
/// The pauses between attempts. The retries record a lead that was lost during an outage of the server.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// The longest `reportingInstance`, in bytes.
const INSTANCE: usize = 128;

/// A change of the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeadChange {
    Elected { token: Token },
    Lost { token: Token, resigned: bool },
}

/// Records Events about one object.
pub(crate) struct EventRecorder {
    client: Client,
    /// The namespace of the object, and of the Events.
    namespace: String,
    regarding: Value,
    related: Option<Value>,
    quiet: bool,
    failing: bool,
}

impl EventRecorder {
    /// Events about the pod if it is known, otherwise about the Lease, given by namespace and name.
    pub(crate) fn new(
        client: Client,
        pod: Option<OwnPod>,
        (namespace, lease): (String, String),
        quiet: bool,
    ) -> Self {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "namespace": namespace, "name": lease,
        });
        let (namespace, regarding, related) = match pod {
            Some(OwnPod { namespace, name, uid }) => {
                let pod = json!({
                    "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid,
                });
                (namespace, pod, Some(lease))
            }
            None => (namespace, lease, None),
        };
        Self { client, namespace, regarding, related, quiet, failing: false }
    }

    /// Records a change. Warns about the first failure only, until a later Event succeeds.
    pub(super) async fn write(
        &mut self,
        status: &CandidateStatus,
        change: LeadChange,
        skipped: u32,
    ) {
        let event = self.event(status, change, skipped);
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let Err(error) = self.send(&event).await else {
                self.failing = false;
                return;
            };
            if !self.failing && !self.quiet {
                crate::console::report(format_args!(
                    "an Event of election `{}` could not be recorded in namespace `{}`: {}",
                    status.election,
                    self.namespace,
                    error.with_causes()
                ));
            }
            self.failing = true;
            match pause {
                Some(pause) if error.is_transient() => sleep(pause).await,
                _ => return,
            }
        }
    }

    async fn send(&self, event: &Value) -> Result<(), Error> {
        let namespace = &self.namespace;
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .body(event.to_string().into_bytes())
            .map_err(|error| Error::Config {
                backend: Backend::Kubernetes.name(),
                reason: format!("`{namespace}` is not a valid namespace: check POD_NAMESPACE"),
                source: Some(std::sync::Arc::new(error)),
            })?;
        let create = ApiRequest { verb: "create", resource: EVENTS, namespace };
        create.send(&self.client, request).await
    }

    #[expect(clippy::disallowed_methods, reason = "an Event has a wall time")]
    fn event(&self, status: &CandidateStatus, change: LeadChange, skipped: u32) -> Value {
        let now = Timestamp::now();
        let about = self.regarding["name"].as_str().unwrap_or_default();
        let about = about.get(..200).unwrap_or(about);
        let CandidateStatus { election, candidate_id: id, .. } = status;
        let (reason, kind, action, mut note) = match change {
            LeadChange::Elected { token } => {
                let note = format!("{id} leads election {election}, token {token}");
                ("LeaderElected", "Normal", "Elect", note)
            }
            LeadChange::Lost { token, resigned: true } => {
                let note = format!("{id} has resigned from election {election}, token {token}");
                ("LeaderLost", "Normal", "Resign", note)
            }
            LeadChange::Lost { token, resigned: false } => {
                let note = format!("{id} has lost election {election}, token {token}");
                ("LeaderLost", "Warning", "Lose", note)
            }
        };
        if skipped > 0 {
            let _ = write!(note, "; {skipped} changes before this were not recorded");
        }
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": format!("{about}.{:x}", now.as_nanosecond()), "namespace": self.namespace,
            },
            "eventTime": format!("{now:.6}"),
            "reportingController": "leasehold.dev/elect",
            "reportingInstance": shortened(id, INSTANCE),
            "action": action,
            "reason": reason,
            "type": kind,
            "note": shortened(&note, 1024),
            "regarding": self.regarding,
            "related": self.related,
        })
    }
}

/// The first `most` bytes of `text`, or fewer at a character boundary.
fn shortened(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

impl std::fmt::Debug for EventRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scribe").field("regarding", &self.regarding).finish_non_exhaustive()
    }
}
