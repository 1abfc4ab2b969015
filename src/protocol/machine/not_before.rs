//! The time before which no other tenure may begin: see [`protocol::not_before`](crate::protocol::not_before).
//!
//! A holder states it from its claim on, and its release leaves it in the record.

use std::{sync::Arc, time::SystemTime};

use super::{Machine, View};
use crate::{
    api::record::NotBefore,
    protocol::{
        not_before::{Closed, Known, WallClock},
        record::Record,
    },
    util::clock::Moment,
};

impl Machine {
    /// The wall clock shows `wall` at `now`. The machine goes on from there until the next call.
    pub(crate) const fn set_wall_clock(&mut self, now: Moment, wall: SystemTime) {
        self.wall_clock = WallClock::new(now, wall);
    }

    /// What a tenure states that begins at `now`; `None` if the next one may begin at once.
    pub(super) fn not_before_from(&self, now: Moment) -> Option<Arc<NotBefore>> {
        let length = self.timing.at_least()?;
        Some(self.wall_clock.not_before(now, length, &self.identity))
    }

    /// The tenure begins at `now`: its later writes count from here, because the work begins only now.
    pub(super) fn state_not_before(&mut self, now: Moment) {
        let value = self.not_before_from(now);
        self.stated = value.map(|value| Known::own(value, now));
    }

    /// The record shows this state.
    pub(super) fn note_not_before(&mut self, now: Moment, record: &Record) {
        let shown = self.shown.take();
        self.shown = Known::noted(shown, now, record.not_before.as_ref(), &self.wall_clock);
    }

    /// When the last known state of the record allows another tenure to begin; `None` if it states no time.
    ///
    /// What this machine's own record states counts only if its tenure began, and needs no wall clock.
    pub(super) fn opens_at(&self, record: &Record) -> Option<Moment> {
        if self.is_own(record) {
            return self.stated.as_ref().map(Known::own_opens_at);
        }
        self.shown.as_ref()?.opens_at(&self.wall_clock)
    }

    /// No tenure may begin on this record at `now`, whether it is held or not.
    pub(super) fn is_closed(&self, now: Moment, record: &Record) -> bool {
        self.opens_at(record).is_some_and(|opens_at| now < opens_at)
    }

    /// For the status: the record is free or expired, and not open yet.
    pub(super) fn closed(&self, now: Moment) -> Option<Closed> {
        let View::Present { found, .. } = &self.view else { return None };
        let until = self.opens_at(&found.record).filter(|&until| now < until)?;
        let is_held = self.held.is_some() || self.overdue_at().is_some_and(|at| now < at);
        let known = if self.is_own(&found.record) { &self.stated } else { &self.shown };
        known.as_ref().filter(|_| !is_held).map(|known| known.closed(until, &self.wall_clock))
    }
}
