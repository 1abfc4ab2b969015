//! The time before which no other tenure may begin.
//!
//! A holder states it from its claim on, and its release leaves it in the record. It is compared with wall clocks,
//! because a monotonic clock means nothing to another host. That is allowed here and nowhere else in the protocol: no
//! safety depends on it. A claim is conditional on the version of the record, whether it comes early or late.
//!
//! A wrong clock must not keep a contender waiting. So a contender waits no longer than the length of the time itself,
//! on its own monotonic clock from its first sight of that time on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Machine, View};
use crate::{api::record::NotBefore, protocol::record::Record, util::clock::Moment};

/// A record states whole milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

/// A not-before time, and since when this machine knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) value: Arc<NotBefore>,
    pub(super) since: Moment,
}

/// No tenure may begin yet, although no live process holds the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// When the first one may begin.
    pub(crate) until: Moment,
    /// The same by the wall clock of this host.
    pub(crate) time: SystemTime,
    /// What the record states.
    pub(crate) stated: Arc<NotBefore>,
}

impl Machine {
    /// The wall clock shows `wall` at `now`. The machine goes on from there until the next call.
    pub(crate) const fn set_wall_clock(&mut self, now: Moment, wall: SystemTime) {
        self.wall_clock = (now, wall);
    }

    /// What a tenure states that begins at `now`; `None` if the next one may begin at once.
    pub(super) fn not_before_from(&self, now: Moment) -> Option<Arc<NotBefore>> {
        let length = self.timing.at_least()?;
        let time = rounded_up(self.wall_at(now + length));
        Some(Arc::new(NotBefore { time, length, holder: self.identity.to_string() }))
    }

    /// The tenure begins at `now`: its later writes count from here, because the work begins only now.
    pub(super) fn state_not_before(&mut self, now: Moment) {
        let value = self.not_before_from(now);
        self.stated = value.map(|value| Known { value, since: now });
    }

    /// The record shows this state. The same time in a later version is no new one: the wait for it goes on.
    pub(super) fn note_not_before(&mut self, now: Moment, record: &Record) {
        let known = self.shown.as_ref().map(|known| &known.value);
        if known != record.not_before.as_ref() {
            let value = record.not_before.clone();
            self.shown = value.map(|value| Known { value, since: now });
        }
    }

    /// When the last known state of the record allows another tenure to begin; `None` if it states no time.
    ///
    /// What this machine's own record states counts only if its tenure began, and needs no wall clock.
    pub(super) fn opens_at(&self, record: &Record) -> Option<Moment> {
        if self.is_own(record) {
            return self.stated.as_ref().map(|known| known.since + known.value.length);
        }
        let Known { value, since } = self.shown.as_ref()?;
        let (stated, latest) = (self.moment_of(value.time), *since + value.length);
        // The clocks differ by more than a whole length. A new process would see such a time for the first time again
        // and again, so a single try would not succeed until then.
        let is_credible = stated <= latest + value.length;
        is_credible.then(|| stated.min(latest))
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
        let stated = Arc::clone(&known.as_ref()?.value);
        (!is_held).then(|| Closed { until, time: self.wall_at(until), stated })
    }

    /// When the wall clock of this host shows `time`.
    fn moment_of(&self, time: SystemTime) -> Moment {
        let (now, wall) = self.wall_clock;
        match time.duration_since(wall) {
            Ok(ahead) => now + ahead,
            Err(ago) => now.before(ago.duration()),
        }
    }

    /// What the wall clock of this host shows at `moment`.
    fn wall_at(&self, moment: Moment) -> SystemTime {
        let (now, wall) = self.wall_clock;
        let shown = if moment >= now {
            wall.checked_add(moment - now)
        } else {
            wall.checked_sub(now - moment)
        };
        shown.unwrap_or(wall)
    }
}

/// A time that is written too early would let others in too early.
fn rounded_up(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let rest = since_epoch.subsec_nanos() % GRAIN.subsec_nanos();
    let missing = if rest == 0 { 0 } else { GRAIN.subsec_nanos() - rest };
    time.checked_add(Duration::from_nanos(missing.into())).unwrap_or(time)
}
