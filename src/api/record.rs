//! Events of locks and elections, as their records show them.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::token::Token;

/// From when on another tenure of a lock may begin, as the holder of the last one has stated it: see
/// [`LockOptions::at_least`](crate::LockOptions::at_least).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NotBefore {
    /// The time, by the wall clock of the host that stated it.
    pub time: SystemTime,
    /// The length: no process waits longer than this, whatever the clocks show.
    pub length: Duration,
    /// The identity that stated it.
    pub holder: String,
}

/// The purpose of a record, as it is written in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum RecordKind {
    /// A lock.
    Lock,
    /// An election.
    Election,
    /// A candidate in an election.
    Candidate,
}

/// An event of a lock or an election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RecordEvent {
    /// The kind of the event.
    pub event: RecordEventKind,
    /// A lock or an election.
    pub kind: RecordKind,
    /// The name of the lock or election, without the prefix of the handle that made it.
    pub name: String,
    /// The namespace of the lock or election.
    pub namespace: String,
    /// The name of the record of the lock or election: that of its Lease, or the last part of its key.
    #[serde(skip)]
    pub lease: String,
    /// The holder, the candidate, or the waiter in the queue of a lock. For a lock of sessions it is a session.
    pub holder: String,
    /// The fencing token of the tenure that began or ended; null if it is unknown, because the watch did not see the
    /// claim, and the holder has not renewed yet. With sessions only the holder can state it: a leader at once, the holder
    /// of a lock by default 5 to 10 s after the grant. A token that becomes known is no event.
    pub token: Option<Token>,
    /// Why a tenure ended; null for other events.
    pub why: Option<EndReason>,
    /// The place in the queue of a lock or an election that was joined, or the last one of a waiter that left: 1 is next.
    /// Null for other events, for a candidate that leads, and without a queue.
    pub place: Option<u32>,
    /// Who holds the lock or leads the election after this event and those that were seen with it. Several sessions may
    /// hold a lock that is shared or has slots.
    pub holders: Vec<String>,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum RecordEventKind {
    /// A process acquired the lock.
    Acquired,
    /// The candidate was elected.
    Elected,
    /// The holder or leader lost its tenure.
    Lost,
    /// A candidate joined the election, or a session joined the queue of a lock.
    Joined,
    /// A candidate left, or did not renew its record for its ttl. Or a session left the queue of a lock without getting
    /// it; one that gets the lock has [`Acquired`](Self::Acquired) it.
    Left,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum EndReason {
    /// The holder released it.
    Released,
    /// It was not renewed for its ttl, by the clock of this process.
    Expired,
    /// Another tenure began.
    Succeeded,
    /// The record was deleted.
    Deleted,
}
