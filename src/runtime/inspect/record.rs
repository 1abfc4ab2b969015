//! A record for people, and which records they select.

use std::{sync::Arc, time::Duration};

use super::{Inspector, watch::RecordWatch};
use crate::{
    LockQueue, Token,
    api::{
        error::{Error, Result},
        name::Name,
        record::{NotBefore, RecordKind},
    },
    protocol::record::Versioned,
    runtime::{roster, seen::Seen, session::calls::queue_of},
    store::{
        Entry, Kind, Scope,
        inspect::{Description, InspectStore},
    },
    util::{clock::Moment, environment},
};

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
    /// The name of the only record to read. `None` is every record of this crate.
    pub lease: Option<String>,
}

impl RecordOptions {
    /// The namespace of the records. Defaults to the namespace of the handle.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Selects records of all namespaces. On Kubernetes a `ClusterRole` must allow this, on etcd a role for the whole prefix
    /// of the keys.
    #[must_use]
    pub const fn all_namespaces(mut self) -> Self {
        self.all_namespaces = true;
        self
    }

    /// Selects only Leases with these labels. The syntax is that of `kubectl -l`, for example `team=shop`. Records in etcd
    /// have no labels, so there it is refused.
    #[must_use]
    pub fn label_selector(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into());
        self
    }

    /// Selects one record by its name, as [`Inspect::record_name`](crate::Inspect::record_name) returns it.
    ///
    /// On Kubernetes a list then needs only the verb `get` on this Lease, and a watch `list` and `watch`, so a Role with
    /// `resourceNames` is enough. Without `list` or `watch` a watch reads the Lease every 5 s. On etcd a permission for
    /// this key is enough.
    ///
    /// The records of candidates are others. So the record of an election says who leads, but not who the other
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

/// One record of this crate, as it was when it was read.
///
/// It is for people and dashboards. This crate makes no decision from it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeaseRecord {
    /// The name of the lock or election, without the prefix of the handle that made it.
    pub name: String,
    /// The name of the Lease, or the last part of the key.
    pub lease: String,
    /// The namespace of the record.
    pub namespace: String,
    /// The purpose of the record.
    pub kind: RecordKind,
    /// For a candidate: the name of the record of its election.
    pub election: Option<String>,
    /// The identity of the holder. `None` if the record is free.
    pub holder: Option<String>,
    /// The fencing token of the tenure. `None` if the record is free, or if another program wrote it. `None` also until
    /// the first renewal states it, except in a [`RecordWatch`] that saw the claim. With sessions it is the token of the
    /// first holder, and `None` until its session has stated it: see [`QueueEntry::token`](crate::QueueEntry::token).
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
    /// The version: the `resourceVersion`, or the revision of the last write. It grows with each change, including renewals.
    pub version: u64,
    /// How long a [`RecordWatch`] has seen the record unchanged, on the clock of this process. `None` in a single
    /// list, which cannot judge whether the holder is alive.
    pub unchanged_for: Option<Duration>,
    /// A [`RecordWatch`] has seen the record unchanged for its whole time to live, and has confirmed that with a new
    /// list. Other processes may now take the record.
    pub expired: bool,
    /// The record as it was observed. It is the base of a conditional write.
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

    /// The live candidates of elections among `records`, sorted by namespace, record of the election, and then in the order
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

impl Inspector {
    /// See [`Inspect::record_name`](crate::Inspect::record_name).
    pub(crate) fn record_name(&self, name: &str) -> Result<String> {
        let name = Name::parse("lock or election name", name)?;
        Ok(self.handle.record_name(&name).to_string())
    }

    /// See [`Inspect::list_records`](crate::Inspect::list_records).
    pub(crate) async fn list_records(&self, options: RecordOptions) -> Result<Vec<LeaseRecord>> {
        let records = self.handle.list_candidates(&self.scope(options)?).await?;
        Ok(self.public(&records))
    }

    /// The records as they are stored: one for each Lease or key.
    pub(super) async fn stored_records(&self, options: RecordOptions) -> Result<Vec<LeaseRecord>> {
        let records = self.handle.list(&self.scope(options)?).await?;
        Ok(self.public(&records))
    }

    fn public(&self, records: &[Seen]) -> Vec<LeaseRecord> {
        records.iter().filter_map(|seen| lease_record(&*self.store, seen, None)).collect()
    }

    /// See [`Inspect::watch_records`](crate::Inspect::watch_records).
    pub(crate) async fn watch_records(&self, options: RecordOptions) -> Result<RecordWatch> {
        self.watch(self.scope(options)?).await
    }

    /// See [`Inspect::watch_election`](crate::Inspect::watch_election).
    pub(crate) async fn watch_election(&self, name: &str) -> Result<RecordWatch> {
        self.watch(self.handle.elections(None, Some(name))?).await
    }

    async fn watch(&self, scope: Scope) -> Result<RecordWatch> {
        let observer = self.handle.observe(scope).await?;
        Ok(RecordWatch::new(observer, Arc::clone(&self.store)))
    }

    fn scope(&self, options: RecordOptions) -> Result<Scope> {
        let RecordOptions { namespace, all_namespaces, label_selector, lease } = options;
        let namespace = self.handle.namespace(namespace.as_deref())?;
        label_selector.iter().try_for_each(|labels| self.store.check_labels(labels))?;
        if let Some(lease) = lease {
            let unusable = |bound| Error::invalid("record name", &lease, bound);
            if all_namespaces || label_selector.is_some() {
                return Err(unusable(
                    "one record has one namespace, and is selected without labels",
                ));
            }
            return Ok(Scope::Record(namespace, self.store.names().record(&lease)?));
        }
        Ok(Scope::Records((!all_namespaces).then_some(namespace), label_selector.map(Into::into)))
    }

    /// See [`Inspect::force_release`](crate::Inspect::force_release).
    pub(crate) async fn force_release(&self, record: &LeaseRecord) -> Result<bool> {
        let Entry { namespace, record: lease, found, .. } = &record.seen.entry;
        self.in_time(self.store.release(namespace, lease, found)).await
    }
}

/// The public form of a record; `now` only if it is watched. `None` for a record of another program.
pub(super) fn lease_record(
    store: &dyn InspectStore,
    seen: &Seen,
    now: Option<Moment>,
) -> Option<LeaseRecord> {
    let Entry { namespace, record: lease, kind, name, found, succession, queue, .. } = &seen.entry;
    let token = found.token().or_else(|| queue.as_ref()?.token());
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
    let Description { acquired_ago, queue } = store.describe(found);
    let queue = queue.map(|record| queue_of(&record));
    Some(LeaseRecord {
        name: name.clone(),
        lease: lease.to_string(),
        namespace: namespace.to_string(),
        kind,
        election,
        holder: found.record.holder.as_ref().map(ToString::to_string),
        token: token.map(Token::new),
        ttl: found.record.lives(),
        renewed_ago,
        acquired_ago,
        not_before: not_before(found),
        queue: queue.filter(|queue| *queue != LockQueue::default()),
        payload: found.record.payload.as_ref().map(ToString::to_string),
        succession: *succession,
        transitions: found.record.transitions,
        version: found.version.number.get(),
        unchanged_for,
        expired: seen.expired,
        seen: seen.clone(),
    })
}

/// The time before which no other tenure may begin, if the wall clock shows that it has not passed and may be right.
fn not_before(found: &Versioned) -> Option<NotBefore> {
    let not_before = found.record.not_before.as_deref()?;
    let ahead = not_before.time.duration_since(environment::wall_clock()).unwrap_or_default();
    let counts = !ahead.is_zero() && ahead <= not_before.length * 2;
    counts.then(|| not_before.clone())
}
