//! What to do next: a function of what is known and of the time.

use std::{sync::Arc, time::Duration};

use super::{Flight, Machine, OpenWrite, Sending, Sent, Step, View};
use crate::{
    protocol::record::{Nonce, Record, Versioned, Write, WriteKind},
    util::clock::Moment,
};

/// How many unanswered writes are remembered; an older one would be taken for a stranger's, which is safe.
const REMEMBERED: usize = 8;
/// How much later than it could a waiter takes over, at most: so that not all of them do so at once.
const SPREAD: Duration = Duration::from_millis(500);

impl Machine {
    pub(super) fn plan(&mut self, now: Moment) -> Step {
        if self.flight != Flight::None {
            return self.sleep(now, Moment::NEVER);
        }
        let leaving = !self.wanted && self.tenure.is_none();
        if leaving && now >= self.give_up {
            return Step::Done;
        }
        if now < self.backoff.quiet_until() {
            let end = if leaving { self.give_up } else { Moment::NEVER };
            return self.sleep(now, self.backoff.quiet_until().min(end));
        }
        if self.reread {
            return self.ask();
        }
        match (&self.tenure, self.wanted) {
            (Some(_), _) => self.renew(now),
            (None, true) => self.contend(now),
            (None, false) => self.settle(now),
        }
    }

    fn renew(&mut self, now: Moment) -> Step {
        let Some(tenure) = &self.tenure else { return Step::Done };
        let due = tenure.sent + self.timing.renew_interval();
        match tenure.yielding {
            true => self.sleep(now, Moment::NEVER),
            false if now < due => self.sleep(now, due),
            false => self.write(now, WriteKind::Renew),
        }
    }

    /// Takes what is free, absent or this machine's own; outwaits what is not.
    fn contend(&mut self, now: Moment) -> Step {
        match &self.view {
            View::Unknown => self.ask(),
            View::Absent { free_at, .. } if now < *free_at => Step::Sleep(*free_at),
            View::Absent { free_at, checked } if checked < free_at => self.ask(),
            View::Present { found, since, checked } if self.is_in_the_way(&found.record) => {
                let (found, since, checked) = (Arc::clone(found), *since, *checked);
                self.outwait(now, &found, since, checked)
            }
            View::Present { found, since, .. } if found.record.is_free() => {
                let take = *since + self.stand_back(found.version.number.get());
                if now < take { Step::Sleep(take) } else { self.write(now, WriteKind::Claim) }
            }
            View::Absent { .. } | View::Present { .. } => self.write(now, WriteKind::Claim),
        }
    }

    /// The record must be seen unchanged for its own time to live, and be read once more, before it is taken.
    ///
    /// The same goes for a record that prefers somebody else: they have one time to live to take it.
    fn outwait(&mut self, now: Moment, found: &Versioned, since: Moment, checked: Moment) -> Step {
        let lives = found.record.lives();
        let expiry = since + lives;
        let take = expiry + self.spread(found.version.number.get(), (lives / 30).min(SPREAD));
        let half = self.timing.retry() / 2;
        let poll = checked + half + self.spread(checked.as_nanos(), half);
        if now >= take && checked >= expiry {
            self.write(now, WriteKind::Claim)
        } else if now >= take || self.blind && now >= poll {
            self.ask()
        } else if self.blind {
            Step::Sleep(take.min(poll))
        } else {
            Step::Sleep(take)
        }
    }

    /// Nobody wants the tenure: leave nothing of this machine behind, nor anything that may still come.
    fn settle(&mut self, now: Moment) -> Step {
        if self.open.is_empty() && !self.is_left_behind() {
            return Step::Done;
        }
        match &self.view {
            View::Unknown => self.ask(),
            // Freeing it would mean creating it: wait for the create to come, or not.
            View::Absent { checked, .. } if self.temporary => self.look_again(now, *checked),
            // A claim on somebody's expired record: it is settled when anybody takes or renews that.
            View::Present { found, checked, .. } if self.is_foreign(&found.record) => {
                self.look_again(now, *checked)
            }
            // Frees what is held, or moves the version on so that an unanswered claim cannot be stored any more.
            View::Present { .. } | View::Absent { .. } => self.write(now, WriteKind::Free),
        }
    }

    fn look_again(&mut self, now: Moment, checked: Moment) -> Step {
        let again = checked + self.timing.renew_interval();
        if now < again { Step::Sleep(again.min(self.give_up)) } else { self.ask() }
    }

    fn ask(&mut self) -> Step {
        self.flight = Flight::Read(self.sent());
        Step::Read
    }

    fn write(&mut self, now: Moment, kind: WriteKind) -> Step {
        self.writes += 1;
        let nonce = Nonce { machine: self.seed, write: self.writes };
        let base = self.seen().cloned();
        if kind != WriteKind::Free {
            if self.open.len() == REMEMBERED {
                self.open.remove(0);
            }
            let version = base.as_ref().map(|found| found.version.clone());
            let claims = kind == WriteKind::Claim;
            self.open.push(OpenWrite { nonce, sent: now, base: version, claims });
        }
        let version = base.as_ref().map_or(0, |base| base.version.number.get());
        let sending = Sending { nonce, kind, ttl: self.timing.ttl(), base: version };
        self.flight = Flight::Write(self.sent(), sending);
        let record = self.record(nonce, kind, base.as_ref().map(|found| &found.record));
        Step::Write(Write { base, kind, record })
    }

    fn record(&self, nonce: Nonce, kind: WriteKind, before: Option<&Record>) -> Record {
        Record {
            holder: (kind != WriteKind::Free).then(|| Arc::clone(&self.me)),
            nonce: Some(nonce),
            ttl: Some(self.timing.ttl()),
            transitions: match before {
                Some(before) if kind == WriteKind::Claim && !self.is_me(before) => {
                    before.next_transition()
                }
                before => before.map_or(0, |before| before.transitions.max(0)),
            },
            preferred: None,
            token: self.tenure.as_ref().map(|tenure| tenure.token.number()),
        }
    }

    const fn sent(&self) -> Sent {
        Sent { highest: self.highest, missed: false, heard: false }
    }

    /// Sleeps, but not past what must be told of the present tenure.
    fn sleep(&self, now: Moment, until: Moment) -> Step {
        let Some(held) = &self.tenure else { return Step::Sleep(until) };
        let told = [held.until, self.doubtful_at(held)].into_iter().filter(|&at| at > now);
        Step::Sleep(told.fold(until, Moment::min))
    }
}
