//! The one derivation of who holds a lock, who leads, who is a candidate, what changed, and why a tenure ended.
//!
//! For lists and event streams, which people read; no lock depends on it. Pure: it reads no clock and no store.

mod succession;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use self::succession::expand_all;
pub(crate) use self::succession::{Sessions, expand, is_queue, names_sessions};
use crate::{
    Token,
    api::{
        member::{ElectEvent, Member, Role},
        name::{Name, Namespace, RecordName},
        record::{EndReason, RecordEvent, RecordEventKind, RecordKind},
    },
    runtime::seen::Seen,
    store::{Entry, Kind, names::Names},
};

/// A holder, a waiter or a candidate: the namespace and the record of its lock or election, and its identity.
type Key = (Namespace, RecordName, Arc<str>);

/// The live holders and candidates that `records` show. A leader is a candidate: the record of its election counts, and
/// a candidate record that it may still have does not.
///
/// Each record comes with an item, which the result contains in its place.
pub(crate) fn live<'a, T>(records: impl Iterator<Item = (&'a Seen, T)>) -> BTreeMap<Key, T> {
    let mut live = BTreeMap::new();
    for (Seen { entry, .. }, item) in records.filter(|(seen, _)| seen.is_alive()) {
        let (Some(kind), Some(holder)) = (&entry.kind, &entry.found.record.holder) else {
            continue;
        };
        let id = match (kind, entry.found.record.nonce) {
            // A session may hold a lock and wait for it, in two calls.
            (Kind::Lock, Some(nonce)) if entry.succession.is_some() => {
                format!("{holder}/{nonce}").into()
            }
            _ => Arc::clone(holder),
        };
        let key = (entry.namespace.clone(), subject(kind, &entry.record).clone(), id);
        if is_tenure(entry) {
            live.insert(key, item);
        } else {
            live.entry(key).or_insert(item);
        }
    }
    live
}

/// The live members of the elections that a handle with these names has, by election and then in the order of
/// succession, or by id where there is no order.
pub(crate) fn members(names: &dyn Names, records: &[Seen]) -> Vec<Member> {
    let live = live(records.iter().map(|seen| (seen, &seen.entry)));
    let mut members: Vec<_> = live.values().filter_map(|entry| member(names, entry)).collect();
    let place = |member: &Member| member.succession.unwrap_or(u32::MAX);
    members.sort_by(|a, b| {
        (&a.election, place(a), &a.candidate_id).cmp(&(&b.election, place(b), &b.candidate_id))
    });
    members
}

/// The holders, waiters and candidates that were alive at the last update, each with its record.
#[derive(Debug, Default)]
pub(crate) struct Roster(BTreeMap<Key, Entry>);

impl Roster {
    /// The events that lead from the last update to `records`. From nothing at first, so that they report the state.
    ///
    /// A loss comes before the next tenure, and a candidate joins before it is elected and leaves after it has lost. A
    /// waiter joins the queue of a lock, and leaves it unless it gets the lock.
    pub(crate) fn update<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Seen>,
        sessions: &Sessions,
    ) -> Vec<Event> {
        let records: Vec<_> = records.collect();
        let expanded: Vec<_> = records.iter().flat_map(|seen| expand_all(seen, sessions)).collect();
        let now = live(expanded.iter().map(|seen| (seen, seen.entry.clone())));
        let before = std::mem::replace(&mut self.0, now);
        let event = |kind, entry: &Entry, why| {
            let (entry, holders) = (entry.clone(), self.holders(entry));
            Event { kind, entry, why, holders }
        };
        let lost = differing(&before, &self.0, is_tenure, is_same_tenure);
        let joined = in_order(differing(&self.0, &before, is_candidate, |_, _| true));
        let begun = differing(&self.0, &before, is_tenure, |new, old| is_same_tenure(old, new));
        let begun: Vec<_> = begun.collect();
        let left = differing(&before, &self.0, is_candidate, |_, _| true);
        lost.map(|old| event(RecordEventKind::Lost, old, Some(end_reason(old, &records, &begun))))
            .chain(joined.into_iter().map(|new| event(RecordEventKind::Joined, new, None)))
            .chain(begun.iter().map(|new| event(begun_kind(new), new, None)))
            .chain(left.map(|old| event(RecordEventKind::Left, old, None)))
            .collect()
    }

    /// Who holds the lock or election of `entry` now.
    fn holders(&self, entry: &Entry) -> Vec<Arc<str>> {
        let record = entry.kind.as_ref().map_or(&entry.record, |kind| subject(kind, &entry.record));
        let first = (entry.namespace.clone(), record.clone(), "".into());
        let same = self
            .0
            .range(first..)
            .take_while(|((namespace, of, _), _)| *namespace == entry.namespace && of == record);
        let holders = same.filter(|(_, entry)| is_tenure(entry));
        holders.filter_map(|(_, entry)| entry.found.record.holder.clone()).collect()
    }
}

/// The records of this `kind` among `these` whose key `others` does not have, or with a record that is not the same.
fn differing<'a>(
    these: &'a BTreeMap<Key, Entry>,
    others: &'a BTreeMap<Key, Entry>,
    kind: fn(&Entry) -> bool,
    same: fn(&Entry, &Entry) -> bool,
) -> impl Iterator<Item = &'a Entry> {
    let differs = move |key, this| others.get(key).is_none_or(|other| !same(this, other));
    let found = these.iter().filter(move |(key, this)| kind(this) && differs(*key, *this));
    found.map(|(_, entry)| entry)
}

/// In the order of the queue of each lock and each election, or by identity where there is none.
fn in_order<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a Entry> {
    fn place(entry: &Entry) -> (&Namespace, Option<&RecordName>, u32) {
        let record = entry.kind.as_ref().map(|kind| subject(kind, &entry.record));
        (&entry.namespace, record, entry.succession.unwrap_or(u32::MAX))
    }
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by(|a, b| place(a).cmp(&place(b)));
    entries
}

const fn begun_kind(entry: &Entry) -> RecordEventKind {
    if is_candidate(entry) { RecordEventKind::Elected } else { RecordEventKind::Acquired }
}

/// Why the tenure that `old` shows has ended. `begun`: the tenures that begin in the same update.
fn end_reason(old: &Entry, records: &[&Seen], begun: &[&Entry]) -> EndReason {
    match records.iter().find(|seen| seen.entry.place() == old.place()) {
        None => EndReason::Deleted,
        Some(seen) if seen.entry.found.record.is_free() => EndReason::Released,
        Some(seen) if seen.expired || still_names(&seen.entry, old) => EndReason::Expired,
        Some(seen)
            if is_shared(&seen.entry) && begun.iter().all(|new| new.place() != old.place()) =>
        {
            EndReason::Released
        }
        Some(_) => EndReason::Succeeded,
    }
}

/// Whether sessions hold the lock, of which others may stay when one releases it.
fn is_shared(lock: &Entry) -> bool {
    lock.queue.as_ref().is_some_and(|queue| queue.foreign.is_none())
}

/// Whether the record still names the tenure that `old` shows: its session is over, and no process has noticed.
fn still_names(election: &Entry, old: &Entry) -> bool {
    let Some(queue) = &election.queue else { return false };
    queue.line.holders.iter().any(|holder| Some(holder.claim.nonce) == old.found.record.nonce)
}

/// The record of the lock or election that a record of this kind belongs to.
const fn subject<'a>(kind: &'a Kind, record: &'a RecordName) -> &'a RecordName {
    match kind {
        Kind::Candidate(election) => election,
        Kind::Lock | Kind::Election => record,
    }
}

const fn is_tenure(entry: &Entry) -> bool {
    matches!(entry.kind, Some(Kind::Lock | Kind::Election)) && !is_waiter(entry)
}

/// A candidate in an election, or a waiter in the queue of a lock.
const fn is_candidate(entry: &Entry) -> bool {
    matches!(entry.kind, Some(Kind::Election | Kind::Candidate(_))) || is_waiter(entry)
}

/// A waiter in the queue of a lock.
const fn is_waiter(entry: &Entry) -> bool {
    matches!((&entry.kind, entry.succession), (Some(Kind::Lock), Some(1..)))
}

/// Whether both show a tenure, and the same one. The holder is the same: it is in the key.
fn is_same_tenure(old: &Entry, new: &Entry) -> bool {
    is_tenure(old) && is_tenure(new) && old.found.is_same_tenure(&new.found)
}

/// The member that a record shows, if a handle with these names calls its election so: two applications may each have
/// their `leader`.
fn member(names: &dyn Names, entry: &Entry) -> Option<Member> {
    let (kind, role) = match entry.kind.as_ref()? {
        Kind::Lock => return None,
        kind @ Kind::Election => (kind, Role::Leader),
        kind @ Kind::Candidate(_) => (kind, Role::Follower),
    };
    let name = Name::parse("election name", &entry.name).ok()?;
    (names.of(&name) == *subject(kind, &entry.record)).then_some(())?;
    Some(Member {
        election: entry.name.clone(),
        candidate_id: entry.found.record.holder.as_deref()?.into(),
        role,
        namespace: entry.namespace.to_string(),
        token: entry.found.token().filter(|_| role == Role::Leader).map(Token::new),
        payload: entry.found.record.payload.as_deref().map(Into::into),
        succession: entry.succession,
    })
}

/// What happened to a holder or a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    kind: RecordEventKind,
    /// Its record: the last one that showed it alive.
    entry: Entry,
    why: Option<EndReason>,
    /// The holders after the update.
    holders: Vec<Arc<str>>,
}

impl Event {
    /// As an event of an election that a handle with these names has.
    pub(crate) fn election(&self, names: &dyn Names) -> Option<ElectEvent> {
        let event = match self.kind {
            RecordEventKind::Acquired => return None,
            RecordEventKind::Elected => ElectEvent::Elected,
            RecordEventKind::Lost => ElectEvent::Lost,
            RecordEventKind::Joined => ElectEvent::Joined,
            RecordEventKind::Left => ElectEvent::Left,
        };
        member(names, &self.entry).map(event)
    }
}

impl From<Event> for RecordEvent {
    fn from(Event { kind: event, entry, why, holders }: Event) -> Self {
        let is_lock = matches!(entry.kind, Some(Kind::Lock));
        let kind = if is_lock { RecordKind::Lock } else { RecordKind::Election };
        let of_tenure = !matches!(event, RecordEventKind::Joined | RecordEventKind::Left);
        let record = entry.kind.as_ref().map_or(&entry.record, |kind| subject(kind, &entry.record));
        Self {
            event,
            kind,
            lease: record.to_string(),
            namespace: entry.namespace.to_string(),
            holder: entry.found.record.holder.as_deref().unwrap_or_default().into(),
            token: entry.found.token().filter(|_| of_tenure).map(Token::new),
            why,
            place: entry.succession.filter(|&place| place > 0 && !of_tenure),
            holders: holders.iter().map(ToString::to_string).collect(),
            name: entry.name,
        }
    }
}
