//! What the answer to a request means that comes after the end of its attempt.
//!
//! The end of an attempt ends the wait and not the request: a slow server, a webhook, a handshake or a credential plugin
//! may need longer than one attempt, each time. When an attempt ends, the machine goes on as if there were no answer. A
//! write then counts as unresolved, with its nonce and the instant at which it was sent. A late answer is therefore no
//! more than a state of the record: its version says whether it is news, and its nonce says whose write it is.

use std::sync::Arc;

use super::{Failure, LateAnswer, Machine, Outcome, SentWrite, UnresolvedWrite, View};
use crate::{protocol::record::Versioned, util::clock::Moment};

impl Machine {
    pub(super) fn on_late_answer(&mut self, now: Moment, answer: LateAnswer) {
        match answer {
            LateAnswer::Read { sent_at, found: Some(found), .. } => {
                // A read from before the expiry does not replace the read that must precede a takeover.
                let fresh = self.overdue_at().is_none_or(|overdue_at| sent_at >= overdue_at);
                if self.observe_late_state(now, sent_at, &found, fresh) {
                    self.backoff.read_succeeded();
                    self.answer_owed_read(sent_at, found.version.number.get());
                }
            }
            // An absence has no version: it is news only if nothing was processed since the read was sent.
            LateAnswer::Read { sent_at, highest, found: None } if highest == self.highest => {
                self.backoff.read_succeeded();
                self.observe_absence(now, sent_at);
                self.answer_owed_read(sent_at, 0);
            }
            LateAnswer::Read { found: None, .. } | LateAnswer::Nothing => {}
            LateAnswer::Write(write, outcome) => self.on_late_write(now, write, outcome),
        }
    }

    fn on_late_write(&mut self, now: Moment, write: SentWrite, outcome: Outcome) {
        match outcome {
            // A stored write has a newer version than its base, so this answer is wrong.
            Outcome::Stored(found) if found.version.number.get() <= write.base => {}
            Outcome::Stored(found) => {
                let as_written = self.is_as_written(&found, write);
                let sent = self.unresolved.iter().find(|sent| Some(sent.nonce) == write.nonce);
                let sent_at = sent.map_or(Moment::default(), |sent| sent.sent_at);
                self.backoff.write_succeeded(now - sent_at);
                self.observe_late_state(now, sent_at, &found, true);
                if write.kind.is_release() {
                    self.backoff.rivals.freed_by_itself(found.version.number.get());
                }
                if !as_written && !write.kind.is_release() {
                    self.altered = true;
                    self.write_failed(now, Failure { refused: true, retry_after: None });
                }
            }
            // A deletion that is answered has no version.
            Outcome::Gone if self.last_seen().is_some() => self.owe_read(now),
            // The write may be stored all the same: the client may have sent it twice. A write on an older version was
            // resolved by what the machine has seen since.
            Outcome::Conflict => {
                if self.unresolved.iter().any(|sent| Some(sent.nonce) == write.nonce) {
                    self.owe_read(now);
                }
            }
            Outcome::Failed(failure) if failure.refused => self.forget_write(write.nonce),
            Outcome::Gone | Outcome::Failed(_) => {}
        }
    }

    /// A read that was sent at `sent_at` showed this version, or zero for no record. It explains what was owed by then,
    /// unless a conflict has proved that the record moved on from there. If it did not, and every answer is late, the
    /// machine would read forever.
    fn answer_owed_read(&mut self, sent_at: Moment, version: u64) {
        self.try_answered(sent_at);
        if sent_at >= self.read_owed_at && self.conflicted_on != Some(version) {
            self.must_read = false;
        }
    }

    /// Processes a state that may be old, from an answer to a request of `sent_at`. Returns whether it is the newest that
    /// is known.
    fn observe_late_state(
        &mut self,
        now: Moment,
        sent_at: Moment,
        found: &Arc<Versioned>,
        answered: bool,
    ) -> bool {
        let newer = found.version.number.get() > self.highest;
        let sent = |write: &UnresolvedWrite| Some(write.nonce) == found.record.nonce;
        let foreign = self.is_foreign(&found.record) && !self.unresolved.iter().any(sent);
        if let View::Absent { free_at, confirmed_at } = &mut self.view
            && newer
            && *confirmed_at > sent_at
        {
            // The record was found absent since, and an absence has no version: only a read shows which came last. If
            // the record is gone, its holder may not have noticed that.
            if foreign {
                *free_at = (*free_at).max(now + found.record.lives());
            }
            self.owe_read(now);
            return false;
        }
        // As in `on_changed`: the state before an absence that was found since.
        if !newer && matches!(self.view, View::Absent { .. }) {
            return false;
        }
        let newest = self.observe_record(now, found, answered);
        // A newer state explains what a read was owed for.
        self.must_read &= !newer;
        newest
    }
}
