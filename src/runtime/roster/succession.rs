//! The claims in a queue, each as if it had a record of its own; and which of their sessions are over. For lists and
//! event streams, which people read: no lock and no election depends on it.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

use crate::{
    protocol::{
        queue::{candidate::Candidate, claim::Claim, record::LockRecord},
        record::{Record, Versioned},
        session::SessionId,
    },
    runtime::seen::Seen,
    store::{Entry, Kind, ListedSession},
    util::clock::Moment,
};

/// The sessions that were listed.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    listed: BTreeMap<SessionId, Listed>,
    at: Option<Moment>,
    /// When a list failed after that.
    retried: Option<Moment>,
}

#[derive(Debug)]
struct Listed {
    version: NonZeroU64,
    /// When this process first saw this version.
    since: Moment,
    is_over: bool,
}

impl Sessions {
    /// The sessions that exist now. A session that is missing is over: a claim is made only once its session exists.
    pub(crate) fn update(&mut self, now: Moment, list: Vec<ListedSession>) {
        let mut before = std::mem::take(&mut self.listed);
        for ListedSession { id, version, is_over, age } in list {
            // The first list can judge only by the time that is written in the record: two ttls, the second for clocks
            // that differ. From then on, the clock of this process decides.
            let (since, silent) = match before.remove(&id) {
                Some(known) if known.version == version => {
                    (known.since, known.is_over || now - known.since > id.ttl() * 2)
                }
                Some(_) => (now, false),
                None => (now, age.is_some_and(|age| age > id.ttl() * 2)),
            };
            self.listed.insert(id, Listed { version, since, is_over: is_over || silent });
        }
        (self.at, self.retried) = (Some(now), None);
    }

    /// The list failed: what is known stays, and a while passes before the next one.
    pub(crate) const fn failed(&mut self, now: Moment) {
        self.retried = Some(now);
    }

    /// When the last list was tried.
    pub(crate) const fn at(&self) -> Option<Moment> {
        if self.retried.is_some() { self.retried } else { self.at }
    }

    /// Whether the session is over, as far as the last list shows. A state that is newer than the list is alive.
    fn is_over(&self, session: &SessionId, since: Moment) -> bool {
        match (self.listed.get(session), self.at) {
            (Some(listed), _) => listed.is_over,
            // A session in a namespace of its own is not in the list of this namespace.
            (None, Some(at)) => session.tag().is_none() && since <= at,
            (None, None) => false,
        }
    }
}

/// Whether a record is an election with candidates of sessions.
pub(crate) fn is_queue(entry: &Entry) -> bool {
    let named = |queue: &Arc<LockRecord>| candidates(queue).next().is_some();
    matches!(entry.kind, Some(Kind::Election)) && entry.queue.as_ref().is_some_and(named)
}

/// Whether a record names claims of sessions.
pub(crate) fn names_sessions(entry: &Entry) -> bool {
    let named = |queue: &Arc<LockRecord>| claims(queue).next().is_some();
    entry.queue.as_ref().is_some_and(named)
}

/// The records that stand for `seen` in a list: in an election with a queue, one for each candidate whose session is alive, in the
/// order of succession. The record of the election itself is among them if no candidate leads.
pub(crate) fn expand(seen: &Seen, sessions: &Sessions) -> Vec<Seen> {
    let (Some(queue), true) = (&seen.entry.queue, is_queue(&seen.entry)) else {
        return vec![seen.clone()];
    };
    let is_alive = |claim: &Claim| !sessions.is_over(&claim.session, seen.since);
    let candidates: Vec<_> = candidates(queue).filter(|(claim, ..)| is_alive(claim)).collect();
    let mut all = Vec::new();
    if !candidates.iter().any(|(.., leads)| *leads) {
        // Another elector holds it, or the session of the leader is over, or it is free.
        let expired = seen.expired || queue.foreign.is_none();
        let succession = queue.foreign.is_some().then_some(0);
        let entry = Entry { succession, ..seen.entry.clone() };
        all.push(Seen { entry, expired, ..seen.clone() });
    }
    // The first in the queue is next, also while no candidate leads.
    let (mut next, leader) = (1, 0);
    for (claim, candidate, leads) in candidates {
        let succession = if leads { leader } else { next };
        next += u32::from(!leads);
        let kind = if leads { Kind::Election } else { Kind::Candidate(seen.entry.record.clone()) };
        let entry = entry(&seen.entry, queue, kind, claim, candidate, succession);
        all.push(Seen { entry, expired: false, ..seen.clone() });
    }
    all
}

/// The records that stand for `seen` in a stream of events: as [`expand`], and for a lock with a queue one for each claim
/// whose session is alive. A holder is at place 0.
pub(super) fn expand_all(seen: &Seen, sessions: &Sessions) -> Vec<Seen> {
    let (Some(queue), Some(Kind::Lock)) = (&seen.entry.queue, &seen.entry.kind) else {
        return expand(seen, sessions);
    };
    let mut all = Vec::new();
    if queue.foreign.is_some() {
        all.push(seen.clone());
    }
    let mut next = 1;
    for (claim, holds) in claims(queue) {
        if sessions.is_over(&claim.session, seen.since) {
            continue;
        }
        let place = if holds { 0 } else { next };
        next += u32::from(!holds);
        let holder = Candidate { id: claim.session.to_arc(), payload: None };
        let entry = entry(&seen.entry, queue, Kind::Lock, claim, &holder, place);
        all.push(Seen { entry, expired: false, ..seen.clone() });
    }
    all
}

/// The claims of sessions in order, and whether each holds.
fn claims(queue: &LockRecord) -> impl Iterator<Item = (&Claim, bool)> {
    let holders = queue.line.holders.iter().map(|holder| (&holder.claim, true));
    holders.chain(queue.line.waiting().map(|claim| (claim, false)))
}

/// The candidates of sessions, in the order of succession, and whether each leads.
fn candidates(queue: &LockRecord) -> impl Iterator<Item = (&Claim, &Candidate, bool)> {
    claims(queue)
        .filter_map(|(claim, leads)| Some((claim, queue.line.candidate(claim.nonce)?, leads)))
}

/// The record of one claim in the record `of` a lock or an election.
fn entry(
    of: &Entry,
    queue: &LockRecord,
    kind: Kind,
    claim: &Claim,
    candidate: &Candidate,
    succession: u32,
) -> Entry {
    let record = Record {
        holder: Some(Arc::clone(&candidate.id)),
        nonce: Some(claim.nonce),
        ttl: Some(claim.session.ttl()),
        token: queue.line.token(claim.nonce),
        payload: candidate.payload.clone(),
        transitions: of.found.record.transitions,
        ..Record::default()
    };
    let found = Versioned { record, age: None, ..(*of.found).clone() };
    Entry {
        kind: Some(kind),
        found: Arc::new(found),
        queue: None,
        succession: Some(succession),
        ..of.clone()
    }
}
