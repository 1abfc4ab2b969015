//! What the answers to a machine's own requests mean.

use std::{mem::take, sync::Arc};

use super::{Failure, InFlight, Machine, Outcome, Regression, SentRequest, SentWrite};
use crate::{
    protocol::record::{Nonce, Versioned, WriteKind},
    util::clock::Moment,
};

impl Machine {
    pub(super) fn on_read(&mut self, now: Moment, answer: Result<Option<Arc<Versioned>>, Failure>) {
        let InFlight::Read(sent) = self.in_flight else { return };
        self.in_flight = InFlight::None;
        match answer {
            Err(failure) => {
                self.must_read |= sent.read_again;
                self.read_failed(now, failure);
                if sent.event_seen && !sent.read_again {
                    self.backoff.clear_read_failure();
                }
            }
            Ok(Some(found)) => {
                self.must_read = sent.read_again;
                let current = self.observe_record(now, &found, true);
                if !current && sent.highest == self.highest {
                    self.response_outdated(now);
                } else {
                    self.read_confirmed(now, found.version.number.get());
                }
            }
            // An absence has no version: if something newer came in between, only another read can tell.
            Ok(None) if sent.highest != self.highest => {
                self.must_read = true;
                self.read_failed(now, Failure::default());
            }
            Ok(None) => {
                self.must_read = false;
                self.read_confirmed(now, 0);
                self.observe_absence(now);
            }
        }
    }

    /// A read shows this version, or zero for none. What a conflict has refuted is no reason to write at once again.
    fn read_confirmed(&mut self, now: Moment, version: u64) {
        if self.conflicted_on == Some(version) {
            self.read_failed(now, Failure::default());
        } else {
            self.backoff.read_succeeded();
        }
    }

    pub(super) fn on_write(&mut self, now: Moment, outcome: Outcome) {
        let InFlight::Write(sent, write) = take(&mut self.in_flight) else { return };
        self.must_read |= sent.read_again;
        match outcome {
            // What is stored has a newer version: only a read can tell what was done.
            Outcome::Stored(found) if found.version.number.get() <= write.base => {
                self.write_unconfirmed(now, write.nonce, Failure::default());
            }
            Outcome::Stored(found) => {
                let kept = self.names_identity(&found.record)
                    && found.record.nonce == Some(write.nonce)
                    && found.record.ttl == Some(write.ttl);
                self.write_stored(now, sent, &found);
                if !kept && write.kind != WriteKind::Free {
                    self.altered = true;
                    self.write_failed(now, Failure { refused: true, retry_after: None });
                }
            }
            Outcome::Gone => {
                self.backoff.write_succeeded();
                self.observe_absence(now);
            }
            Outcome::Conflict => self.write_refuted(now, write),
            Outcome::Failed(failure) => self.write_unconfirmed(now, write.nonce, failure),
        }
    }

    fn write_stored(&mut self, now: Moment, sent: SentRequest, found: &Arc<Versioned>) {
        self.backoff.write_succeeded();
        if !self.observe_record(now, found, true) && sent.highest == self.highest {
            self.response_outdated(now);
        }
    }

    fn write_refuted(&mut self, now: Moment, write: SentWrite) {
        self.back_off_from_conflict(now);
        self.conflicted_on = Some(write.base);
        // A watch may have told already what the record is now.
        let told = self.last_seen().is_some_and(|found| found.version.number.get() > write.base);
        self.must_read |= !(told && write.kind == WriteKind::Claim);
    }

    fn write_unconfirmed(&mut self, now: Moment, nonce: Nonce, failure: Failure) {
        if failure.refused {
            self.unresolved.retain(|attempt| attempt.nonce != nonce);
        }
        self.must_read |= !failure.refused;
        self.write_failed(now, failure);
    }

    /// The answer is older than what was known when it was asked for: the server itself is behind.
    fn response_outdated(&mut self, now: Moment) {
        self.regression.get_or_insert(Regression { first: now, last: now }).last = now;
        self.must_read = true;
        self.read_failed(now, Failure::default());
    }
}
