//! Requests whose outcome is not known: whether they may still be stored, and with which claims.

use std::sync::Arc;

use crate::protocol::{
    queue::record::{Condition, StoredLock},
    record::Nonce,
};

/// A request that may be stored, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unresolved {
    pub(super) basis: Basis,
    /// The claims of this session that it would add.
    pub(super) nonces: Vec<Nonce>,
}

/// What a request is conditional on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Basis {
    Absent,
    Version(u64),
    Turn { uid: Arc<str>, number: u64 },
    Epoch { uid: Arc<str>, epoch: u64 },
}

impl Basis {
    /// That of a write of the line.
    pub(super) fn of(base: Option<&StoredLock>, condition: Condition) -> Self {
        let Some(base) = base else { return Self::Absent };
        match (condition, base.record.turn) {
            (Condition::Turn, Some(turn)) => {
                Self::Turn { uid: Arc::clone(&base.version.uid), number: turn.number }
            }
            _ => Self::Version(base.version.number.get()),
        }
    }

    /// The request can be stored on this state; without a state, on no record.
    pub(super) fn fits(&self, state: Option<&StoredLock>) -> bool {
        match (self, state) {
            (Self::Absent, None) => true,
            (_, None) | (Self::Absent, Some(_)) => false,
            (Self::Version(version), Some(state)) => state.version.number.get() == *version,
            (Self::Turn { uid, number }, Some(state)) => {
                let turn = state.record.turn;
                state.version.uid == *uid && turn.is_some_and(|turn| turn.number == *number)
            }
            (Self::Epoch { uid, epoch }, Some(state)) => {
                let turn = state.record.turn;
                state.version.uid == *uid && turn.is_some_and(|turn| turn.epoch == *epoch)
            }
        }
    }

    /// The request can never be stored after this state, because versions and counters only grow.
    pub(super) fn is_past(&self, state: &StoredLock) -> bool {
        let (other, turn) = (|uid: &Arc<str>| *uid != state.version.uid, state.record.turn);
        match self {
            Self::Absent => true,
            Self::Version(version) => state.version.number.get() > *version,
            Self::Turn { uid, number } => {
                other(uid) || turn.is_some_and(|turn| turn.number > *number)
            }
            Self::Epoch { uid, epoch } => {
                other(uid) || turn.is_some_and(|turn| turn.epoch > *epoch)
            }
        }
    }
}

/// Remembers a request. Those on the same basis are one: only one write of them can be stored, and joins add up.
pub(super) fn note(all: &mut Vec<Unresolved>, request: Unresolved) {
    match all.iter_mut().find(|one| one.basis == request.basis) {
        Some(one) => {
            let new = request.nonces.into_iter().filter(|nonce| !one.nonces.contains(nonce));
            let new: Vec<_> = new.collect();
            one.nonces.extend(new);
        }
        None => all.push(request),
    }
}
