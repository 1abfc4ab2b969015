//! What to do next: a function of what is known and of the time.

use std::{sync::Arc, time::Duration};

use super::{InFlight, Machine, SentRequest, SentWrite, Step, UnresolvedWrite, View};
use crate::{
    protocol::record::{Nonce, Record, Versioned, Write, WriteKind},
    util::clock::Moment,
};

/// How many unanswered writes are remembered; an older one would be taken for a stranger's, which is safe.
const MAX_UNRESOLVED: usize = 8;
/// How much later than it could a waiter takes over, at most: so that not all of them do so at once.
const MAX_TAKEOVER_JITTER: Duration = Duration::from_millis(500);

impl Machine {
    pub(super) fn next_step(&mut self, now: Moment) -> Step {
        if self.in_flight != InFlight::None {
            return self.sleep_until(now, Moment::NEVER);
        }
        let leaving = !self.wanted && self.held.is_none();
        if leaving && now >= self.settle_deadline {
            return Step::Done;
        }
        if now < self.backoff.pause_until() {
            let end = if leaving { self.settle_deadline } else { Moment::NEVER };
            return self.sleep_until(now, self.backoff.pause_until().min(end));
        }
        if self.must_read {
            return self.send_read();
        }
        match (&self.held, self.wanted) {
            (Some(_), _) => self.renew_when_due(now),
            (None, true) => self.claim_or_wait(now),
            (None, false) => self.clean_up(now),
        }
    }

    fn renew_when_due(&mut self, now: Moment) -> Step {
        let Some(held) = &self.held else { return Step::Done };
        let due = held.sent_at + self.timing.renew_interval();
        match held.yielding {
            true => self.sleep_until(now, Moment::NEVER),
            false if now < due => self.sleep_until(now, due),
            false => self.send_write(now, WriteKind::Renew),
        }
    }

    /// Takes what is free, absent or this machine's own; outwaits what is not.
    fn claim_or_wait(&mut self, now: Moment) -> Step {
        match &self.view {
            View::Unknown => self.send_read(),
            View::Absent { free_at, .. } if now < *free_at => Step::Sleep(*free_at),
            View::Absent { free_at, confirmed_at } if confirmed_at < free_at => self.send_read(),
            View::Present { found, since, confirmed_at } if self.blocks_claim(&found.record) => {
                let (found, since, confirmed_at) = (Arc::clone(found), *since, *confirmed_at);
                self.wait_for_expiry(now, &found, since, confirmed_at)
            }
            View::Present { found, since, .. } if found.record.is_free() => {
                let take = *since + self.free_record_delay(found.version.number.get());
                if now < take { Step::Sleep(take) } else { self.send_write(now, WriteKind::Claim) }
            }
            View::Absent { .. } | View::Present { .. } => self.send_write(now, WriteKind::Claim),
        }
    }

    /// The record must be seen unchanged for its own time to live, and be read once more, before it is taken.
    ///
    /// The same goes for a record that prefers somebody else: they have one time to live to take it.
    fn wait_for_expiry(
        &mut self,
        now: Moment,
        found: &Versioned,
        since: Moment,
        confirmed_at: Moment,
    ) -> Step {
        let lives = found.record.lives();
        let expiry = since + lives;
        let take =
            expiry + self.jitter(found.version.number.get(), (lives / 30).min(MAX_TAKEOVER_JITTER));
        let half = self.timing.retry() / 2;
        let poll = confirmed_at + half + self.jitter(confirmed_at.as_nanos(), half);
        if now >= take && confirmed_at >= expiry {
            self.send_write(now, WriteKind::Claim)
        } else if now >= take || self.without_watch && now >= poll {
            self.send_read()
        } else if self.without_watch {
            Step::Sleep(take.min(poll))
        } else {
            Step::Sleep(take)
        }
    }

    /// Nobody wants the tenure: leave nothing of this machine behind, nor anything that may still come.
    fn clean_up(&mut self, now: Moment) -> Step {
        if self.unresolved.is_empty() && !self.still_shows_own() {
            return Step::Done;
        }
        match &self.view {
            View::Unknown => self.send_read(),
            // Freeing it would mean creating it: wait for the create to come, or not.
            View::Absent { confirmed_at, .. } if self.temporary => {
                self.read_after_interval(now, *confirmed_at)
            }
            // A claim on somebody's expired record: it is settled when anybody takes or renews that.
            View::Present { found, confirmed_at, .. } if self.is_foreign(&found.record) => {
                self.read_after_interval(now, *confirmed_at)
            }
            // Frees what is held, or moves the version on so that an unanswered claim cannot be stored any more.
            View::Present { .. } | View::Absent { .. } => self.send_write(now, WriteKind::Free),
        }
    }

    fn read_after_interval(&mut self, now: Moment, confirmed_at: Moment) -> Step {
        let again = confirmed_at + self.timing.renew_interval();
        if now < again { Step::Sleep(again.min(self.settle_deadline)) } else { self.send_read() }
    }

    fn send_read(&mut self) -> Step {
        self.in_flight = InFlight::Read(self.sent_request());
        Step::Read
    }

    fn send_write(&mut self, now: Moment, kind: WriteKind) -> Step {
        self.writes += 1;
        let nonce = Nonce { machine: self.seed, write: self.writes };
        let base = self.last_seen().cloned();
        if kind != WriteKind::Free {
            if self.unresolved.len() == MAX_UNRESOLVED {
                self.unresolved.remove(0);
            }
            let version = base.as_ref().map(|found| found.version.clone());
            let may_begin_tenure = kind == WriteKind::Claim;
            self.unresolved.push(UnresolvedWrite {
                nonce,
                sent_at: now,
                base: version,
                may_begin_tenure,
            });
        }
        let version = base.as_ref().map_or(0, |base| base.version.number.get());
        let sending = SentWrite { nonce, kind, ttl: self.timing.ttl(), base: version };
        self.in_flight = InFlight::Write(self.sent_request(), sending);
        let record = self.record_to_write(nonce, kind, base.as_ref().map(|found| &found.record));
        Step::Write(Write { base, kind, record })
    }

    fn record_to_write(&self, nonce: Nonce, kind: WriteKind, before: Option<&Record>) -> Record {
        Record {
            holder: (kind != WriteKind::Free).then(|| Arc::clone(&self.identity)),
            nonce: Some(nonce),
            ttl: Some(self.timing.ttl()),
            transitions: match before {
                Some(before) if kind == WriteKind::Claim && !self.names_identity(before) => {
                    before.next_transition()
                }
                before => before.map_or(0, |before| before.transitions.max(0)),
            },
            preferred: None,
            token: self.held.as_ref().map(|held| held.token.number()),
        }
    }

    const fn sent_request(&self) -> SentRequest {
        SentRequest { highest: self.highest, read_again: false, event_seen: false }
    }

    /// Sleeps, but not past what must be told of the present tenure.
    fn sleep_until(&self, now: Moment, until: Moment) -> Step {
        let Some(held) = &self.held else { return Step::Sleep(until) };
        let told = [held.until, self.doubtful_at(held)].into_iter().filter(|&at| at > now);
        Step::Sleep(told.fold(until, Moment::min))
    }
}
