//! What a machine can be at, and how often each was met with: a state that never was proves nothing either.

use crate::{
    clock::Moment,
    engine::machine::{Input, Machine, Outcome, Step},
};

/// What a machine shows after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is held, wanted or left behind.
    Idle,
    /// It is wanted, and only the record can tell what it is.
    Asking,
    /// It is wanted and free, and left to others for a moment.
    Free,
    /// It is wanted, and somebody else comes first.
    Waiting,
    /// It was deleted under somebody who may still believe.
    Deleted,
    /// It is wanted, and an answer or a pause comes first.
    Pausing,
    Claiming,
    /// A write was not answered; it may be a claim that is stored.
    ClaimUnknown,
    Held,
    Renewing,
    RenewalUnknown,
    InDoubt,
    /// It is held, and runs out because the record asks for another holder.
    Yielding,
    Releasing,
    ReleaseUnknown,
    /// Nobody wants it, and something of its own may still be there or come.
    Settling,
}

impl State {
    pub(super) const ALL: [Self; 16] = [
        Self::Idle,
        Self::Asking,
        Self::Free,
        Self::Waiting,
        Self::Deleted,
        Self::Pausing,
        Self::Claiming,
        Self::ClaimUnknown,
        Self::Held,
        Self::Renewing,
        Self::RenewalUnknown,
        Self::InDoubt,
        Self::Yielding,
        Self::Releasing,
        Self::ReleaseUnknown,
        Self::Settling,
    ];

    /// `unanswered` says that the step was told of a write whose outcome nobody knows.
    pub(super) fn of(machine: &Machine, now: Moment, unanswered: bool, step: &Step) -> Self {
        let doubtful = machine.doubtful().is_some_and(|doubtful| now >= doubtful);
        let free = machine.seen().is_some_and(|found| found.record.is_free());
        match step {
            _ if machine.holds(now).is_some() => match step {
                _ if unanswered => Self::RenewalUnknown,
                _ if machine.yields() => Self::Yielding,
                _ if doubtful => Self::InDoubt,
                Step::Write(_) => Self::Renewing,
                _ => Self::Held,
            },
            _ if machine.is_contending() => match step {
                _ if unanswered => Self::ClaimUnknown,
                Step::Write(_) => Self::Claiming,
                Step::Read => Self::Asking,
                _ if machine.waits() && machine.seen().is_none() => Self::Deleted,
                _ if machine.waits() => Self::Waiting,
                _ if free => Self::Free,
                _ => Self::Pausing,
            },
            _ if unanswered => Self::ReleaseUnknown,
            Step::Write(_) => Self::Releasing,
            _ if machine.is_done(now) => Self::Idle,
            _ => Self::Settling,
        }
    }
}

/// Whether this tells of a write whose outcome nobody knows.
pub(super) const fn is_unanswered(input: &Input) -> bool {
    matches!(input, Input::Wrote(Outcome::Failed(failure)) if !failure.refused)
}

/// How often each was met with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct States([u64; State::ALL.len()]);

impl States {
    pub(super) const NONE: Self = Self([0; State::ALL.len()]);

    pub(super) fn hit(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    pub(super) fn count(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
