//! The time before which no other tenure of a record may begin, as both machines judge it.
//!
//! It is compared with wall clocks, because a monotonic clock means nothing to another host. That is allowed here and
//! nowhere else in the protocol: no safety depends on it. A claim is conditional on the state of the record, whether it
//! comes early or late.
//!
//! A wrong clock must not keep a contender waiting. So a contender waits no longer than the length of the time itself,
//! on its own monotonic clock from its first sight of that time on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{api::record::NotBefore, util::clock::Moment};

/// A record states whole milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

/// What the wall clock of this host shows at one moment. A machine goes on from there until it is set again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WallClock {
    now: Moment,
    shows: SystemTime,
}

/// A not-before time, and since when this machine knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) value: Arc<NotBefore>,
    pub(super) since: Moment,
    /// It could be right when a state showed it. A later step of the wall clock does not change that.
    credible: bool,
}

/// No tenure may begin yet, although no live process holds the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Closed {
    /// When the first one may begin.
    pub(crate) until: Moment,
    /// The same by the wall clock of this host.
    pub(crate) time: SystemTime,
    /// What the record states.
    pub(crate) stated: Arc<NotBefore>,
}

impl WallClock {
    /// A clock that was never set.
    pub(super) const UNSET: Self = Self::new(Moment::from_nanos(0), SystemTime::UNIX_EPOCH);

    pub(super) const fn new(now: Moment, shows: SystemTime) -> Self {
        Self { now, shows }
    }

    /// What `holder` states for a tenure that begins at `now`.
    pub(super) fn not_before(&self, now: Moment, length: Duration, holder: &str) -> Arc<NotBefore> {
        let time = rounded_up(self.at(now + length));
        Arc::new(NotBefore { time, length, holder: holder.into() })
    }

    /// When the clock shows `time`.
    fn moment_of(&self, time: SystemTime) -> Moment {
        match time.duration_since(self.shows) {
            Ok(ahead) => self.now + ahead,
            Err(ago) => self.now.before(ago.duration()),
        }
    }

    /// What the clock shows at `moment`.
    fn at(&self, moment: Moment) -> SystemTime {
        let shows = if moment >= self.now {
            self.shows.checked_add(moment - self.now)
        } else {
            self.shows.checked_sub(self.now - moment)
        };
        shows.unwrap_or(self.shows)
    }
}

impl Known {
    /// What is known once the record shows `stated` at `now`. The same time in a later version is no new one: the wait
    /// for it goes on.
    pub(super) fn noted(
        before: Option<Self>,
        now: Moment,
        stated: Option<&Arc<NotBefore>>,
        clock: &WallClock,
    ) -> Option<Self> {
        let value = stated?;
        let mut known = match before.filter(|known| known.value == *value) {
            Some(known) => known,
            None => Self { value: Arc::clone(value), since: now, credible: false },
        };
        known.credible |= known.is_credible(clock);
        Some(known)
    }

    /// What the tenure of this machine states, which began at `since`.
    pub(super) const fn own(value: Arc<NotBefore>, since: Moment) -> Self {
        Self { value, since, credible: true }
    }

    /// When another tenure may begin. `None` if the time cannot be right.
    pub(super) fn opens_at(&self, clock: &WallClock) -> Option<Moment> {
        let (stated, latest) = (clock.moment_of(self.value.time), self.since + self.value.length);
        (self.credible || self.is_credible(clock)).then(|| stated.min(latest))
    }

    /// Otherwise the clocks differ by more than a whole length. A new process would see such a time for the first time
    /// again and again, so a single try would not succeed until then.
    fn is_credible(&self, clock: &WallClock) -> bool {
        clock.moment_of(self.value.time) <= self.since + self.value.length * 2
    }

    /// For errors: no tenure may begin before `until`, because the record states this time.
    pub(super) fn closed(&self, until: Moment, clock: &WallClock) -> Closed {
        Closed { until, time: clock.at(until), stated: Arc::clone(&self.value) }
    }

    /// When another tenure may begin after that of this machine, which began at `since`. It needs no wall clock.
    pub(super) fn own_opens_at(&self) -> Moment {
        self.since + self.value.length
    }
}

/// A time that is written too early would let others in too early.
fn rounded_up(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let rest = since_epoch.subsec_nanos() % GRAIN.subsec_nanos();
    let missing = if rest == 0 { 0 } else { GRAIN.subsec_nanos() - rest };
    time.checked_add(Duration::from_nanos(missing.into())).unwrap_or(time)
}
