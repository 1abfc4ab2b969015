//! What the floors below may ask of a machine. Nothing here changes anything, but for what is told only once.

use std::{sync::Arc, time::Duration};

use super::{Flight, Machine, View};
use crate::{
    api::{error::Loss, token::Token},
    protocol::record::Versioned,
    util::clock::Moment,
};

impl Machine {
    /// The token of the tenure held at `now`, if one is.
    pub(crate) fn holds(&self, now: Moment) -> Option<Token> {
        self.tenure.as_ref().filter(|tenure| now < tenure.until).map(|tenure| tenure.token)
    }

    /// When the present tenure ends unless it is renewed.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.tenure.as_ref().map(|tenure| tenure.until)
    }

    /// From when on the present tenure is in doubt: one attempt to renew it has had its time.
    pub(crate) fn doubtful(&self) -> Option<Moment> {
        let overdue = self.timing.renew() + self.timing.attempt();
        self.tenure.as_ref().map(
            |tenure| {
                if tenure.yielding { tenure.sent } else { tenure.sent + overdue }
            },
        )
    }

    /// Whether the present tenure is not renewed any more, because the record asks for another holder.
    pub(crate) fn yields(&self) -> bool {
        self.tenure.as_ref().is_some_and(|tenure| tenure.yielding)
    }

    /// What ended the last tenure.
    pub(crate) const fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Whoever else holds the record, as far as this machine knows.
    pub(crate) fn holder(&self) -> Option<&Arc<str>> {
        self.seen().and_then(|found| found.record.holder.as_ref())
    }

    /// The last known state of the record.
    pub(crate) fn seen(&self) -> Option<&Arc<Versioned>> {
        match &self.view {
            View::Present { found, .. } => Some(found),
            View::Unknown | View::Absent { .. } => None,
        }
    }

    /// Whether somebody wants the tenure.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the tenure is wanted and not held.
    pub(crate) const fn is_contending(&self) -> bool {
        self.wanted && self.tenure.is_none()
    }

    /// Whether the machine has nothing to do but to wait for somebody else's tenure to end.
    pub(crate) fn waits(&self) -> bool {
        let idle = self.flight == Flight::None && !self.reread;
        self.tenure.is_none() && idle && self.is_barred()
    }

    /// Whether news of the record would be of use: somebody else's tenure is in the way.
    pub(crate) fn wants_news(&self) -> bool {
        self.is_contending() && self.is_barred()
    }

    pub(super) fn is_barred(&self) -> bool {
        match &self.view {
            View::Present { found, .. } => self.is_in_the_way(&found.record),
            View::Absent { free_at, checked } => checked < free_at,
            View::Unknown => false,
        }
    }

    /// Whether somebody else's record has been seen unchanged for as long as it says: a watch, if any, told nothing since.
    pub(crate) fn is_overdue(&self, now: Moment) -> bool {
        match &self.view {
            View::Present { found, since, .. } => {
                self.is_foreign(&found.record) && now >= *since + found.record.lives()
            }
            View::Unknown | View::Absent { .. } => false,
        }
    }

    /// Whether the last read or the last write got no useful answer.
    pub(crate) const fn is_failing(&self) -> bool {
        self.pace.is_failing()
    }

    /// Whether the backend stored something else than was written, since this was last asked.
    pub(crate) fn take_altered(&mut self) -> bool {
        std::mem::take(&mut self.altered)
    }

    /// Whether every answer for longer than a time to live was older than what had been seen before: a restored backup.
    pub(crate) fn regressed(&self) -> bool {
        self.stale.is_some_and(|(first, last)| last - first >= self.timing.ttl())
    }

    /// The highest version processed.
    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    /// How long one request may take.
    pub(crate) const fn attempt(&self) -> Duration {
        self.timing.attempt()
    }

    /// Whether nothing is held, wanted or left behind.
    pub(crate) fn is_done(&self, now: Moment) -> bool {
        let left = self.seen().is_some_and(|found| self.is_mine(&found.record));
        let settled = now >= self.give_up || self.open.is_empty() && !left;
        !self.wanted && self.tenure.is_none() && self.flight == Flight::None && settled
    }

    /// Whether a tenure that was given back is out of this machine's hands: `None` while that is not known.
    pub(crate) fn has_left(&self, now: Moment) -> Option<bool> {
        let working = self.reread || self.flight != Flight::None;
        match self.seen() {
            _ if self.wanted => Some(true),
            Some(found) if self.is_mine(&found.record) => (now >= self.give_up).then_some(false),
            _ => (!working).then_some(true).or((now >= self.give_up).then_some(false)),
        }
    }
}
