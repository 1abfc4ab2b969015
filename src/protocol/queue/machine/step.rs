//! What goes in and out of the machine of one lock.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use crate::{
    api::error::Loss,
    protocol::{
        not_before::Closed,
        queue::{
            claim::Mode,
            record::{Join, LockWrite, StoredLock},
        },
        record::Nonce,
        session::SessionId,
    },
    util::clock::Moment,
};

/// The next request, or how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read,
    Write(LockWrite),
    Join(Join),
    /// Nothing to send before this moment.
    Sleep(Moment),
    /// Nothing is wanted, and nothing is left in the record.
    Idle,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    Granted {
        nonce: Nonce,
        token: NonZeroU64,
        slot: u16,
    },
    Lost {
        nonce: Nonce,
        loss: Loss,
    },
    /// A single try found the lock in use.
    Busy {
        nonce: Nonce,
        holder: Arc<str>,
    },
    /// A single try found the lock free, and no tenure may begin yet.
    TooEarly {
        nonce: Nonce,
        closed: Box<Closed>,
    },
    /// The lock is in use in another mode.
    Mismatch {
        nonce: Nonce,
        in_use: Mode,
    },
    /// A released or cancelled claim is gone, and no write of it can be stored any more.
    Left {
        nonce: Nonce,
    },
}

/// A request that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Failure {
    /// The backend refused it, so nothing was stored, and only a person can change that.
    pub(crate) refused: bool,
    /// The time after which the backend asks for another attempt.
    pub(crate) retry_after: Duration,
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Stored(Arc<StoredLock>),
    Conflict,
    /// Stored or not.
    Failed(Failure),
}

/// Another session that a claim waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Interest {
    pub(crate) session: SessionId,
    /// How often to read it.
    pub(crate) every: Duration,
    /// The claim has waited for some time, so the first read is due now. A lock that goes from hand to hand would
    /// otherwise cost a read per hand-over.
    pub(crate) soon: bool,
}

impl Event {
    pub(super) const fn lost(&self) -> Option<Nonce> {
        match self {
            Self::Lost { nonce, .. } => Some(*nonce),
            _ => None,
        }
    }
}
