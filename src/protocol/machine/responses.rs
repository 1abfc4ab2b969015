//! What an answer to the machine's own request means.
//!
//! An answer without a request in flight is ignored. The answer to a request whose attempt is over is a late answer.

use std::{mem::take, sync::Arc};

use super::{Failure, InFlight, Machine, Outcome, Regression, SentRequest, SentWrite};
use crate::{
    protocol::record::{Nonce, Versioned, WriteKind},
    util::clock::Moment,
};

impl Machine {
    /// The read in flight is answered, or failed.
    pub(super) fn on_read(&mut self, now: Moment, answer: Result<Option<Arc<Versioned>>, Failure>) {
        let InFlight::Read(sent) = self.in_flight else { return };
        self.in_flight = InFlight::None;
        match answer {
            Err(failure) => {
                if sent.read_again {
                    self.owe_read(now);
                }
                self.read_failed(now, failure);
                if sent.event_seen && !sent.read_again {
                    self.backoff.clear_read_failure();
                }
            }
            Ok(Some(found)) => {
                self.must_read = false;
                if sent.read_again {
                    self.owe_read(now);
                }
                let current = self.observe_record(now, &found, true);
                if !current && sent.highest == self.highest {
                    self.response_outdated(now);
                } else {
                    self.try_answered(sent.sent_at);
                    self.read_confirmed(now, found.version.number.get());
                }
            }
            // An absence has no version. If a newer state was processed since the read was sent, only another read
            // shows which of the two is older.
            Ok(None) if sent.highest != self.highest => {
                self.owe_read(now);
                self.read_failed(now, Failure::default());
            }
            Ok(None) => {
                self.must_read = false;
                self.try_answered(sent.sent_at);
                self.read_confirmed(now, 0);
                self.observe_absence(now, now);
            }
        }
    }

    /// A read showed this version, or zero for no record.
    ///
    /// A conflict has proved that the record moved on from `conflicted_on`, so a read that still shows it comes from a
    /// server that lags behind. It counts as a failure: a write on that version would conflict again, and without a
    /// pause the machine would read and write as fast as the store answers.
    fn read_confirmed(&mut self, now: Moment, version: u64) {
        if self.conflicted_on == Some(version) {
            self.read_failed(now, Failure::default());
        } else {
            self.backoff.read_succeeded();
        }
    }

    /// The write in flight is answered, or failed.
    pub(super) fn on_write(&mut self, now: Moment, outcome: Outcome) {
        let InFlight::Write(sent, write) = take(&mut self.in_flight) else { return };
        if sent.read_again {
            self.owe_read(now);
        }
        match outcome {
            // A stored write has a newer version than its base. This answer is wrong, so the outcome is unknown.
            Outcome::Stored(found) if found.version.number.get() <= write.base => {
                self.write_unconfirmed(now, write.nonce, Failure::default());
            }
            Outcome::Stored(found) => {
                let as_written = self.is_as_written(&found, write);
                self.write_stored(now, sent, &found);
                if write.kind.is_release() {
                    self.backoff.rivals.freed_by_itself(found.version.number.get());
                }
                // A webhook changed the write. A claim or renewal that is not as written begins or extends nothing. The
                // next one would be changed too, so retry slowly. A release only has to end the tenure.
                if !as_written && !write.kind.is_release() {
                    self.altered = true;
                    self.write_failed(now, Failure { refused: true, retry_after: None });
                }
            }
            Outcome::Gone => {
                self.backoff.write_succeeded(now - sent.sent_at);
                self.observe_absence(now, now);
            }
            Outcome::Conflict => self.write_refuted(now, write),
            Outcome::Failed(failure) => self.write_unconfirmed(now, write.nonce, failure),
        }
    }

    /// The state is what the machine wrote, and no webhook has changed it.
    pub(super) fn is_as_written(&self, found: &Versioned, write: SentWrite) -> bool {
        self.names_identity(&found.record)
            && found.record.nonce == write.nonce
            && found.record.ttl == write.ttl
    }

    /// The store carried out the write.
    fn write_stored(&mut self, now: Moment, sent: SentRequest, found: &Arc<Versioned>) {
        self.backoff.write_succeeded(now - sent.sent_at);
        if !self.observe_record(now, found, true) && sent.highest == self.highest {
            self.response_outdated(now);
        }
    }

    /// The record was not in the state that the write was conditional on.
    ///
    /// That alone ends no tenure: after a lost answer and a silent retry of the HTTP client, the conflict is with this
    /// machine's own write.
    fn write_refuted(&mut self, now: Moment, write: SentWrite) {
        self.back_off_from_conflict(now);
        self.conflicted_on = Some(write.base);
        // A watch event may have shown the newer state already; then a claim needs no read. A holder always reads,
        // because the conflict may be with its own earlier write.
        let known = self.last_seen().is_some_and(|found| found.version.number.get() > write.base);
        if !(known && write.kind == WriteKind::Claim) {
            self.owe_read(now);
        }
    }

    /// The write has no useful answer.
    fn write_unconfirmed(&mut self, now: Moment, nonce: Option<Nonce>, failure: Failure) {
        // A refused write is known not to be stored. Any other failure leaves the outcome unknown.
        if failure.refused {
            self.forget_write(nonce);
        } else {
            self.owe_read(now);
        }
        self.write_failed(now, failure);
    }

    /// The write is known not to be stored.
    pub(super) fn forget_write(&mut self, nonce: Option<Nonce>) {
        self.unresolved.retain(|unresolved| Some(unresolved.nonce) != nonce);
    }

    /// The answer is older than the state that was known when its request was sent: the server lags behind.
    fn response_outdated(&mut self, now: Moment) {
        self.regression.get_or_insert(Regression { first: now, last: now }).last = now;
        self.owe_read(now);
        self.read_failed(now, Failure::default());
    }
}
