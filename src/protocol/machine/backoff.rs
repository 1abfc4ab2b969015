//! How often requests may be sent: whatever comes in, a contender sends a bounded number of them.
//!
//! Where everything fails for good that is one write and one read in half a renewal interval at the very most, or in
//! 2.5 s where that is less: with the default timing, and with every longer one, 2,880 requests an hour. Where nothing
//! fails but others are always faster, it is one of each in an eighth. Where all is well it is 720 an hour for a
//! holder, and for a waiter one read each time to live in which its watch told nothing.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use super::{Failure, Machine};
use crate::util::clock::Moment;

/// The longest pause that a backend can ask for where no tenure is at stake.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The first pause after a failure, unless the time to live is short; each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// By how much a race lost widens the span over which the next claim is spread: about what an answer takes.
const SPAN_PER_LOST_RACE: Duration = Duration::from_millis(2);
/// How wide that span may grow.
const MAX_RACE_SPAN: Duration = Duration::from_millis(100);

/// What went wrong of late, and until when to be quiet for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Backoff {
    pause_until: Moment,
    /// Reads in a row without a useful answer. Counted apart from writes: a backend that answers every read and
    /// fails every write must not be asked again at once each time a read succeeds.
    failed_reads: u32,
    /// The last read got no useful answer, and no watch has reported anything since.
    read_failing: bool,
    /// Writes in a row without a useful answer.
    failed_writes: u32,
    /// Conflicts in a row that nothing has explained yet.
    unexplained_conflicts: u32,
    last_conflict: Moment,
    /// Conflicts since this machine last had its way, each explained by somebody who was faster.
    lost_races: u32,
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

    /// No more pause, at `now`.
    pub(super) fn end_pause(&mut self, now: Moment) {
        self.pause_until = now;
    }

    /// What failed before somebody asked is no answer to them.
    pub(super) fn reset(&mut self, now: Moment) {
        self.end_pause(now);
        self.read_succeeded();
        self.failed_writes = 0;
    }

    /// A pause must end by then: a tenure that began needs its renewals.
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

    /// A watch reported the record: what a failed read was for is known. The count of failed reads stays, because
    /// news must not make a contender read more often.
    pub(super) fn clear_read_failure(&mut self) {
        self.read_failing = false;
    }

    /// A write was carried out, or one of which nobody knew turned out to be.
    pub(super) fn write_succeeded(&mut self) {
        self.failed_writes = 0;
        self.unexplained_conflicts = 0;
        self.lost_races = 0;
    }

    /// The record has moved on: whatever a write was in conflict with, it was that.
    pub(super) fn conflict_explained(&mut self) {
        if self.unexplained_conflicts > 0 {
            self.unexplained_conflicts = 0;
            self.lost_races = self.lost_races.saturating_add(1);
        }
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

    /// The first conflict has its answer at once, each further one that nothing explains later.
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
    }

    /// How long to leave a free record to others: a share of a span that grows with each race lost, and so with
    /// how many there are. The first to come then writes alone, and the others see it before they have written.
    pub(super) fn free_record_delay(&self, version: u64) -> Duration {
        self.jitter(version, (SPAN_PER_LOST_RACE * self.backoff.lost_races).min(MAX_RACE_SPAN))
    }

    /// Exponential and capped; and as long as the backend asks, if a tenure leaves that much.
    fn back_off(&mut self, now: Moment, count: u32, failure: Failure) {
        let most = match failure.refused {
            // Credentials are renewed and roles mended within a hold: there must be time for three attempts in it.
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

    /// Half of `most` and a share of the other half.
    fn pause_for(&mut self, now: Moment, most: Duration, asked: Option<Duration>) {
        let mut pause = most / 2 + self.jitter(now.as_nanos(), most / 2);
        if let Some(asked) = asked {
            let room = self.held.as_ref().map_or(MAX_RETRY_AFTER, |held| {
                (held.until - now).saturating_sub(self.timing.attempt_timeout() * 2)
            });
            pause = pause.max(asked.min(room));
        }
        self.backoff.pause_until = now + pause;
    }

    /// A share of `most`: a different one for each machine, and for each `salt`.
    pub(super) fn jitter(&self, salt: u64, most: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, salt).hash(&mut hasher);
        let part = u32::try_from(hasher.finish() >> 48).unwrap_or(0);
        most.saturating_mul(part) / (1 << 16)
    }
}
