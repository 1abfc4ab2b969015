//! What is under way between a process and the store.

use std::{num::NonZeroU64, sync::Arc};

use super::store::{LockChange, SessionWrite};
use crate::{
    protocol::{
        queue::{machine::Outcome, record::StoredLock},
        session::{SessionAnswer, SessionId},
    },
    util::clock::Moment,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SessionRequest {
    Read(SessionId),
    Write(SessionWrite),
}

/// A slow heartbeat under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SentBeat {
    pub(super) sent_at: Moment,
    pub(super) request: SessionRequest,
    /// `None` until the request has reached the store.
    pub(super) answer: Option<SessionAnswer>,
    /// No later heartbeat was sent.
    pub(super) last: bool,
}

/// The request of the lock's machine: `None` is a read.
pub(super) type LockRequest = Option<LockChange>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LockAnswer {
    Read(Option<Arc<StoredLock>>),
    Wrote(Outcome),
}

/// What the watch of a session reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum HeldEvent {
    Set(Arc<StoredLock>),
    Gone(NonZeroU64),
}
