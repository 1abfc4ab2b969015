//! What the answers to a machine's own requests mean.

use std::{mem::take, sync::Arc};

use super::{Failure, Flight, Machine, Outcome, Sending, Sent};
use crate::{
    protocol::record::{Nonce, Versioned, WriteKind},
    util::clock::Moment,
};

impl Machine {
    pub(super) fn read(&mut self, now: Moment, answer: Result<Option<Arc<Versioned>>, Failure>) {
        let Flight::Read(sent) = self.flight else { return };
        self.flight = Flight::None;
        match answer {
            Err(failure) => {
                self.reread |= sent.missed;
                self.read_failed(now, failure);
                if sent.heard && !sent.missed {
                    self.backoff.heard();
                }
            }
            Ok(Some(found)) => {
                self.reread = sent.missed;
                let current = self.observe(now, &found, true);
                if !current && sent.highest == self.highest {
                    self.behind(now);
                } else {
                    self.answered(now, found.version.number.get());
                }
            }
            // An absence has no version: if something newer came in between, only another read can tell.
            Ok(None) if sent.highest != self.highest => {
                self.reread = true;
                self.read_failed(now, Failure::default());
            }
            Ok(None) => {
                self.reread = false;
                self.answered(now, 0);
                self.absent(now);
            }
        }
    }

    /// A read shows this version, or zero for none. What a conflict has refuted is no reason to write at once again.
    fn answered(&mut self, now: Moment, version: u64) {
        if self.refuted == Some(version) {
            self.read_failed(now, Failure::default());
        } else {
            self.backoff.read_answered();
        }
    }

    pub(super) fn wrote(&mut self, now: Moment, outcome: Outcome) {
        let Flight::Write(sent, write) = take(&mut self.flight) else { return };
        self.reread |= sent.missed;
        match outcome {
            // What is stored has a newer version: only a read can tell what was done.
            Outcome::Stored(found) if found.version.number.get() <= write.base => {
                self.failed(now, write.nonce, Failure::default());
            }
            Outcome::Stored(found) => {
                let kept = self.is_me(&found.record)
                    && found.record.nonce == Some(write.nonce)
                    && found.record.ttl == Some(write.ttl);
                self.stored(now, sent, &found);
                if !kept && write.kind != WriteKind::Free {
                    self.altered = true;
                    self.write_failed(now, Failure { refused: true, retry_after: None });
                }
            }
            Outcome::Gone => {
                self.backoff.stored();
                self.absent(now);
            }
            Outcome::Conflict => self.conflict(now, write),
            Outcome::Failed(failure) => self.failed(now, write.nonce, failure),
        }
    }

    fn stored(&mut self, now: Moment, sent: Sent, found: &Arc<Versioned>) {
        self.backoff.stored();
        if !self.observe(now, found, true) && sent.highest == self.highest {
            self.behind(now);
        }
    }

    fn conflict(&mut self, now: Moment, write: Sending) {
        self.write_conflicted(now);
        self.refuted = Some(write.base);
        // A watch may have told already what the record is now.
        let told = self.seen().is_some_and(|found| found.version.number.get() > write.base);
        self.reread |= !(told && write.kind == WriteKind::Claim);
    }

    fn failed(&mut self, now: Moment, nonce: Nonce, failure: Failure) {
        if failure.refused {
            self.open.retain(|attempt| attempt.nonce != nonce);
        }
        self.reread |= !failure.refused;
        self.write_failed(now, failure);
    }

    /// The answer is older than what was known when it was asked for: the server itself is behind.
    fn behind(&mut self, now: Moment) {
        self.stale.get_or_insert((now, now)).1 = now;
        self.reread = true;
        self.read_failed(now, Failure::default());
    }
}
