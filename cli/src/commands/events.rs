//! `leasehold watch`: events, which are the differences between two lists of records.

use std::collections::BTreeMap;

use jiff::Timestamp;
use leasehold::{LeaseRecord, RecordKind, Token};
use schemars::JsonSchema;
use serde::Serialize;

use super::query::{Query, changed};
use crate::{
    cli::args::QueryArgs,
    exit::Outcome,
    output::{
        lines::{Line, print},
        rows::{Record, is_alive, is_named},
        table::{Row as _, Tone},
        warn_once::{TOLERANCE, WarnOnce},
    },
};

/// Prints the events of locks and elections until the output is closed.
pub(crate) async fn run(args: QueryArgs) -> Outcome {
    let query = Query::open(args, Record::WHAT).await?;
    let (mut watch, mut diff) = (query.watch().await?, RecordDiff::default());
    let mut warnings = WarnOnce::new(&query.object, TOLERANCE, query.args.report.quiet);
    loop {
        for event in diff.compare(&watch.current(), query.args.name.as_deref()) {
            if !print(&EventLine::now(event, query.args.all_namespaces), query.args.report.output) {
                return Ok(0);
            }
        }
        warnings.update(query.problem(&watch));
        changed(&mut watch).await;
    }
}

/// An event of a lock or an election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RecordEvent {
    pub(crate) event: EventKind,
    /// A lock or an election.
    pub(crate) kind: RecordKind,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The holder or the candidate.
    pub(crate) holder: String,
    /// The fencing token of the tenure that began or ended; null if it is unknown.
    pub(crate) token: Option<Token>,
    /// Why a tenure ended; null for other events.
    pub(crate) why: Option<EndReason>,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventKind {
    /// A process acquired the lock.
    Acquired,
    /// The candidate was elected.
    Elected,
    /// The holder or leader lost its tenure.
    Lost,
    /// A candidate joined.
    Joined,
    /// A candidate left, or did not renew its record for its ttl.
    Left,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EndReason {
    /// The holder released it.
    Released,
    /// It was not renewed for its ttl, by the clock of this process.
    Expired,
    /// Another tenure began.
    Succeeded,
    /// The record was deleted.
    Deleted,
}

/// A line of `watch`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventLine {
    /// When this process observed it, RFC 3339.
    at: String,
    #[serde(flatten)]
    event: RecordEvent,
    /// Whether the text includes the namespace.
    #[serde(skip)]
    everywhere: bool,
}

impl EventLine {
    #[expect(clippy::disallowed_methods, reason = "printed only: no decision uses it")]
    pub(crate) fn now(event: RecordEvent, everywhere: bool) -> Self {
        Self { at: format!("{:.3}", Timestamp::now()), event, everywhere }
    }
}

impl Line for EventLine {
    fn text(&self) -> String {
        let RecordEvent { event, kind, name, namespace, holder: id, token, why } = &self.event;
        let (at, tone) = (&self.at, event.tone().style());
        let event = format!("{event:?}").to_lowercase();
        let kind = if *kind == RecordKind::Lock { "lock" } else { "election" };
        let place = if self.everywhere { format!("{namespace}/") } else { String::new() };
        let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
        let why = why.map(|why| format!(" ({})", format!("{why:?}").to_lowercase()));
        let why = why.unwrap_or_default();
        format!("{at}  {tone}{event:<8}{tone:#}  {kind:<8}  {place}{name}: {id}{token}{why}")
    }
}

impl EventKind {
    const fn tone(self) -> Tone {
        match self {
            Self::Acquired | Self::Elected => Tone::Good,
            Self::Lost => Tone::Bad,
            Self::Joined => Tone::Plain,
            Self::Left => Tone::Quiet,
        }
    }
}

/// The namespace and the name of a Lease.
type LeaseKey = (String, String);

/// The tenures and candidates of the last list.
#[derive(Debug, Default)]
pub(crate) struct RecordDiff {
    /// Each tenure as the event that began it.
    tenures: BTreeMap<LeaseKey, RecordEvent>,
    /// By the key of the election and the id of the candidate.
    candidates: BTreeMap<(LeaseKey, String), RecordEvent>,
    /// Versions of records that were stale in the first list, left by processes that died long ago.
    stale: BTreeMap<LeaseKey, u64>,
    started: bool,
}

impl RecordDiff {
    /// The events since the last call. The first call reports the present state.
    pub(crate) fn compare(
        &mut self,
        records: &[LeaseRecord],
        name: Option<&str>,
    ) -> Vec<RecordEvent> {
        if !std::mem::replace(&mut self.started, true) {
            let stale = records.iter().filter(|record| was_stale(record));
            self.stale = stale.map(|record| (key(record), record.version)).collect();
        }
        let wanted = |record: &&LeaseRecord| {
            name.is_none_or(|name| {
                is_named(record, name) || record.election.as_deref() == Some(name)
            })
        };
        let fresh = |record: &&LeaseRecord| {
            is_alive(record) && self.stale.get(&key(record)) != Some(&record.version)
        };
        let (mut tenures, mut candidates) = (BTreeMap::new(), BTreeMap::new());
        for record in records.iter().filter(wanted).filter(fresh) {
            let id = record.holder.clone().unwrap_or_default();
            let election = record.election.clone().unwrap_or_else(|| record.lease.clone());
            let candidate = ((record.namespace.clone(), election), id);
            match record.kind {
                RecordKind::Lock => drop(tenures.insert(key(record), began_event(record))),
                RecordKind::Election => {
                    tenures.insert(key(record), began_event(record));
                    candidates.insert(candidate, joined_event(record));
                }
                _ => drop(candidates.entry(candidate).or_insert_with(|| joined_event(record))),
            }
        }
        let before = std::mem::replace(&mut self.tenures, tenures);
        let earlier = std::mem::replace(&mut self.candidates, candidates);
        let lost = before.iter().filter_map(|(key, old)| self.lost(key, old, records));
        let joined = self.candidates.iter().filter(|(id, _)| !earlier.contains_key(id));
        let begun = self.tenures.iter().filter(|(key, new)| before.get(*key) != Some(*new));
        let left = earlier.iter().filter(|(id, _)| !self.candidates.contains_key(id));
        let left = left.map(|(_, event)| RecordEvent { event: EventKind::Left, ..event.clone() });
        lost.chain(joined.map(|(_, event)| event.clone()))
            .chain(begun.map(|(_, event)| event.clone()))
            .chain(left)
            .collect()
    }

    fn lost(
        &self,
        at: &LeaseKey,
        old: &RecordEvent,
        records: &[LeaseRecord],
    ) -> Option<RecordEvent> {
        if self.tenures.get(at) == Some(old) {
            return None;
        }
        let why = match records.iter().find(|record| key(record) == *at) {
            None => EndReason::Deleted,
            Some(record) if record.holder.is_none() => EndReason::Released,
            Some(record) if record.expired => EndReason::Expired,
            Some(_) => EndReason::Succeeded,
        };
        Some(RecordEvent { event: EventKind::Lost, why: Some(why), ..old.clone() })
    }
}

/// Whether the present version of the record was already older than two ttls when it was first read.
fn was_stale(record: &LeaseRecord) -> bool {
    let unchanged = record.unchanged_for.unwrap_or_default();
    record.renewed_ago.is_some_and(|ago| ago.saturating_sub(unchanged) > record.ttl * 2)
}

fn key(record: &LeaseRecord) -> LeaseKey {
    (record.namespace.clone(), record.lease.clone())
}

fn began_event(record: &LeaseRecord) -> RecordEvent {
    let event =
        if record.kind == RecordKind::Lock { EventKind::Acquired } else { EventKind::Elected };
    RecordEvent {
        event,
        kind: record.kind,
        name: record.name.clone(),
        namespace: record.namespace.clone(),
        holder: record.holder.clone().unwrap_or_default(),
        token: record.token,
        why: None,
    }
}

fn joined_event(record: &LeaseRecord) -> RecordEvent {
    RecordEvent {
        event: EventKind::Joined,
        kind: RecordKind::Election,
        token: None,
        ..began_event(record)
    }
}
