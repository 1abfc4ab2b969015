//! How long to pause. A contender sends a bounded number of requests, whatever its inputs are.
//!
//! | situation, with a ttl of 15 s or more | requests per hour, at most |
//! |---|---|
//! | a holder whose renewals succeed | 900; 800 on average |
//! | a waiter with a watch | one read for each ttl without an event |
//! | everything fails all the time | 2,880: one read and one write each 2.5 s, which is half the renewal interval |
//! | nothing fails, but another process always wins | one read and one write each 0.6 s, an eighth of it |
//! | nothing fails, but another program edits the record before each write | the same |
//!
//! With a shorter ttl the renewal interval is shorter, and the rates are higher in proportion. With a longer ttl the
//! pauses stay as for 15 s, so that a contender notices the end of an outage within seconds.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use super::{Failure, Machine, rivals::Rivals};
use crate::{
    protocol::{MAX_RETRY_AFTER, record::Versioned},
    util::clock::Moment,
};

/// The first pause after a failure, shorter with a ttl below 15 s. Each further failure doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How much each lost race widens the span of the delay before the next claim: a few times what an event and a claim
/// take, so that two hundred contenders are spread after their first race and not after twenty.
const SPAN_PER_LOST_RACE: Duration = Duration::from_millis(12);
/// The widest span of that delay.
pub(super) const MAX_RACE_SPAN: Duration = Duration::from_millis(400);
/// Which part of the span is left out again when another process was first, but cost no write. Without it, a process
/// that has lost many races would lose most of the later ones too.
const SPAN_DECAY: u32 = 32;
/// The span after a stored write, while several other processes take the record in turn, is twice what the write took,
/// or this. Without it, the winners of the last races would win the next ones too, and those that are nearer to the
/// server would win all.
const MIN_FAIR_SPAN: Duration = Duration::from_millis(24);

/// The recent failures, and how long to pause because of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Backoff {
    pause_until: Moment,
    /// Reads in a row without a useful answer. Counted apart from writes, because a backend that answers every read and
    /// fails every write must not receive a write at once after each read.
    failed_reads: u32,
    /// The last read got no useful answer, and no watch has reported anything since.
    read_failing: bool,
    /// Writes in a row without a useful answer.
    failed_writes: u32,
    /// Conflicts in a row for which no newer version has been seen.
    unexplained_conflicts: u32,
    last_conflict: Moment,
    /// Conflicts in a row that were explained by an edit: a newer version of the same write.
    edits: u32,
    /// The span of the delay before the next claim of a free record. Grows with each conflict that the write of another
    /// process explains, until a write is stored.
    race_span: Duration,
    pub(super) rivals: Rivals,
}

impl Backoff {
    pub(super) const fn pause_until(&self) -> Moment {
        self.pause_until
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.read_failing || self.failed_writes > 0
    }

    pub(super) const fn is_read_failing(&self) -> bool {
        self.read_failing
    }

    /// Ends the pause.
    pub(super) fn end_pause(&mut self, now: Moment) {
        self.pause_until = now;
    }

    /// A new caller arrived: forgets the failures before its call.
    pub(super) fn reset(&mut self, now: Moment) {
        self.end_pause(now);
        self.read_succeeded();
        self.failed_writes = 0;
    }

    /// Shortens the pause to end by then: a tenure that began needs its renewals.
    pub(super) fn end_pause_by(&mut self, latest: Moment) {
        self.pause_until = self.pause_until.min(latest);
    }

    pub(super) fn pause_at_least_until(&mut self, earliest: Moment) {
        self.pause_until = self.pause_until.max(earliest);
    }

    pub(super) fn read_succeeded(&mut self) {
        self.failed_reads = 0;
        self.read_failing = false;
    }

    /// A watch reported the record, so the state that a failed read asked for is known. The count of failed reads
    /// stays, because events must not make a contender read more often.
    pub(super) fn clear_read_failure(&mut self) {
        self.read_failing = false;
    }

    /// A write is stored, or a write of unknown outcome was recognised as stored, so long after it was sent.
    pub(super) fn write_succeeded(&mut self, took: Duration) {
        self.failed_writes = 0;
        self.unexplained_conflicts = 0;
        self.edits = 0;
        self.rivals.own_write();
        let fair = (took * 2).clamp(MIN_FAIR_SPAN, MAX_RACE_SPAN);
        self.race_span = if self.rivals.number() > 1 { fair } else { Duration::ZERO };
    }

    /// A newer version was seen, which explains the conflicts: another process was faster. It is `edited` if it shows
    /// the write that was known before.
    pub(super) fn conflict_explained(&mut self, edited: bool) {
        if self.unexplained_conflicts > 0 {
            self.unexplained_conflicts = 0;
            self.edits = if edited { self.edits.saturating_add(1) } else { 0 };
            self.race_span = (self.race_span + SPAN_PER_LOST_RACE).min(MAX_RACE_SPAN);
        }
    }

    /// Another process has claimed the free record before this machine wrote.
    pub(super) fn race_avoided(&mut self) {
        self.race_span -= self.race_span / SPAN_DECAY;
    }
}

impl Machine {
    pub(super) fn read_failed(&mut self, now: Moment, failure: Failure) {
        self.backoff.failed_reads = self.backoff.failed_reads.saturating_add(1);
        self.backoff.read_failing = true;
        self.back_off(now, self.backoff.failed_reads, failure);
    }

    pub(super) fn write_failed(&mut self, now: Moment, failure: Failure) {
        self.backoff.failed_writes = self.backoff.failed_writes.saturating_add(1);
        self.back_off(now, self.backoff.failed_writes, failure);
    }

    /// Pauses from the second unexplained conflict on.
    ///
    /// After the first one the machine reads at once, because a conflict is normal where processes compete. A conflict
    /// that no read explains comes from a server that lags behind or that refuses the write for another reason.
    pub(super) fn back_off_from_conflict(&mut self, now: Moment) {
        self.backoff.failed_writes = 0;
        if now - self.backoff.last_conflict > self.timing.retry() * 2 {
            self.backoff.unexplained_conflicts = 0;
        }
        self.backoff.last_conflict = now;
        self.backoff.unexplained_conflicts = self.backoff.unexplained_conflicts.saturating_add(1);
        if let Some(repeated) = self.backoff.unexplained_conflicts.checked_sub(2) {
            self.pause_for(now, self.doubled_pause(repeated).min(self.timing.retry() / 4), None);
        }
        self.back_off_from_edits(now);
    }

    /// Pauses from the second conflict in a row on, if the first one came from an edit.
    ///
    /// A read explains such a conflict, but if the editor never rests, the next write conflicts too. The pauses are
    /// short at first, and a write follows its read at once. So a holder has about ten attempts before its deadline,
    /// and one of them falls between two edits unless these are as fast as the requests.
    fn back_off_from_edits(&mut self, now: Moment) {
        if let Some(repeated) = self.backoff.edits.checked_sub(1) {
            self.pause_for(now, self.doubled_pause(repeated).min(self.timing.retry() / 4), None);
        }
    }

    /// How long to wait before a claim of a free record: a share of a span that grows with each lost race.
    ///
    /// The more processes compete, the more races each of them loses, and the wider their claims are spread. The first
    /// one then usually writes alone, and the others see its claim in their watch before they write. A contender that
    /// was overtaken comes earlier.
    pub(super) fn free_record_delay(&self, found: &Versioned) -> Duration {
        let Backoff { race_span, rivals, .. } = &self.backoff;
        let span = *race_span / (1 << rivals.rounds().min(16));
        self.left_open(found) + self.jitter(found.version.number.get(), span)
    }

    /// Exponential and capped. A longer pause that the backend requests is honoured as far as the tenure allows.
    fn back_off(&mut self, now: Moment, count: u32, failure: Failure) {
        let most = match failure.refused {
            // Expired credentials are often renewed within a hold, so three more attempts must fit into it.
            true if self.held.is_some() => {
                let budget = self.timing.hold().saturating_sub(self.timing.renew_interval());
                self.timing.refused().min(budget / 4)
            }
            true => self.timing.refused(),
            false if self.held.is_some() => {
                self.doubled_pause(count - 1).min(self.timing.attempt_timeout())
            }
            false => self.doubled_pause(count - 1).min(self.timing.retry()),
        };
        self.pause_for(now, most, failure.retry_after);
    }

    fn doubled_pause(&self, times: u32) -> Duration {
        (self.timing.ttl() / 150).min(FIRST_PAUSE).saturating_mul(1 << times.min(10))
    }

    /// Pauses for half of `most` plus a share of the other half, so that contenders do not retry in step.
    fn pause_for(&mut self, now: Moment, most: Duration, requested: Option<Duration>) {
        let mut pause = most / 2 + self.jitter(now.as_nanos(), most / 2);
        if let Some(requested) = requested {
            let room = self.held.as_ref().map_or(MAX_RETRY_AFTER, |held| {
                (held.until - now).saturating_sub(self.timing.attempt_timeout() * 2)
            });
            pause = pause.max(requested.min(room));
        }
        self.backoff.pause_until = now + pause;
    }

    /// A share of `most`, different for each machine and for each `salt`.
    ///
    /// A hash instead of a random source: the same inputs must lead to the same steps.
    pub(super) fn jitter(&self, salt: u64, most: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, salt).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() >> 48).unwrap_or(0);
        most.saturating_mul(share) / (1 << 16)
    }
}
