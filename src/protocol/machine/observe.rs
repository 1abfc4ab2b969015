//! What a state of the record means, whether an answer or a watch event shows it.

use std::{num::NonZeroU64, sync::Arc};

use super::{Held, InFlight, Machine, Regression, UnresolvedWrite, View};
use crate::{
    api::{error::Loss, token::Token},
    protocol::record::{Record, Versioned},
    util::clock::Moment,
};

impl Machine {
    /// A watch reported this state. Events may be late or repeated, so only a newer version has an effect.
    pub(super) fn on_changed(&mut self, now: Moment, found: &Arc<Versioned>) {
        self.without_watch = false;
        let number = found.version.number.get();
        // A repeated event of the last state before the record disappeared. An absence that was read has no version
        // of its own, so the version alone does not show that this event is old.
        if number == self.highest && matches!(self.view, View::Absent { .. }) {
            return;
        }
        if number > self.highest {
            self.must_read = false;
        }
        // The same version again is no answer to a read that is owed, or that must precede a takeover.
        let owed = self.must_read || self.overdue_at().is_some_and(|overdue_at| now >= overdue_at);
        let repeated = number == self.highest;
        if self.observe_record(now, found, false) && !(repeated && owed) {
            self.note_watch_event();
        }
    }

    /// A watch reported that the record was deleted.
    pub(super) fn on_deleted(&mut self, now: Moment, version: NonZeroU64) {
        self.without_watch = false;
        if version.get() > self.highest {
            self.highest = version.get();
            self.must_read = false;
            self.observe_absence(now, now);
            self.note_watch_event();
        }
    }

    /// A watch reported the state of the record. A read that is in flight and fails later is then no failure to report.
    fn note_watch_event(&mut self) {
        self.backoff.clear_read_failure();
        if let InFlight::Read(sent) = &mut self.in_flight {
            sent.event_seen = true;
        }
    }

    /// A new caller wants an answer from the present state of the store.
    ///
    /// Its call ends the back-off, because earlier failures say nothing about the store now. One call costs one read.
    pub(super) fn on_look(&mut self, now: Moment) {
        self.backoff.reset(now);
        // The caller must not fail because of old answers: the next answer decides again.
        self.regression =
            self.regression.map(|Regression { first, .. }| Regression { first, last: first });
        if !self.is_barred(now) {
            return;
        }
        match &mut self.in_flight {
            // The answer in flight may be older than the call.
            InFlight::Read(sent) | InFlight::Write(sent, ..) => sent.read_again = true,
            InFlight::None => self.owe_read(now),
        }
    }

    /// A single try fails by what a request shows that was sent after its call. News from a watch may be older than the
    /// call: the holder that they name may have left before.
    pub(super) fn confirm_try(&mut self, now: Moment) {
        let Some(tried_at) = self.tried_at.filter(|_| self.held.is_none()) else {
            self.tried_at = None;
            return;
        };
        if !self.is_barred(now) {
            return;
        }
        match &mut self.in_flight {
            InFlight::Read(sent) | InFlight::Write(sent, ..) => {
                sent.read_again |= sent.sent_at < tried_at;
            }
            InFlight::None if self.must_read => {}
            InFlight::None => self.owe_read(now),
        }
    }

    /// A read that was sent at this moment is answered.
    pub(super) fn try_answered(&mut self, sent_at: Moment) {
        self.tried_at = self.tried_at.filter(|&tried_at| sent_at < tried_at);
    }

    /// A new watch did not list the record.
    ///
    /// That has no version to compare, and an answer in flight may be older, so only another read shows whether the
    /// record is gone.
    pub(super) fn on_missed(&mut self, now: Moment) {
        self.without_watch = false;
        self.backoff.clear_read_failure();
        match (&mut self.in_flight, &self.view) {
            (InFlight::Read(sent) | InFlight::Write(sent, ..), _) => sent.read_again = true,
            (InFlight::None, View::Present { confirmed_at, .. }) => {
                // A watch that is set up again and again must not cause a read each time. A holder reads at once,
                // because it has lost if the record is gone.
                let earliest = *confirmed_at + self.timing.retry() / 2;
                self.owe_read(now);
                if self.held.is_none() && earliest > now {
                    self.backoff.pause_at_least_until(earliest);
                }
            }
            (InFlight::None, View::Unknown | View::Absent { .. }) => {}
        }
    }

    /// Processes a state of the record. Returns false, and does nothing, if the state is older than the highest
    /// version.
    ///
    /// `answered` is true if the state comes from an answer, so that it was current after the request was sent.
    pub(super) fn observe_record(
        &mut self,
        now: Moment,
        found: &Arc<Versioned>,
        answered: bool,
    ) -> bool {
        let number = found.version.number.get();
        if number < self.highest {
            return false;
        }
        let newer = number > self.highest;
        if newer {
            let written = |found: &Versioned| (found.record.holder.clone(), found.record.nonce);
            let edited = self.last_seen().is_some_and(|known| written(known) == written(found));
            let free = self.last_seen().is_some_and(|known| known.record.is_free());
            if free && self.in_flight == InFlight::None && self.is_foreign(&found.record) {
                self.backoff.race_avoided();
            }
            let unseen = self.unseen_tenures(&found.record);
            self.backoff.rivals.tenures_unseen(unseen);
            match found.record.is_free() {
                true if !free || unseen > 0 => {
                    let seen = !answered && unseen == 0;
                    self.backoff.rivals.freed(now, Some(number).filter(|_| seen));
                }
                false if free => self.backoff.rivals.claimed(now),
                _ => {}
            }
            self.backoff.conflict_explained(edited);
            if let Some(holder) = &found.record.holder
                && *holder != self.identity
                && self.last_seen().is_none_or(|known| known.record.holder.as_ref() != Some(holder))
            {
                self.backoff.rivals.tenure_seen(holder);
            }
        }
        self.highest = number;
        self.regression = None;
        let wrote_it = |attempt: &&UnresolvedWrite| Some(attempt.nonce) == found.record.nonce;
        let own_write = self.unresolved.iter().find(wrote_it).cloned();
        // A write on any other version cannot be stored any more, because the record is past that version.
        self.unresolved.retain(|attempt| attempt.base.as_ref() == Some(&found.version));
        if let Some(attempt) = &own_write {
            self.own_write = Some(attempt.nonce);
            if newer {
                self.backoff.write_succeeded(now - attempt.sent_at);
            }
        }
        self.note_not_before(now, &found.record);
        match &self.held {
            Some(_) => self.confirm_tenure(now, found, own_write.as_ref()),
            None => self.begin_tenure(now, found, own_write.as_ref()),
        }
        self.update_yielding(found);
        match &mut self.view {
            View::Present { found: known, confirmed_at, .. } if known.version == found.version => {
                *known = known.with_token_of(found);
                if answered {
                    *confirmed_at = now;
                }
            }
            view => {
                let found = match view {
                    // A state in between may be missing.
                    View::Present { found: known, .. } => known.followed_by(found, false),
                    View::Absent { .. } | View::Unknown => Arc::clone(found),
                };
                *view = View::Present { found, since: now, confirmed_at: now }
            }
        }
        true
    }

    /// How many tenures began, by the count in the record, besides the one that it shows now.
    fn unseen_tenures(&self, found: &Record) -> u32 {
        let Some(known) = self.last_seen() else { return 0 };
        let shown = found.holder.is_some() && found.holder != known.record.holder;
        let began = found.transitions.saturating_sub(known.record.transitions);
        u32::try_from(began).unwrap_or(0).saturating_sub(u32::from(shown))
    }

    /// Begins a tenure if, and only if, `found` is what an unresolved claim of this machine stored.
    fn begin_tenure(
        &mut self,
        now: Moment,
        found: &Versioned,
        own_write: Option<&UnresolvedWrite>,
    ) {
        let Some(attempt) = own_write.filter(|attempt| attempt.may_begin_tenure && self.wanted)
        else {
            return;
        };
        let until = attempt.sent_at + self.timing.hold();
        let as_written =
            self.names_identity(&found.record) && found.record.ttl == Some(self.timing.ttl());
        if !as_written || now >= until {
            return;
        }
        self.held = Some(Held {
            version: found.version.clone(),
            token: Token::new(found.version.number),
            sent_at: attempt.sent_at,
            until,
            passed_over: found.record.preferred.clone(),
            yielding: false,
        });
        self.backoff.rivals.own_tenure();
        self.state_not_before(now);
        // A pause from before the tenure may be longer than the hold. Two attempts must fit after it.
        let budget = self.timing.hold().saturating_sub(self.timing.attempt_timeout() * 2);
        self.backoff.end_pause_by(attempt.sent_at + budget);
    }

    /// Ends the tenure unless `found` is a write of this machine: the last confirmed one, or one recognised just now.
    ///
    /// An edit of any field but the holder, the nonce and the ttl keeps the tenure.
    fn confirm_tenure(
        &mut self,
        now: Moment,
        found: &Versioned,
        own_write: Option<&UnresolvedWrite>,
    ) {
        let is_own = self.is_own(&found.record);
        let Some(held) = &mut self.held else { return };
        if found.version.uid != held.version.uid {
            return self.end_tenure(now, Loss::Deleted);
        }
        if found.version.number == held.version.number {
            return;
        }
        if found.record.holder.as_ref() != Some(&self.identity) {
            return self.end_tenure(now, Loss::Taken);
        }
        if found.record.ttl != Some(self.timing.ttl()) || !is_own {
            return self.end_tenure(now, Loss::Altered);
        }
        held.version = found.version.clone();
        if let Some(attempt) = own_write {
            held.sent_at = held.sent_at.max(attempt.sent_at);
            held.until = held.until.max(attempt.sent_at + self.timing.hold());
        }
    }

    /// Starts or stops yielding. A tenure that yields to the preferred holder runs out instead of being renewed.
    fn update_yielding(&mut self, found: &Versioned) {
        let Some(held) = &mut self.held else { return };
        let preferred =
            found.record.preferred.as_ref().filter(|&preferred| *preferred != self.identity);
        // If the same holder is preferred again later, that is a new request.
        if preferred.is_none() {
            held.passed_over = None;
        }
        held.yielding = preferred.is_some() && preferred != held.passed_over.as_ref();
    }

    /// Processes the absence of the record, as it was at some time after `confirmed_at`.
    ///
    /// If another process held the record, it may not have noticed the deletion and may trust its tenure for the rest
    /// of its hold. So the record must not be created before one ttl of that record has passed.
    pub(super) fn observe_absence(&mut self, now: Moment, confirmed_at: Moment) {
        if self.held.is_some() {
            self.end_tenure(now, Loss::Deleted);
        }
        self.regression = None;
        self.shown = None;
        self.unresolved.retain(|attempt| attempt.base.is_none());
        let (free_at, confirmed_at) = match &self.view {
            // Still absent: the wait goes on and does not start again.
            View::Absent { free_at, confirmed_at: before } => (*free_at, confirmed_at.max(*before)),
            View::Present { found, .. } if self.is_foreign(&found.record) => {
                (now + found.record.lives(), confirmed_at)
            }
            View::Present { .. } | View::Unknown => (confirmed_at, confirmed_at),
        };
        self.view = View::Absent { free_at, confirmed_at };
    }
}
