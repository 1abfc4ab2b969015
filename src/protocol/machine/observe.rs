//! What a state of the record means, wherever it comes from.

use std::{num::NonZeroU64, sync::Arc};

use super::{Held, InFlight, Machine, Regression, UnresolvedWrite, View};
use crate::{
    api::{error::Loss, token::Token},
    protocol::record::Versioned,
    util::clock::Moment,
};

impl Machine {
    /// A watch saw this state. It may tell late and twice: only what is newer is news.
    pub(super) fn on_changed(&mut self, now: Moment, found: &Arc<Versioned>) {
        self.without_watch = false;
        let number = found.version.number.get();
        // The last state before the record disappeared, told once more.
        if number == self.highest && matches!(self.view, View::Absent { .. }) {
            return;
        }
        if number > self.highest {
            self.must_read = false;
        }
        if self.observe_record(now, found, false) {
            self.note_watch_event();
        }
    }

    /// A watch saw the record disappear.
    pub(super) fn on_deleted(&mut self, now: Moment, version: NonZeroU64) {
        self.without_watch = false;
        if version.get() > self.highest {
            self.highest = version.get();
            self.must_read = false;
            self.observe_absence(now);
            self.note_watch_event();
        }
    }

    /// A watch reported the state of the record. A read that is under way and fails later is then no failure to report.
    fn note_watch_event(&mut self) {
        self.backoff.clear_read_failure();
        if let InFlight::Read(sent) = &mut self.in_flight {
            sent.event_seen = true;
        }
    }

    /// Whoever asked set the backoff: a read for each who asks. An answer that is under way may be older.
    pub(super) fn on_look(&mut self, now: Moment) {
        self.backoff.reset(now);
        // The verdict is for the next answer to pronounce again.
        self.regression =
            self.regression.map(|Regression { first, .. }| Regression { first, last: first });
        if !self.is_barred() {
            return;
        }
        match &mut self.in_flight {
            InFlight::Read(sent) | InFlight::Write(sent, ..) => sent.read_again = true,
            InFlight::None => self.must_read = true,
        }
    }

    /// A new watch does not find the record. It has no version to tell by: the answer that is under way may be
    /// older, so another read must tell.
    pub(super) fn on_missed(&mut self, now: Moment) {
        self.without_watch = false;
        self.backoff.clear_read_failure();
        match (&mut self.in_flight, &self.view) {
            (InFlight::Read(sent) | InFlight::Write(sent, ..), _) => sent.read_again = true,
            (InFlight::None, View::Present { confirmed_at, .. }) => {
                // However often a watch is set up anew.
                let earliest = *confirmed_at + self.timing.retry() / 2;
                self.must_read = true;
                if self.held.is_none() && earliest > now {
                    self.backoff.pause_at_least_until(earliest);
                }
            }
            (InFlight::None, View::Unknown | View::Absent { .. }) => {}
        }
    }

    /// Takes in a state of the record; false if it is older than one already known.
    pub(super) fn observe_record(
        &mut self,
        now: Moment,
        found: &Arc<Versioned>,
        asked: bool,
    ) -> bool {
        let number = found.version.number.get();
        if number < self.highest {
            return false;
        }
        let newer = number > self.highest;
        if newer {
            self.backoff.conflict_explained();
        }
        self.highest = number;
        self.regression = None;
        let written = |attempt: &&UnresolvedWrite| Some(attempt.nonce) == found.record.nonce;
        let mine = self.unresolved.iter().find(written).cloned();
        // Every other write was conditional on what has passed: it cannot be stored any more.
        self.unresolved.retain(|attempt| attempt.base.as_ref() == Some(&found.version));
        if newer && mine.is_some() {
            self.backoff.write_succeeded();
        }
        match &self.held {
            Some(_) => self.confirm_tenure(now, found, mine.as_ref()),
            None => self.begin_tenure(now, found, mine.as_ref()),
        }
        self.update_yielding(found);
        match &mut self.view {
            View::Present { found: known, confirmed_at, .. } if known.version == found.version => {
                if asked {
                    *confirmed_at = now;
                }
            }
            view => {
                *view = View::Present { found: Arc::clone(found), since: now, confirmed_at: now }
            }
        }
        true
    }

    /// A tenure begins if, and only if, `found` is what a claim of this machine stored.
    fn begin_tenure(&mut self, now: Moment, found: &Versioned, mine: Option<&UnresolvedWrite>) {
        let Some(attempt) = mine.filter(|attempt| attempt.may_begin_tenure && self.wanted) else {
            return;
        };
        let until = attempt.sent_at + self.timing.hold();
        let kept =
            self.names_identity(&found.record) && found.record.ttl == Some(self.timing.ttl());
        if !kept || now >= until {
            return;
        }
        self.held = Some(Held {
            version: found.version.clone(),
            nonce: found.record.nonce.unwrap_or(attempt.nonce),
            token: Token::new(found.version.number),
            sent_at: attempt.sent_at,
            until,
            passed_over: found.record.preferred.clone(),
            yielding: false,
        });
        // What failed before it was asked for a longer pause than a tenure has time for.
        let budget = self.timing.hold().saturating_sub(self.timing.attempt_timeout() * 2);
        self.backoff.end_pause_by(attempt.sent_at + budget);
    }

    /// The tenure goes on if `found` is what this machine wrote, last confirmed or recognised just now.
    ///
    /// What others edit beside holder, nonce and time to live does not concern it.
    fn confirm_tenure(&mut self, now: Moment, found: &Versioned, mine: Option<&UnresolvedWrite>) {
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
        let known = found.record.nonce == Some(held.nonce);
        if found.record.ttl != Some(self.timing.ttl()) || !known && mine.is_none() {
            return self.end_tenure(now, Loss::Altered);
        }
        held.version = found.version.clone();
        if let Some(attempt) = mine {
            held.nonce = attempt.nonce;
            held.sent_at = held.sent_at.max(attempt.sent_at);
            held.until = held.until.max(attempt.sent_at + self.timing.hold());
        }
    }

    /// Whoever is newly preferred is to have the record: the tenure runs out instead of being renewed.
    fn update_yielding(&mut self, found: &Versioned) {
        let Some(held) = &mut self.held else { return };
        let preferred =
            found.record.preferred.as_ref().filter(|&preferred| *preferred != self.identity);
        if preferred.is_none() {
            held.passed_over = None;
        }
        held.yielding = preferred.is_some() && preferred != held.passed_over.as_ref();
    }

    /// There is no record. Whoever knew one that somebody else held waits as long as that holder may believe in it.
    pub(super) fn observe_absence(&mut self, now: Moment) {
        if self.held.is_some() {
            self.end_tenure(now, Loss::Deleted);
        }
        self.regression = None;
        self.unresolved.retain(|attempt| attempt.base.is_none());
        let free_at = match &self.view {
            View::Absent { free_at, .. } => *free_at,
            View::Present { found, .. } if self.is_foreign(&found.record) => {
                now + found.record.lives()
            }
            View::Present { .. } | View::Unknown => now,
        };
        self.view = View::Absent { free_at, confirmed_at: now };
    }
}
