//! What goes into a machine, and what comes out.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use crate::{
    api::timing::Durations,
    protocol::record::{Nonce, Versioned, Write, WriteKind},
    util::clock::Moment,
};

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The time of the last [`Step::Sleep`] has come. Harmless at any other time.
    Wake,
    /// A caller wants a tenure with this timing.
    Claim(Durations),
    /// No caller wants a tenure any more.
    Release,
    /// The same, but no caller has received the tenure: no not-before time is left in the record.
    Cancel,
    /// The tenure ends, and the next caller in this process wants one with this timing. The record was not used, or
    /// another tenure may begin at once.
    Pass(Durations),
    /// The answer to the read in flight.
    Read(Result<Option<Arc<Versioned>>, Failure>),
    /// The answer to the write in flight.
    Wrote(Outcome),
    /// A watch reported this state. The event may be late or repeated.
    Changed(Arc<Versioned>),
    /// A watch reported that the record was deleted. The version is that of the deletion.
    Deleted(NonZeroU64),
    /// A new watch did not list the record. That has no version, so only a read shows whether the record is gone.
    Missed,
    /// A new caller wants an answer from the present state of the store: read again, and forget earlier failures.
    Look,
    /// The same for a caller that does not wait.
    Try,
    /// There is no watch, so the machine polls. Any event of a watch ends the polling.
    Blind,
    /// The answer to a request whose attempt is over.
    Late(LateAnswer),
}

/// The answer to a request whose attempt is over: the machine has gone on as if there were none.
#[derive(Clone, Debug)]
pub(crate) enum LateAnswer {
    Read {
        /// When the read was sent.
        sent_at: Moment,
        /// The highest version that the machine had processed by then.
        highest: u64,
        found: Option<Arc<Versioned>>,
    },
    Write(SentWrite, Outcome),
    /// A read that failed, which says nothing any more.
    Nothing,
}

/// A write that was sent, without the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SentWrite {
    pub(super) nonce: Option<Nonce>,
    pub(super) kind: WriteKind,
    pub(super) ttl: Option<Duration>,
    /// The version that the write is conditional on; zero for a create.
    pub(super) base: u64,
}

impl SentWrite {
    /// What to remember of `write`.
    pub(crate) fn of(write: &Write) -> Self {
        Self {
            nonce: write.record.nonce,
            kind: write.kind,
            ttl: write.record.ttl,
            base: write.base.as_ref().map_or(0, |base| base.version.number.get()),
        }
    }
}

/// What became of a conditional write.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The write is stored. The state is what the backend stored, which may differ from what was written.
    Stored(Arc<Versioned>),
    /// The write was a deletion, and the record is deleted.
    Gone,
    /// The record was not in the state that the write was conditional on.
    Conflict,
    /// There was no useful answer. The write is not stored if it was refused; otherwise that is unknown.
    Failed(Failure),
}

/// Why there was no useful answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failure {
    /// The backend understood the request and refused it. A write is not stored. Retry slowly.
    pub(crate) refused: bool,
    /// The pause that the backend requested.
    pub(crate) retry_after: Option<Duration>,
}

/// The one thing to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Read the record.
    Read,
    /// Write the record. The write counts as sent at the instant of this step.
    Write(Write),
    /// Step again once a request may be sent, which would have this urgency, or at `until`.
    Queue { urgency: Urgency, until: Moment },
    /// Do nothing until then, or until there is an input.
    Sleep(Moment),
    /// Do nothing. No tenure is held or wanted, and there is nothing left to settle.
    Done,
}

/// Which request goes first where not all can be sent at once, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Urgency {
    /// A renewal, or a read that must come before it.
    Tenure,
    /// A release, which other processes may wait for.
    Release,
    Claim,
    Read,
}
