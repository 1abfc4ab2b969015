//! Tools for operators: list the records, watch them, and release a lock by force.

use std::time::Duration;

use kube::api::PostParams;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    BACKEND, Kubernetes, codec,
    error::{RequestContext, RequestFailure},
    http::{BuiltRequest, LEASES, leases},
    record_watch::RecordWatch,
    sessions,
};
use crate::{
    LockQueue, Token,
    api::{
        error::{Error, Result},
        name::{LeaseName, Namespace, is_subdomain},
        record::{NotBefore, RecordKind},
    },
    runtime::{roster, seen::Seen},
    store::{Entry, Kind, Scope},
    util::clock::Moment,
};

/// The maximum time of one request. It can be generous, because no tenure depends on it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Selects the records to list or to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordOptions {
    /// The namespace of the records. `None` is the namespace of the handle.
    pub namespace: Option<String>,
    /// Selects records of all namespaces. `namespace` is then ignored.
    pub all_namespaces: bool,
    /// A label selector that restricts the records further, in the syntax of `kubectl -l`.
    pub label_selector: Option<String>,
    /// The name of the only Lease to read. `None` is every Lease of this crate.
    pub lease: Option<String>,
}

impl RecordOptions {
    /// The namespace of the records. Defaults to the namespace of the handle.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Selects records of all namespaces of the cluster. A `ClusterRole` must allow this.
    #[must_use]
    pub const fn all_namespaces(mut self) -> Self {
        self.all_namespaces = true;
        self
    }

    /// Selects only Leases with these labels. The syntax is that of `kubectl -l`, for example `team=shop`.
    #[must_use]
    pub fn label_selector(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into());
        self
    }

    /// Selects one Lease by its name, as [`Kubernetes::lease_name`] returns it.
    ///
    /// A list then needs only the verb `get` on this Lease, and a watch `list` and `watch`, so a Role with
    /// `resourceNames` is enough. Without `list` or `watch` a watch reads the Lease every 5 s.
    ///
    /// The records of candidates are other Leases. So the record of an election says who leads, but not who the other
    /// candidates are, and a watch reports neither [`Joined`](crate::RecordEventKind::Joined) nor
    /// [`Left`](crate::RecordEventKind::Left) of an election.
    ///
    /// It cannot be combined with `all_namespaces` or a label selector.
    #[must_use]
    pub fn lease(mut self, name: impl Into<String>) -> Self {
        self.lease = Some(name.into());
        self
    }
}

/// One Lease of this crate, as it was when it was read.
///
/// It is for people and dashboards. This crate makes no decision from it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeaseRecord {
    /// The name of the lock or election, without the prefix of the handle that made it.
    pub name: String,
    /// The name of the Lease.
    pub lease: String,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The purpose of the record.
    pub kind: RecordKind,
    /// For a candidate: the name of the Lease of its election.
    pub election: Option<String>,
    /// The identity of the holder. `None` if the record is free.
    pub holder: Option<String>,
    /// The fencing token of the tenure. `None` if the record is free, or if another program wrote it. `None` also until
    /// the first renewal states it, except in a [`RecordWatch`] that saw the claim.
    pub token: Option<Token>,
    /// How long other processes must see no renewal before they may take the record.
    pub ttl: Duration,
    /// The time since the last renewal, from the wall clocks of the writer and of this process. `None` if the record
    /// has no renewal time.
    pub renewed_ago: Option<Duration>,
    /// The time since the tenure began, from the wall clocks of the writer and of this process. `None` if the record
    /// has no such time.
    pub acquired_ago: Option<Duration>,
    /// Before which time no other tenure may begin, although the record may be free. `None` if there is no such time, or
    /// if it has passed by the wall clock of this process.
    pub not_before: Option<NotBefore>,
    /// The holders and the waiters, if sessions hold the lock or wait for it. `holder` is then a session.
    pub queue: Option<LockQueue>,
    /// The text that the candidate was started with: see [`LeaderOptions::payload`](crate::LeaderOptions::payload).
    pub payload: Option<String>,
    /// The place in the order of succession, in an election that is a queue: see
    /// [`Member::succession`](crate::Member::succession).
    pub succession: Option<u32>,
    /// How often the holder has changed.
    pub transitions: i32,
    /// The `resourceVersion`. It grows with each change, including renewals.
    pub version: u64,
    /// How long a [`RecordWatch`] has seen the record unchanged, on the clock of this process. `None` in a single
    /// list, which cannot judge whether the holder is alive.
    pub unchanged_for: Option<Duration>,
    /// A [`RecordWatch`] has seen the record unchanged for its whole time to live, and has confirmed that with a new
    /// list. Other processes may now take the record.
    pub expired: bool,
    /// The record as it was observed. Its object is the base of a conditional write.
    pub(super) seen: Seen,
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

    /// The live candidates of elections among `records`, sorted by namespace, Lease of the election, and then in the order
    /// of succession, or by id where there is no order.
    ///
    /// For the candidate that leads it is the record of the election, for any other the candidate's own.
    #[must_use]
    pub fn members(records: &[Self]) -> Vec<&Self> {
        let candidates = records.iter().filter(|record| record.kind != RecordKind::Lock);
        let live = roster::live(candidates.map(|record| (&record.seen, record)));
        let mut members: Vec<_> = live.into_values().collect();
        let election = |member: &Self| member.election.clone().unwrap_or(member.lease.clone());
        members.sort_by_cached_key(|member| {
            let place = member.succession.unwrap_or(u32::MAX);
            (member.namespace.clone(), election(member), place)
        });
        members
    }
}

impl Kubernetes {
    /// Lists every lock, election and candidate, of all applications and **with any prefix**.
    /// Two records with the same `name` may be listed, on different Leases.
    ///
    /// In an election that is a queue, each candidate is a record, although all of them are in one Lease. Whether their
    /// sessions are alive needs one list more.
    ///
    /// Requires the verb `list` on leases, or `get` on one Lease for [`RecordOptions::lease`]. Leases of other programs
    /// are not listed.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the API server.
    ///
    /// # Cancel safety
    ///
    /// The request only reads, so the future may be dropped.
    pub async fn list_records(&self, options: RecordOptions) -> Result<Vec<LeaseRecord>> {
        let records = self.handle.list_candidates(&self.scope(options)?).await?;
        Ok(records.iter().filter_map(|seen| lease_record(seen, None)).collect())
    }

    /// The records as they are stored: one for each Lease.
    pub(super) async fn stored_records(&self, options: RecordOptions) -> Result<Vec<LeaseRecord>> {
        let records = self.handle.list(&self.scope(options)?).await?;
        Ok(records.iter().filter_map(|seen| lease_record(seen, None)).collect())
    }

    /// Watches the records that [`list_records`](Self::list_records) lists, and judges whether their holders are alive.
    /// It judges as a contender does: by how long a record has been unchanged on the clock of this process.
    ///
    /// Requires the verb `list` on leases, and `watch`. Without `watch` it lists every 5 s. For
    /// [`RecordOptions::lease`] the verbs are required on that Lease only.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the API server.
    pub async fn watch_records(&self, options: RecordOptions) -> Result<RecordWatch> {
        Ok(RecordWatch::new(self.handle.observe(self.scope(options)?).await?))
    }

    /// Watches the record of the election `name` and the records of its candidates, as
    /// [`watch_records`](Self::watch_records) does. For the candidate that leads, read the record of the election.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the API server.
    pub async fn watch_election(&self, name: &str) -> Result<RecordWatch> {
        let scope = self.handle.elections(None, Some(name))?;
        Ok(RecordWatch::new(self.handle.observe(scope).await?))
    }

    fn scope(&self, options: RecordOptions) -> Result<Scope> {
        let RecordOptions { namespace, all_namespaces, label_selector, lease } = options;
        let namespace = self.handle.namespace(namespace.as_deref())?;
        if let Some(lease) = lease {
            let unusable = |bound| Error::invalid("Lease name", &lease, bound);
            if all_namespaces || label_selector.is_some() {
                return Err(unusable(
                    "one Lease has one namespace, and is selected without labels",
                ));
            }
            if !is_subdomain(&lease) {
                return Err(unusable(
                    "it is no DNS-1123 name. `Kubernetes::lease_name` returns the name of a Lease",
                ));
            }
            return Ok(Scope::Record(namespace, LeaseName::stored(&lease)));
        }
        Ok(Scope::Records((!all_namespaces).then_some(namespace), label_selector.map(Into::into)))
    }

    /// Releases a lock or an election without its holder, if the record is still exactly as it was read. Also removes the
    /// time before which no other tenure may begin, so that the next one may begin at once.
    ///
    /// It is for operators, for a holder that hangs. The prefix of this handle is ignored: `record` names the Lease.
    ///
    /// **Two holders.** The call does not wait for the holder. The holder notices at its next renewal, by default
    /// within a third of its time to live. Until then another process may hold the lock too.
    ///
    /// Returns false, and changes nothing, if the record has changed since it was read.
    ///
    /// # Errors
    ///
    /// The error of the API server. After [`Error::Unavailable`](crate::Error::Unavailable) the outcome is unknown: the
    /// record may be released.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the outcome is unknown: the record may be released.
    pub async fn force_release(&self, record: &LeaseRecord) -> Result<bool> {
        let context = RequestContext {
            verb: "update",
            resource: LEASES,
            name: Some(&record.lease),
            namespace: &record.namespace,
        };
        let namespace = Namespace::parse(&record.namespace)?;
        // The object contains the version in which it was read, so the write is conditional on that version.
        let object = codec::released(&record.seen.entry.found.whole).to_string().into_bytes();
        let request =
            leases(Some(&namespace)).replace(&record.lease, &PostParams::default(), object);
        match self.send_in_time(request, &context).await? {
            Ok(_) => Ok(true),
            Err(RequestFailure::Conflict | RequestFailure::NotFound) => Ok(false),
            Err(other) => Err(other.into_error(&context)),
        }
    }

    /// Sends one request, and abandons it after [`REQUEST_TIMEOUT`].
    pub(super) async fn send_in_time(
        &self,
        request: BuiltRequest,
        context: &RequestContext<'_>,
    ) -> Result<Result<Value, RequestFailure>> {
        let response = timeout(REQUEST_TIMEOUT, self.http.send(request, context)).await;
        response.map_err(|late| Error::unavailable(BACKEND, late))
    }
}

/// The public form of a record; `now` only if it is watched. `None` for a record of another program.
pub(super) fn lease_record(seen: &Seen, now: Option<Moment>) -> Option<LeaseRecord> {
    let Entry { namespace, lease, kind, name, found, succession, .. } = &seen.entry;
    let (kind, election) = match kind.as_ref()? {
        Kind::Lock => (RecordKind::Lock, None),
        Kind::Election => (RecordKind::Election, None),
        Kind::Candidate(election) => (RecordKind::Candidate, Some(election.to_string())),
    };
    // A candidate in a queue is not renewed: its session is.
    let queued = succession.is_some() && found.age.is_none();
    let unchanged_for = now.filter(|_| !queued).map(|now| now - seen.since);
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
        not_before: codec::not_before(found),
        queue: sessions::codec::queue(found),
        payload: found.record.payload.as_ref().map(ToString::to_string),
        succession: *succession,
        transitions: found.record.transitions,
        version: found.version.number.get(),
        unchanged_for,
        expired: seen.expired,
        seen: seen.clone(),
    })
}
