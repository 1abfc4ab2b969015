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
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The first pause after a failure, unless the time to live is short; each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// By how much a race lost widens the span over which the next claim is spread: about what an answer takes.
const RACE: Duration = Duration::from_millis(2);
/// How wide that span may grow.
const LONGEST_RACE: Duration = Duration::from_millis(100);

/// What went wrong of late, and until when to be quiet for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Backoff {
    quiet_until: Moment,
    /// Reads in a row without a useful answer. Counted apart from writes: a backend that answers every read and
    /// fails every write must not be asked again at once each time a read succeeds.
    reads: u32,
    /// The last read got no useful answer, and no watch has reported anything since.
    unread: bool,
    /// Writes in a row without a useful answer.
    writes: u32,
    /// Conflicts in a row that nothing has explained yet.
    conflicts: u32,
    conflicted: Moment,
    /// Conflicts since this machine last had its way, each explained by somebody who was faster.
    races: u32,
}

impl Backoff {
    pub(super) const fn quiet_until(&self) -> Moment {
        self.quiet_until
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.unread || self.writes > 0
    }

    pub(super) const fn is_read_failing(&self) -> bool {
        self.unread
    }

    /// No more pause, at `now`.
    pub(super) fn resume(&mut self, now: Moment) {
        self.quiet_until = now;
    }

    /// What failed before somebody asked is no answer to them.
    pub(super) fn forget(&mut self, now: Moment) {
        self.resume(now);
        self.read_answered();
        self.writes = 0;
    }

    /// A pause must end by then: a tenure that began needs its renewals.
    pub(super) fn resume_by(&mut self, latest: Moment) {
        self.quiet_until = self.quiet_until.min(latest);
    }

    pub(super) fn wait_until(&mut self, earliest: Moment) {
        self.quiet_until = self.quiet_until.max(earliest);
    }

    pub(super) fn read_answered(&mut self) {
        self.reads = 0;
        self.unread = false;
    }

    /// A watch reported the record: what a failed read was for is known. The count of failed reads stays, because
    /// news must not make a contender read more often.
    pub(super) fn heard(&mut self) {
        self.unread = false;
    }

    /// A write was carried out, or one of which nobody knew turned out to be.
    pub(super) fn stored(&mut self) {
        self.writes = 0;
        self.conflicts = 0;
        self.races = 0;
    }

    /// The record has moved on: whatever a write was in conflict with, it was that.
    pub(super) fn explained(&mut self) {
        if self.conflicts > 0 {
            self.conflicts = 0;
            self.races = self.races.saturating_add(1);
        }
    }
}

impl Machine {
    pub(super) fn read_failed(&mut self, now: Moment, failure: Failure) {
        self.backoff.reads = self.backoff.reads.saturating_add(1);
        self.backoff.unread = true;
        self.back_off(now, self.backoff.reads, failure);
    }

    pub(super) fn write_failed(&mut self, now: Moment, failure: Failure) {
        self.backoff.writes = self.backoff.writes.saturating_add(1);
        self.back_off(now, self.backoff.writes, failure);
    }

    /// The first conflict has its answer at once, each further one that nothing explains later.
    pub(super) fn write_conflicted(&mut self, now: Moment) {
        self.backoff.writes = 0;
        if now - self.backoff.conflicted > self.timing.retry() * 2 {
            self.backoff.conflicts = 0;
        }
        self.backoff.conflicted = now;
        self.backoff.conflicts = self.backoff.conflicts.saturating_add(1);
        if let Some(repeated) = self.backoff.conflicts.checked_sub(2) {
            self.pause(now, self.doubled(repeated).min(self.timing.retry() / 4), None);
        }
    }

    /// How long to leave a free record to others: a share of a span that grows with each race lost, and so with
    /// how many there are. The first to come then writes alone, and the others see it before they have written.
    pub(super) fn stand_back(&self, version: u64) -> Duration {
        self.spread(version, (RACE * self.backoff.races).min(LONGEST_RACE))
    }

    /// Exponential and capped; and as long as the backend asks, if a tenure leaves that much.
    fn back_off(&mut self, now: Moment, count: u32, failure: Failure) {
        let most = match failure.refused {
            // Credentials are renewed and roles mended within a hold: there must be time for three attempts in it.
            true if self.tenure.is_some() => {
                let budget = self.timing.hold().saturating_sub(self.timing.renew_interval());
                self.timing.refused().min(budget / 4)
            }
            true => self.timing.refused(),
            false if self.tenure.is_some() => {
                self.doubled(count - 1).min(self.timing.attempt_timeout())
            }
            false => self.doubled(count - 1).min(self.timing.retry()),
        };
        self.pause(now, most, failure.retry_after);
    }

    fn doubled(&self, times: u32) -> Duration {
        (self.timing.ttl() / 150).min(FIRST_PAUSE).saturating_mul(1 << times.min(10))
    }

    /// Half of `most` and a share of the other half.
    fn pause(&mut self, now: Moment, most: Duration, asked: Option<Duration>) {
        let mut pause = most / 2 + self.spread(now.as_nanos(), most / 2);
        if let Some(asked) = asked {
            let room = self.tenure.as_ref().map_or(LONGEST_PAUSE, |held| {
                (held.until - now).saturating_sub(self.timing.attempt_timeout() * 2)
            });
            pause = pause.max(asked.min(room));
        }
        self.backoff.quiet_until = now + pause;
    }

    /// A share of `most`: a different one for each machine, and for each `salt`.
    pub(super) fn spread(&self, salt: u64, most: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, salt).hash(&mut hasher);
        let part = u32::try_from(hasher.finish() >> 48).unwrap_or(0);
        most.saturating_mul(part) / (1 << 16)
    }
}
