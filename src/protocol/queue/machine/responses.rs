//! What an answer to the machine's own request means.
//!
//! An answer without a request in flight is ignored.

use std::sync::Arc;

use super::{Basis, Failure, Flight, Known, LockMachine, Outcome, StoredLock, note};
use crate::{api::error::Loss, protocol::record::Nonce, util::clock::Moment};

impl LockMachine {
    /// The answer to a read.
    pub(crate) fn read(
        &mut self,
        now: Moment,
        random: u64,
        result: Result<Option<Arc<StoredLock>>, Failure>,
    ) {
        let Some(Flight::Read { mark, sent_at }) = self.flight.take() else { return };
        match result {
            // A server that lags behind, or a store that was restored. The present state is still unknown.
            Ok(Some(state)) if state.version.number.get() < mark => {
                self.read_failed(now, random, Failure::default());
            }
            Ok(Some(state)) => {
                self.failures = 0;
                self.outdated = false;
                self.known_at = now;
                self.confirm_reserved(sent_at);
                self.poll_at = None;
                let before = self.sights;
                // The object exists, also in a version that was known before the absence.
                if matches!(self.known, Known::Absent) {
                    self.known = Known::Nothing;
                }
                self.seen(now, state);
                // Also a state that was known already was read now.
                self.sights = before + 1;
            }
            // An absence has no version. It is outdated if a newer state arrived meanwhile.
            Ok(None) if mark != self.mark => {}
            Ok(None) => {
                self.failures = 0;
                self.outdated = false;
                self.unlabelled = false;
                self.known = Known::Absent;
                self.known_at = now;
                self.forget_not_before();
                self.lose_held(Loss::Deleted);
                self.unresolved.retain(|request| request.basis.fits(None));
            }
            Err(failure) => self.read_failed(now, random, failure),
        }
    }

    /// Whether this outcome of the write under way shows that not all was stored: the time that the write states, or a
    /// claim of this session.
    pub(crate) fn is_altered(&self, outcome: &Outcome) -> bool {
        match (&self.flight, outcome) {
            (Some(Flight::Write { write, states, .. }), Outcome::Stored(state)) => {
                let lacks = |nonce: &Nonce| !state.record.line.has(&self.me, *nonce);
                states.is_some() && state.record.not_before != *states
                    || write.nonces.iter().any(lacks)
            }
            _ => false,
        }
    }

    /// The outcome of a write.
    pub(crate) fn wrote(&mut self, now: Moment, random: u64, outcome: Outcome) {
        let altered = self.is_altered(&outcome);
        let informs = self.only_informs();
        let request = match self.flight.take() {
            Some(Flight::Write { write, version, .. }) => {
                // Nothing was changed, or not the time: another program takes such a change back.
                if altered
                    || matches!(&outcome, Outcome::Stored(state) if state.version.number.get() <= version)
                {
                    return self.write_failed(now, random, Failure::default());
                }
                write
            }
            Some(Flight::Join(join)) => {
                let lacks = |state: &StoredLock, nonce| !state.record.line.has(&self.me, nonce);
                if let Outcome::Stored(state) = &outcome
                    && join.nonces.iter().any(|nonce| lacks(state, *nonce))
                {
                    return self.write_failed(now, random, Failure::default());
                }
                join
            }
            other => return self.flight = other,
        };
        (self.joins.owed, self.joins.turned) = (false, false);
        match outcome {
            Outcome::Stored(state) => {
                (self.failures, self.failed_writes) = (0, 0);
                // A join cannot conflict with writes of the line, so it says nothing of them.
                if !matches!(request.basis, Basis::Epoch { .. }) {
                    self.conflicts = 0;
                }
                let turn = |found: &Arc<StoredLock>| found.record.turn.map(|turn| turn.number);
                if self.record().and_then(turn) == turn(&state) {
                    self.joins.contended = false;
                }
                self.seen(now, state);
                self.joins.owed = self.record().is_some_and(|found| {
                    found.record.foreign.is_none() && found.record.line.may_promote()
                });
            }
            Outcome::Conflict => {
                self.conflicted(now, random, &request);
                self.tokens_not_stored(now, random, informs);
            }
            Outcome::Failed(failure) => {
                if !failure.refused {
                    note(&mut self.unresolved, request);
                }
                self.write_failed(now, random, failure);
                self.call_ends_pause |= informs;
                self.tokens_not_stored(now, random, false);
            }
        }
    }
}
