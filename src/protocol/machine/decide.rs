//! What to do next: a function of what is known and of the time.

use std::{sync::Arc, time::Duration};

use super::{InFlight, Machine, SentRequest, SentWrite, Step, UnresolvedWrite, Urgency, View};
use crate::{
    protocol::record::{Nonce, Record, Versioned, Write, WriteKind},
    util::clock::Moment,
};

/// How many unresolved writes a machine remembers. An older one counts as foreign, which is safe: it ends a tenure or
/// lengthens a wait.
const MAX_UNRESOLVED: usize = 8;
/// The longest time by which a waiter delays a takeover, so that not all waiters of a record claim it at once.
const MAX_TAKEOVER_JITTER: Duration = Duration::from_millis(500);

impl Machine {
    /// The next step. An order of precedence: the request in flight, a pause, an owed read, then renew, claim or
    /// settle.
    pub(super) fn next_step(&mut self, now: Moment) -> Step {
        if self.in_flight != InFlight::None {
            return self.sleep_until(now, Moment::NEVER);
        }
        let settling = !self.wanted && self.held.is_none();
        // After one ttl other processes can claim the record, whatever is left in it.
        if settling && now >= self.settle_deadline {
            return Step::Done;
        }
        if now < self.backoff.pause_until() {
            let end = if settling { self.settle_deadline } else { Moment::NEVER };
            return self.sleep_until(now, self.backoff.pause_until().min(end));
        }
        if self.must_read {
            return self.send_read(now);
        }
        match (&self.held, self.wanted) {
            (Some(_), _) => self.renew_when_due(now),
            (None, true) => self.claim_or_wait(now),
            (None, false) => self.clean_up(now),
        }
    }

    /// Holding: sends a renewal once it is due, unless the tenure yields to another holder.
    fn renew_when_due(&mut self, now: Moment) -> Step {
        let Some(held) = &self.held else { return Step::Done };
        // At 0.8 to 1.0 of the interval, so that tenures that began together are not renewed together.
        let interval = self.timing.renew_interval();
        let early = self.jitter(held.sent_at.as_nanos(), interval / 5);
        let due = held.sent_at + interval.saturating_sub(early);
        match held.yielding {
            true => self.sleep_until(now, Moment::NEVER),
            false if now < due => self.sleep_until(now, due),
            false => self.send_write(now, WriteKind::Renew),
        }
    }

    /// Contending: claims a record that is free, absent or this machine's own. Waits for the expiry of any other.
    fn claim_or_wait(&mut self, now: Moment) -> Step {
        match &self.view {
            View::Unknown => self.send_read(now),
            View::Absent { free_at, .. } if now < *free_at => Step::Sleep(*free_at),
            // Another process may have created the record during the wait.
            View::Absent { free_at, confirmed_at } if confirmed_at < free_at => self.send_read(now),
            View::Present { found, since, confirmed_at } => {
                let (found, since, confirmed_at) = (Arc::clone(found), *since, *confirmed_at);
                self.claim_present_or_wait(now, &found, since, confirmed_at)
            }
            View::Absent { .. } => self.send_write(now, WriteKind::Claim),
        }
    }

    /// The same for a record that exists.
    fn claim_present_or_wait(
        &mut self,
        now: Moment,
        found: &Versioned,
        since: Moment,
        confirmed_at: Moment,
    ) -> Step {
        let record = &found.record;
        if self.is_own(record) && self.is_closed(now, record) {
            // The tenure is over, and the next one begins later: other processes must not see a holder meanwhile.
            return self.send_release(now);
        }
        // A time that had passed at the first sight of this state is no reason to read again.
        let opens_at = self.opens_at(record).filter(|&at| !self.is_own(record) && at > since);
        if self.is_foreign(record) || self.prefers_other(record) {
            return self.wait_for_expiry(now, found, since, opens_at, confirmed_at);
        }
        if let Some(opens_at) = opens_at {
            return self.wait_until(now, found, opens_at, confirmed_at);
        }
        if record.is_free() {
            let take = since + self.free_record_delay(found);
            if now < take {
                return Step::Sleep(take);
            }
        }
        self.send_write(now, WriteKind::Claim)
    }

    /// Claims the record once it was unchanged for its own ttl and an answer after that showed it unchanged.
    ///
    /// A free record that prefers another holder is treated the same: that holder has one ttl to claim it.
    fn wait_for_expiry(
        &mut self,
        now: Moment,
        found: &Versioned,
        since: Moment,
        opens_at: Option<Moment>,
        confirmed_at: Moment,
    ) -> Step {
        let ttl = found.record.lives();
        let expiry = since + ttl;
        self.wait_until(now, found, opens_at.map_or(expiry, |at| at.max(expiry)), confirmed_at)
    }

    /// Claims the record after `expiry`, once an answer after that showed it unchanged.
    fn wait_until(
        &mut self,
        now: Moment,
        found: &Versioned,
        expiry: Moment,
        confirmed_at: Moment,
    ) -> Step {
        let ttl = found.record.lives();
        let take =
            expiry + self.jitter(found.version.number.get(), (ttl / 30).min(MAX_TAKEOVER_JITTER));
        let half = self.timing.retry() / 2;
        let poll = confirmed_at + half + self.jitter(confirmed_at.as_nanos(), half);
        if now >= take && confirmed_at >= expiry {
            self.send_write(now, WriteKind::Claim)
        } else if now >= take || self.without_watch && now >= poll {
            self.send_read(now)
        } else if self.without_watch {
            Step::Sleep(take.min(poll))
        } else {
            Step::Sleep(take)
        }
    }

    /// Settling: frees the record, and makes sure that no unresolved write can be stored any more.
    fn clean_up(&mut self, now: Moment) -> Step {
        if self.unresolved.is_empty() && !self.still_shows_own() {
            return Step::Done;
        }
        match &self.view {
            View::Unknown => self.send_read(now),
            // An unanswered create of a candidate may still be stored. Elsewhere a create of a free record makes it
            // impossible, but the record of a candidate must not be left in the store. So read until the create is
            // stored, and then delete the record, or until the deadline.
            View::Absent { confirmed_at, .. } if self.temporary => {
                self.read_after_interval(now, *confirmed_at)
            }
            // An unanswered claim on the expired record of another holder. That record must not be written to. The
            // claim cannot be stored any more once any process has claimed or renewed the record.
            View::Present { found, confirmed_at, .. } if self.is_foreign(&found.record) => {
                self.read_after_interval(now, *confirmed_at)
            }
            // Frees this machine's own record, or writes a free record on the same base as the unanswered claim. Only
            // one of two writes on the same base can be stored.
            View::Present { .. } | View::Absent { .. } => self.send_release(now),
        }
    }

    /// Frees the record, or deletes it if it is temporary.
    fn send_release(&mut self, now: Moment) -> Step {
        let kind = if self.temporary { WriteKind::Delete } else { WriteKind::Free };
        self.send_write(now, kind)
    }

    /// Reads once per renewal interval.
    fn read_after_interval(&mut self, now: Moment, confirmed_at: Moment) -> Step {
        let again = confirmed_at + self.timing.renew_interval();
        if now < again { Step::Sleep(again.min(self.settle_deadline)) } else { self.send_read(now) }
    }

    /// Waits for the right to send a request, and for what changes the status before.
    fn queue(&self, now: Moment, urgency: Urgency) -> Step {
        let settling = !self.wanted && self.held.is_none();
        let end = if settling { self.settle_deadline } else { Moment::NEVER };
        match self.sleep_until(now, end) {
            Step::Sleep(until) => Step::Queue { urgency, until },
            step => step,
        }
    }

    fn send_read(&mut self, now: Moment) -> Step {
        if self.nonce.is_none() {
            let urgency = if self.held.is_some() { Urgency::Tenure } else { Urgency::Read };
            return self.queue(now, urgency);
        }
        self.in_flight = InFlight::Read(self.sent_request(now));
        Step::Read
    }

    fn send_write(&mut self, now: Moment, kind: WriteKind) -> Step {
        // Without a nonce this step may not send.
        let Some(nonce) = self.nonce else {
            let urgency = match kind {
                WriteKind::Renew => Urgency::Tenure,
                WriteKind::Free | WriteKind::Delete => Urgency::Release,
                WriteKind::Claim => Urgency::Claim,
            };
            return self.queue(now, urgency);
        };
        let base = self.last_seen().cloned();
        // A release needs no memory: a later read shows a free record or none, whichever write did that.
        if !kind.is_release() {
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
        if kind == WriteKind::Claim {
            self.stated = None;
        }
        let record =
            self.record_to_write(now, nonce, kind, base.as_ref().map(|found| &found.record));
        let write = Write { base, kind, record };
        self.in_flight = InFlight::Write(self.sent_request(now), SentWrite::of(&write));
        Step::Write(write)
    }

    /// The record of the next write. The nonce differs from write to write, so each renewal changes the object and
    /// moves its version; an identical PUT would not.
    fn record_to_write(
        &self,
        now: Moment,
        nonce: Nonce,
        kind: WriteKind,
        before: Option<&Record>,
    ) -> Record {
        Record {
            holder: (!kind.is_release()).then(|| Arc::clone(&self.identity)),
            nonce: Some(nonce),
            ttl: Some(self.timing.ttl()),
            transitions: match before {
                Some(before) if kind == WriteKind::Claim && !self.names_identity(before) => {
                    before.next_transition()
                }
                before => before.map_or(0, |before| before.transitions.max(0)),
            },
            // Backends keep the stored value of this field, because only other programs write it.
            preferred: None,
            // A claim has no token yet: its token is the version that the store gives it.
            token: self.held.as_ref().map(|held| held.token.number()),
            // The contender adds it.
            payload: None,
            not_before: match kind {
                WriteKind::Claim => self.not_before_from(now),
                WriteKind::Renew | WriteKind::Free | WriteKind::Delete => {
                    self.stated.as_ref().map(|known| Arc::clone(&known.value))
                }
            },
        }
    }

    const fn sent_request(&self, now: Moment) -> SentRequest {
        SentRequest { sent_at: now, highest: self.highest, read_again: false, event_seen: false }
    }

    /// Sleeps until then, or until the tenure becomes doubtful or ends, because each of them changes the status.
    fn sleep_until(&self, now: Moment, until: Moment) -> Step {
        let Some(held) = &self.held else { return Step::Sleep(until) };
        let changes = [held.until, self.doubtful_at(held)].into_iter().filter(|&at| at > now);
        Step::Sleep(changes.fold(until, Moment::min))
    }
}
