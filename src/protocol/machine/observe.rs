//! What a state of the record means, wherever it comes from.

use std::{num::NonZeroU64, sync::Arc};

use super::{Flight, Held, Machine, OpenWrite, View};
use crate::{
    api::{error::Loss, token::Token},
    protocol::record::Versioned,
    util::clock::Moment,
};

impl Machine {
    /// A watch saw this state. It may tell late and twice: only what is newer is news.
    pub(super) fn changed(&mut self, now: Moment, found: &Arc<Versioned>) {
        self.blind = false;
        let number = found.version.number.get();
        // The last state before the record disappeared, told once more.
        if number == self.highest && matches!(self.view, View::Absent { .. }) {
            return;
        }
        if number > self.highest {
            self.reread = false;
        }
        if self.observe(now, found, false) {
            self.heard();
        }
    }

    /// A watch saw the record disappear.
    pub(super) fn deleted(&mut self, now: Moment, version: NonZeroU64) {
        self.blind = false;
        if version.get() > self.highest {
            self.highest = version.get();
            self.reread = false;
            self.absent(now);
            self.heard();
        }
    }

    /// A watch reported the state of the record. A read that is under way and fails later is then no failure to report.
    fn heard(&mut self) {
        self.backoff.heard();
        if let Flight::Read(sent) = &mut self.flight {
            sent.heard = true;
        }
    }

    /// Whoever asked set the backoff: a read for each who asks. An answer that is under way may be older.
    pub(super) fn look(&mut self, now: Moment) {
        self.backoff.forget(now);
        // The verdict is for the next answer to pronounce again.
        self.stale = self.stale.map(|(first, _)| (first, first));
        if !self.is_barred() {
            return;
        }
        match &mut self.flight {
            Flight::Read(sent) | Flight::Write(sent, ..) => sent.missed = true,
            Flight::None => self.reread = true,
        }
    }

    /// A new watch does not find the record. It has no version to tell by: the answer that is under way may be
    /// older, so another read must tell.
    pub(super) fn missed(&mut self, now: Moment) {
        self.blind = false;
        self.backoff.heard();
        match (&mut self.flight, &self.view) {
            (Flight::Read(sent) | Flight::Write(sent, ..), _) => sent.missed = true,
            (Flight::None, View::Present { checked, .. }) => {
                // However often a watch is set up anew.
                let earliest = *checked + self.timing.retry() / 2;
                self.reread = true;
                if self.tenure.is_none() && earliest > now {
                    self.backoff.wait_until(earliest);
                }
            }
            (Flight::None, View::Unknown | View::Absent { .. }) => {}
        }
    }

    /// Takes in a state of the record; false if it is older than one already known.
    pub(super) fn observe(&mut self, now: Moment, found: &Arc<Versioned>, asked: bool) -> bool {
        let number = found.version.number.get();
        if number < self.highest {
            return false;
        }
        let newer = number > self.highest;
        if newer {
            self.backoff.explained();
        }
        self.highest = number;
        self.stale = None;
        let written = |attempt: &&OpenWrite| Some(attempt.nonce) == found.record.nonce;
        let mine = self.open.iter().find(written).cloned();
        // Every other write was conditional on what has passed: it cannot be stored any more.
        self.open.retain(|attempt| attempt.base.as_ref() == Some(&found.version));
        if newer && mine.is_some() {
            self.backoff.stored();
        }
        match &self.tenure {
            Some(_) => self.confirm(now, found, mine.as_ref()),
            None => self.begin(now, found, mine.as_ref()),
        }
        self.yield_to_preferred(found);
        match &mut self.view {
            View::Present { found: known, checked, .. } if known.version == found.version => {
                if asked {
                    *checked = now;
                }
            }
            view => *view = View::Present { found: Arc::clone(found), since: now, checked: now },
        }
        true
    }

    /// A tenure begins if, and only if, `found` is what a claim of this machine stored.
    fn begin(&mut self, now: Moment, found: &Versioned, mine: Option<&OpenWrite>) {
        let Some(attempt) = mine.filter(|attempt| attempt.claims && self.wanted) else { return };
        let until = attempt.sent + self.timing.hold();
        let kept = self.is_me(&found.record) && found.record.ttl == Some(self.timing.ttl());
        if !kept || now >= until {
            return;
        }
        self.tenure = Some(Held {
            version: found.version.clone(),
            nonce: found.record.nonce.unwrap_or(attempt.nonce),
            token: Token::new(found.version.number),
            sent: attempt.sent,
            until,
            passed_over: found.record.preferred.clone(),
            yielding: false,
        });
        // What failed before it was asked for a longer pause than a tenure has time for.
        let budget = self.timing.hold().saturating_sub(self.timing.attempt_timeout() * 2);
        self.backoff.resume_by(attempt.sent + budget);
    }

    /// The tenure goes on if `found` is what this machine wrote, last confirmed or recognised just now.
    ///
    /// What others edit beside holder, nonce and time to live does not concern it.
    fn confirm(&mut self, now: Moment, found: &Versioned, mine: Option<&OpenWrite>) {
        let Some(tenure) = &mut self.tenure else { return };
        if found.version.uid != tenure.version.uid {
            return self.end(now, Loss::Deleted);
        }
        if found.version.number == tenure.version.number {
            return;
        }
        if found.record.holder.as_ref() != Some(&self.me) {
            return self.end(now, Loss::Taken);
        }
        let known = found.record.nonce == Some(tenure.nonce);
        if found.record.ttl != Some(self.timing.ttl()) || !known && mine.is_none() {
            return self.end(now, Loss::Altered);
        }
        tenure.version = found.version.clone();
        if let Some(attempt) = mine {
            tenure.nonce = attempt.nonce;
            tenure.sent = tenure.sent.max(attempt.sent);
            tenure.until = tenure.until.max(attempt.sent + self.timing.hold());
        }
    }

    /// Whoever is newly preferred is to have the record: the tenure runs out instead of being renewed.
    fn yield_to_preferred(&mut self, found: &Versioned) {
        let Some(tenure) = &mut self.tenure else { return };
        let preferred = found.record.preferred.as_ref().filter(|&preferred| *preferred != self.me);
        if preferred.is_none() {
            tenure.passed_over = None;
        }
        tenure.yielding = preferred.is_some() && preferred != tenure.passed_over.as_ref();
    }

    /// There is no record. Whoever knew one that somebody else held waits as long as that holder may believe in it.
    pub(super) fn absent(&mut self, now: Moment) {
        if self.tenure.is_some() {
            self.end(now, Loss::Deleted);
        }
        self.stale = None;
        self.open.retain(|attempt| attempt.base.is_none());
        let free_at = match &self.view {
            View::Absent { free_at, .. } => *free_at,
            View::Present { found, .. } if self.is_foreign(&found.record) => {
                now + found.record.lives()
            }
            View::Present { .. } | View::Unknown => now,
        };
        self.view = View::Absent { free_at, checked: now };
    }
}
