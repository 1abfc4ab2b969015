//! Records as an operator looks at them: whoever holds what, and taking it away by hand.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    BACKEND, Kubernetes, codec,
    error::{Asked, Failed},
    http::{LEASES, path},
    record_watch::RecordWatch,
};
use crate::{
    Token,
    api::{
        error::{Error, Result},
        name::{LeaseName, Namespace},
        record::RecordKind,
    },
    runtime::{roster, seen::Seen},
    store::{Entry, Kind, Scope},
    util::clock::Moment,
};

/// How long one request may take: nobody's tenure depends on it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which records to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordOptions {
    /// The namespace to look at; `None` is the handle's.
    pub namespace: Option<String>,
    /// Every namespace, whatever `namespace` says.
    pub all_namespaces: bool,
    /// A label selector on top, as `kubectl -l` takes it.
    pub label_selector: Option<String>,
}

impl RecordOptions {
    /// The namespace to look at. Defaults to the handle's.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Every namespace of the cluster, which a `ClusterRole` must allow.
    #[must_use]
    pub const fn all_namespaces(mut self) -> Self {
        self.all_namespaces = true;
        self
    }

    /// Only Leases with these labels: a selector as `kubectl -l` takes it, for example `team=shop`.
    #[must_use]
    pub fn label_selector(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into());
        self
    }
}

/// One Lease of this crate, as it was when it was read.
///
/// For people and dashboards; nothing in this crate decides by it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeaseRecord {
    /// The name of the lock or election, as its user says it: without the prefix of the handle that made it.
    pub name: String,
    /// The name of the Lease.
    pub lease: String,
    /// The namespace.
    pub namespace: String,
    /// What it is for.
    pub kind: RecordKind,
    /// On a candidate's: the name of the Lease of the election that it stands in.
    pub election: Option<String>,
    /// Who holds it; `None` is free.
    pub holder: Option<String>,
    /// The fencing token of the tenure; `None` where free, or where another program wrote it.
    pub token: Option<Token>,
    /// How long it lives unrenewed.
    pub ttl: Duration,
    /// How long ago it was renewed, by the wall clocks of writer and reader; `None` where it does not say.
    pub renewed_ago: Option<Duration>,
    /// How long ago the tenure began, by the wall clocks of writer and reader; `None` where it does not say.
    pub acquired_ago: Option<Duration>,
    /// How often the holder changed.
    pub transitions: i32,
    /// Its `resourceVersion`: another with each change, renewals too.
    pub version: u64,
    /// Since when a [`RecordWatch`] has seen it unchanged, on its own clock; `None` in a single list, which
    /// cannot judge whether the holder is alive.
    pub unchanged_for: Option<Duration>,
    /// A [`RecordWatch`] has seen it unchanged for its whole time to live, and confirmed that with a fresh list:
    /// whoever wants it may take it.
    pub expired: bool,
    seen: Seen,
}

impl LeaseRecord {
    /// Whether a process holds the record and is alive, as far as this process can know.
    ///
    /// A single list judges by the time that is written in the record, and waits one ttl longer than a contender,
    /// because clocks differ. A [`RecordWatch`] judges so only what its first list contains; everything else is alive
    /// until it has [`expired`](Self::expired).
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.seen.is_alive()
    }

    /// The live candidates of elections among `records`, sorted by namespace, Lease of the election, and id.
    ///
    /// For the candidate that leads it is the record of the election, for any other the candidate's own.
    #[must_use]
    pub fn members(records: &[Self]) -> Vec<&Self> {
        let candidates = records.iter().filter(|record| record.kind != RecordKind::Lock);
        roster::live(candidates.map(|record| (&record.seen, record))).into_values().collect()
    }
}

impl Kubernetes {
    /// Every lock, election and candidate there is, as written: of all applications, **whatever the prefix** of
    /// their handles, so that two of the same `name` may be listed, on different Leases.
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
    pub async fn list_records(&self, options: RecordOptions) -> Result<Vec<LeaseRecord>> {
        let scope = self.scope(options)?;
        Ok(self
            .handle
            .list(&scope)
            .await?
            .iter()
            .filter_map(|seen| lease_record(seen, None))
            .collect())
    }

    /// Follows what [`list_records`](Self::list_records) lists, and judges whether who holds it is alive as a contender
    /// would: on its own clock, by how long it has seen a record unchanged.
    ///
    /// Needs `watch` on leases as well, or lists every 5 s.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and what the server refuses or fails at.
    pub async fn watch_records(&self, options: RecordOptions) -> Result<RecordWatch> {
        Ok(RecordWatch::new(self.handle.observe(self.scope(options)?).await?))
    }

    /// Follows the record of the election `name` and those of its candidates, as [`watch_records`](Self::watch_records)
    /// does: that of a candidate that leads is the election's.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and what the server refuses or fails at.
    pub async fn watch_election(&self, name: &str) -> Result<RecordWatch> {
        let scope = self.handle.elections(None, Some(name))?;
        Ok(RecordWatch::new(self.handle.observe(scope).await?))
    }

    fn scope(&self, options: RecordOptions) -> Result<Scope> {
        let RecordOptions { namespace, all_namespaces, label_selector } = options;
        let namespace = self.handle.namespace(namespace.as_deref())?;
        Ok(Scope::Records((!all_namespaces).then_some(namespace), label_selector.map(Into::into)))
    }

    /// Takes a lock or an election away from whoever holds it, provided that its record is exactly as it was read.
    ///
    /// For operators, where a holder hangs. It is **not** waited for: the holder sees it with its next
    /// renewal, by default within a third of its time to live, and until then somebody else may hold it too.
    /// It is that very Lease, whatever the prefix of this handle.
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
    pub async fn force_release(&self, record: &LeaseRecord) -> Result<bool> {
        let asked = Asked {
            verb: "update",
            resource: LEASES,
            name: Some(&record.lease),
            namespace: &record.namespace,
        };
        let namespace = Namespace::parse(&record.namespace)?;
        let path = path(&namespace, Some(&LeaseName::stored(&record.lease)));
        // With the version it was read in, which makes it conditional.
        let object = codec::freed(&record.seen.entry.found.whole);
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

/// The public form of a record; `now` only if it is watched. `None` for a record of another program.
pub(super) fn lease_record(seen: &Seen, now: Option<Moment>) -> Option<LeaseRecord> {
    let Entry { namespace, lease, kind, name, found } = &seen.entry;
    let (kind, election) = match kind.as_ref()? {
        Kind::Lock => (RecordKind::Lock, None),
        Kind::Election => (RecordKind::Election, None),
        Kind::Candidate(election) => (RecordKind::Candidate, Some(election.to_string())),
    };
    let unchanged_for = now.map(|now| now - seen.since);
    // The age was computed when the record was read: add the time since then.
    let renewed_ago = found.age.map(|age| age + unchanged_for.unwrap_or_default());
    Some(LeaseRecord {
        name: name.clone(),
        lease: lease.to_string(),
        namespace: namespace.to_string(),
        kind,
        election,
        holder: found.record.holder.as_ref().map(ToString::to_string),
        token: found.token().map(Token::new),
        ttl: found.record.lives(),
        renewed_ago,
        acquired_ago: codec::acquired_ago(found),
        transitions: found.record.transitions,
        version: found.version.number.get(),
        unchanged_for,
        expired: seen.expired,
        seen: seen.clone(),
    })
}
