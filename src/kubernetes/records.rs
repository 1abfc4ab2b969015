//! Records as an operator looks at them: whoever holds what, and taking it away by hand.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    BACKEND, Kubernetes,
    api::{LEASES, items, path},
    codec::{self, KIND},
    error::{Asked, Failed},
};
use crate::{
    Sync as _,
    error::{Error, Result},
    name::{LeaseName, Namespace},
    store::{Entry, Kind},
};

/// How many objects one page of a list has.
const PAGE: usize = 500;
/// How long one request may take: nobody's tenure depends on it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a record is for, as far as it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum RecordKind {
    /// A lock.
    Lock,
    /// An election.
    Election,
    /// A candidate of an election.
    Candidate,
}

/// One Lease of this crate, as it was when it was read.
///
/// For people and dashboards; nothing in this crate decides by it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeaseRecord {
    /// The name of the lock or election, as its user says it.
    pub name: String,
    /// The name of the Lease.
    pub lease: String,
    /// The namespace.
    pub namespace: String,
    /// What it is for.
    pub kind: RecordKind,
    /// Who holds it; `None` is free.
    pub holder: Option<String>,
    /// The fencing token of the tenure; `None` where free, or where another program wrote it.
    pub token: Option<u64>,
    /// How long it lives unrenewed.
    pub ttl: Duration,
    /// How long ago it was renewed, by the wall clocks of writer and reader.
    pub age: Option<Duration>,
    /// How often the holder changed.
    pub transitions: i32,
    whole: Arc<Value>,
}

impl Kubernetes {
    /// Every lock, election and candidate of `namespace`, or of the handle's own where that is `None`.
    ///
    /// Needs `list` on leases. Leases that other programs made are not listed.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and what the server refuses or fails at.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn records(&self, namespace: Option<&str>) -> Result<Vec<LeaseRecord>> {
        let own = self.options().namespace.as_deref().unwrap_or_default();
        let namespace = Namespace::parse(namespace.unwrap_or(own))?;
        let asked =
            Asked { verb: "list", resource: LEASES, name: None, namespace: namespace.as_str() };
        let path = format!("{}?limit={PAGE}&labelSelector={KIND}", path(&namespace, None));
        let (mut records, mut next) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}{next}");
            let mut page = self
                .answered(&page, Method::GET, None, &asked)
                .await?
                .map_err(|failed| failed.into_error(&asked))?;
            records.extend(items(&mut page)?.filter_map(|entry| record(entry, &namespace)));
            // The server makes it of characters that a query can have as they are.
            match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&continue={token}"),
                None => return Ok(records),
            }
        }
    }

    /// Takes a lock or an election away from whoever holds it, provided that its record is exactly as it was read.
    ///
    /// For operators, where a holder hangs. It is **not** waited for: the holder sees it with its next
    /// renewal, by default within a third of its time to live, and until then somebody else may hold it too.
    ///
    /// False if the record has been changed since it was read: nothing was done.
    ///
    /// # Errors
    ///
    /// What the server refuses or fails at. After [`Error::Unavailable`](crate::Error::Unavailable) it may have been done.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it was done.
    pub async fn free(&self, record: &LeaseRecord) -> Result<bool> {
        let asked = Asked {
            verb: "update",
            resource: LEASES,
            name: Some(&record.lease),
            namespace: &record.namespace,
        };
        let namespace = Namespace::parse(&record.namespace)?;
        let path = path(&namespace, Some(&LeaseName::stored(&record.lease)));
        // With the version it was read in, which makes it conditional.
        let object = codec::freed(&record.whole);
        match self.answered(&path, Method::PUT, Some(&object), &asked).await? {
            Ok(_) => Ok(true),
            Err(Failed::Conflict | Failed::NotFound) => Ok(false),
            Err(other) => Err(other.into_error(&asked)),
        }
    }

    /// One request, given up after a while.
    async fn answered(
        &self,
        path: &str,
        method: Method,
        body: Option<&Value>,
        asked: &Asked<'_>,
    ) -> Result<Result<Value, Failed>> {
        let request = self.api.send(method, path, body, asked);
        timeout(PATIENCE, request).await.map_err(|late| Error::unavailable(BACKEND, late))
    }
}

fn record(entry: Entry, namespace: &Namespace) -> Option<LeaseRecord> {
    let Entry { lease, kind, title, found } = entry;
    let kind = match kind? {
        Kind::Lock => RecordKind::Lock,
        Kind::Election => RecordKind::Election,
        Kind::Candidate(_) => RecordKind::Candidate,
    };
    Some(LeaseRecord {
        name: title,
        lease: lease.to_string(),
        namespace: namespace.to_string(),
        kind,
        holder: found.record.holder.as_ref().map(ToString::to_string),
        token: found.token().map(Into::into),
        ttl: found.record.lives(),
        age: found.age,
        transitions: found.record.transitions,
        whole: Arc::clone(&found.whole),
    })
}
