//! The rows of `leasehold status` and `leasehold members`: as JSON objects and as cells of a table.

use std::time::Duration;

use leasehold::{LeaseRecord, RecordKind, SessionInfo, Token};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    queue::{sessions, sharing},
    table::{Cell, Row, Tone},
};
use crate::clock::in_seconds;

/// A lock or an election, as its record describes it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The name of the Lease, or the last part of the key in etcd.
    pub(crate) lease: String,
    pub(crate) kind: RecordKind,
    pub(crate) state: State,
    /// The holder; null if it is free.
    pub(crate) holder: Option<String>,
    /// The fencing token of the tenure; null if the record is free, if another program wrote it, or
    /// until the first renewal states it.
    pub(crate) token: Option<Token>,
    /// The ttl: how long the tenure lasts without a renewal, in seconds.
    pub(crate) ttl_seconds: u64,
    /// How long ago the tenure began, in seconds, by the wall clocks of the holder and of this host.
    pub(crate) held_seconds: Option<u64>,
    /// How long ago it, or the session of its holder, was renewed, in seconds, by the wall clocks of the holder and of
    /// this host.
    pub(crate) renewed_seconds: Option<u64>,
    /// With --watch: for how many seconds no other process may take it if it is not renewed, by the clock of this
    /// process. Null without --watch, because a single read cannot know it.
    pub(crate) left_seconds: Option<u64>,
    /// Before which time no other run may start, although the lock may be free, by the wall clocks of the holder and of
    /// this host; null if there is no such time, or if it has passed.
    pub(crate) not_before: Option<String>,
    /// The holder that has set `not_before`, with --at-least.
    pub(crate) not_before_holder: Option<String>,
    /// How often the holder has changed.
    pub(crate) transitions: i32,
    /// The number of candidates, including the leader; null for a lock, and if only the Lease of NAME may be read.
    pub(crate) candidates: Option<usize>,
    /// The number of candidates that do not lead, or of the waiters in the queue of a lock; null for a lock without a
    /// queue, because a waiter has no record then, and for an election if only the Lease of NAME may be read.
    pub(crate) waiting: Option<usize>,
    /// How the holders share the lock: shared, or one of so many slots. Null for any other lock.
    pub(crate) sharing: Option<String>,
    /// The sessions that hold the lock, in the order in which they came; null without sessions.
    pub(crate) holders: Option<Vec<String>>,
    /// The sessions that wait for the lock, in order; null without sessions.
    pub(crate) queue: Option<Vec<String>>,
}

/// The state of a lock or an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// No process holds it. A run may start unless `not_before` is set.
    Free,
    /// A process holds it, as far as this process can know.
    Held,
    /// The last renewal is longer ago than the ttl: the holder is dead, or a clock is wrong. With --watch only for the
    /// locks of sessions.
    Overdue,
    /// With --watch: the record did not change for its whole ttl, and a fresh list has confirmed it.
    Expired,
    /// With --watch: no renewal was seen in time, but the server does not answer.
    Unknown,
    /// With --watch: the record was deleted.
    Gone,
}

impl Record {
    /// `members`: the live candidates of all elections.
    fn new(record: &LeaseRecord, members: &[&LeaseRecord]) -> Self {
        let secs = |duration: Duration| duration.as_secs();
        let held = record.holder.as_ref();
        let left = record.unchanged_for.map(|unchanged| record.ttl.saturating_sub(unchanged));
        let is_election = record.kind == RecordKind::Election;
        let queue = record.queue.as_ref();
        // The record of such a lock is not renewed: its session is.
        let is_renewed = held.is_some() && queue.is_none_or(|queue| queue.holders.is_empty());
        let here = |member: &&&LeaseRecord| {
            member.namespace == record.namespace && election_lease(member) == record.lease
        };
        let candidates: Vec<_> = members.iter().filter(here).collect();
        let waiting = candidates.iter().filter(|member| member.kind == RecordKind::Candidate);
        Self {
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            lease: record.lease.clone(),
            kind: record.kind,
            state: State::of(record),
            holder: held.cloned(),
            token: record.token,
            ttl_seconds: secs(record.ttl),
            held_seconds: record.acquired_ago.filter(|_| held.is_some()).map(secs),
            renewed_seconds: record.renewed_ago.filter(|_| is_renewed).map(secs),
            left_seconds: left.filter(|_| is_renewed).map(secs),
            not_before: record.not_before.as_ref().map(|stated| in_seconds(stated.time)),
            not_before_holder: record.not_before.as_ref().map(|stated| stated.holder.clone()),
            transitions: record.transitions,
            candidates: is_election.then_some(candidates.len()),
            waiting: match queue {
                Some(queue) if !is_election => Some(queue.waiters.len()),
                _ => is_election.then_some(waiting.count()),
            },
            sharing: queue.and_then(sharing),
            holders: queue.map(|queue| sessions(&queue.holders)),
            queue: queue.map(|queue| sessions(&queue.waiters)),
        }
    }

    /// The row after the record was released.
    pub(crate) fn released(record: &LeaseRecord, all: &[LeaseRecord]) -> Self {
        let others = all.iter().filter(|other| other.lease != record.lease);
        let others: Vec<_> = others.cloned().collect();
        let mut released = record.clone();
        (released.holder, released.token, released.not_before) = (None, None, None);
        released.queue = None;
        Self::new(&released, &LeaseRecord::members(&others))
    }

    /// Before which time no run may start, although the record is free.
    fn closed_until(&self) -> Option<&str> {
        self.not_before.as_deref().filter(|_| self.state == State::Free)
    }
}

impl State {
    fn of(record: &LeaseRecord) -> Self {
        let late = |ago: Option<Duration>| ago.is_some_and(|ago| ago >= record.ttl);
        match record.unchanged_for {
            _ if record.holder.is_none() => Self::Free,
            Some(_) if record.expired => Self::Expired,
            None if late(record.renewed_ago) => Self::Overdue,
            _ => Self::Held,
        }
    }
}

/// Whether `name` is the name of the lock or election, or of its Lease.
fn is_named(record: &LeaseRecord, name: &str) -> bool {
    record.name == name || election_lease(record) == name
}

/// The Lease of the lock or election that the record belongs to.
fn election_lease(record: &LeaseRecord) -> &str {
    record.election.as_deref().unwrap_or(&record.lease)
}

impl Row for Record {
    const WHAT: &'static str = "lock or election";
    const ALONE: bool = true;

    fn rows(records: &[LeaseRecord], name: Option<&str>) -> Vec<Self> {
        let mine = |record: &&LeaseRecord| {
            record.kind != RecordKind::Candidate && name.is_none_or(|name| is_named(record, name))
        };
        let members = LeaseRecord::members(records);
        records.iter().filter(mine).map(|record| Self::new(record, &members)).collect()
    }

    fn head(watched: bool) -> Vec<&'static str> {
        let time = if watched { "LEFT" } else { "RENEWED" };
        vec![
            "NAMESPACE",
            "NAME",
            "KIND",
            "STATE",
            time,
            "HOLDER",
            "TOKEN",
            "AGE",
            "CANDIDATES",
            "WAITING",
            "TRANSITIONS",
        ]
    }

    fn cells(&self, watched: bool) -> Vec<Cell> {
        let of_ttl = |text: String| format!("{text} of {}s", self.ttl_seconds);
        let time = if let Some(time) = self.closed_until() {
            Some(format!("not before {time}"))
        } else if watched {
            self.left_seconds.map(|left| of_ttl(format!("{left}s")))
        } else {
            self.renewed_seconds.map(|ago| of_ttl(format!("{} ago", brief(ago))))
        };
        let kind = if self.kind == RecordKind::Lock { "lock" } else { "election" };
        let (state, tone) = match self.state {
            State::Free => ("free", Tone::Quiet),
            State::Held => ("held", Tone::Good),
            State::Overdue => ("overdue", Tone::Doubtful),
            State::Expired => ("expired", Tone::Bad),
            State::Unknown => ("unknown", Tone::Doubtful),
            State::Gone => ("gone", Tone::Quiet),
        };
        vec![
            self.namespace.as_str().into(),
            self.name.as_str().into(),
            kind.into(),
            Cell {
                text: match &self.sharing {
                    Some(sharing) if self.state != State::Free => format!("{state}, {sharing}"),
                    _ => state.into(),
                },
                tone,
            },
            shown(time.as_ref()).into(),
            self.holder.as_deref().unwrap_or("-").into(),
            shown(self.token.as_ref()).into(),
            shown(self.held_seconds.map(brief).as_ref()).into(),
            match self.candidates {
                None if self.kind == RecordKind::Election => "?".into(),
                candidates => shown(candidates.as_ref()).into(),
            },
            self.waiting.map_or_else(|| "?".into(), |waiting| waiting.to_string()).into(),
            self.transitions.to_string().into(),
        ]
    }

    fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.lease)
    }

    fn summary(&self) -> String {
        let Self { state, holder, token, transitions, candidates, waiting, sharing, .. } = self;
        let closed = self.closed_until();
        format!(
            "{state:?} {holder:?} {token:?} {transitions} {candidates:?} {waiting:?} {closed:?} {sharing:?}"
        )
    }

    fn mark_stale(&mut self) {
        if self.state == State::Held && self.left_seconds == Some(0) {
            self.state = State::Unknown;
        }
    }

    fn needs_sessions(&self) -> bool {
        self.is_held_by_sessions()
    }

    fn judge(&mut self, sessions: &[SessionInfo]) {
        self.judge_by(sessions);
    }

    fn hide_candidates(&mut self) {
        (self.candidates, self.waiting) = (None, None);
    }

    fn removed(self) -> Self {
        let (candidates, waiting) = (self.candidates.map(|_| 0), self.waiting.map(|_| 0));
        Self {
            state: State::Gone,
            holder: None,
            token: None,
            not_before: None,
            not_before_holder: None,
            candidates,
            waiting,
            sharing: None,
            holders: None,
            queue: None,
            ..self
        }
    }
}

/// A candidate of an election.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the JSON keys")]
pub(crate) struct Candidate {
    pub(crate) election: String,
    pub(crate) namespace: String,
    pub(crate) candidate_id: String,
    pub(crate) role: Role,
    /// The fencing token of the tenure, if the candidate leads; null until the first renewal states it.
    pub(crate) token: Option<Token>,
    /// The text that the candidate was started with, with --payload; null without one.
    pub(crate) payload: Option<String>,
    /// The place in the order of succession, with --queue: 0 leads, 1 is next. Null without a queue.
    pub(crate) succession: Option<u32>,
    /// How long ago its record was renewed, in seconds, by the wall clocks of the candidate and of this host. Null with
    /// a queue, where the session is renewed.
    pub(crate) renewed_seconds: Option<u64>,
    #[serde(skip)]
    lease: String,
}

/// The role of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The candidate leads.
    Leader,
    /// The candidate does not lead.
    Follower,
    /// With --watch: the candidate has left.
    Gone,
}

impl Row for Candidate {
    const WHAT: &'static str = "candidate";
    /// Each candidate has a Lease of its own.
    const ALONE: bool = false;

    fn rows(records: &[LeaseRecord], name: Option<&str>) -> Vec<Self> {
        let members = LeaseRecord::members(records).into_iter();
        let named = members.filter(|member| name.is_none_or(|name| is_named(member, name)));
        let mut rows: Vec<_> = named.map(Self::new).collect();
        rows.sort_by_key(|row| {
            let Self { namespace, lease, role, succession, candidate_id: id, .. } = row;
            let place = succession.unwrap_or(u32::MAX);
            (namespace.clone(), lease.clone(), *role != Role::Leader, place, id.clone())
        });
        rows
    }

    fn head(_: bool) -> Vec<&'static str> {
        vec!["NAMESPACE", "ELECTION", "ID", "ROLE", "PLACE", "TOKEN", "RENEWED", "PAYLOAD"]
    }

    fn cells(&self, _: bool) -> Vec<Cell> {
        let (role, tone) = match self.role {
            Role::Leader => ("leader", Tone::Good),
            Role::Follower => ("follower", Tone::Plain),
            Role::Gone => ("gone", Tone::Quiet),
        };
        let ago = |ago: u64| format!("{} ago", brief(ago));
        vec![
            self.namespace.as_str().into(),
            self.election.as_str().into(),
            self.candidate_id.as_str().into(),
            Cell { text: role.into(), tone },
            shown(self.succession.as_ref()).into(),
            shown(self.token.as_ref()).into(),
            shown(self.renewed_seconds.map(ago).as_ref()).into(),
            shown(self.payload.as_ref()).into(),
        ]
    }

    fn key(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.lease, self.candidate_id)
    }

    fn summary(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.role, self.token, self.succession, self.payload)
    }

    fn mark_stale(&mut self) {}

    fn hide_candidates(&mut self) {}

    fn removed(self) -> Self {
        Self { role: Role::Gone, token: None, ..self }
    }
}

impl Candidate {
    fn new(record: &LeaseRecord) -> Self {
        let role = if record.kind == RecordKind::Election { Role::Leader } else { Role::Follower };
        Self {
            election: record.name.clone(),
            namespace: record.namespace.clone(),
            candidate_id: record.holder.clone().unwrap_or_default(),
            role,
            token: record.token.filter(|_| role == Role::Leader),
            payload: record.payload.clone(),
            succession: record.succession,
            renewed_seconds: record.renewed_ago.map(|ago| ago.as_secs()),
            lease: election_lease(record).into(),
        }
    }
}

fn shown(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".into(), ToString::to_string)
}

/// A duration as `kubectl` writes it: at most two units.
pub(crate) fn brief(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs}s"),
        120..7200 => format!("{}m{}s", secs / 60, secs % 60),
        7200..172_800 => format!("{}h{}m", secs / 3600, secs / 60 % 60),
        _ => format!("{}d{}h", secs / 86_400, secs / 3600 % 24),
    }
}
