//! What a machine reports after each step: the one value that the runtime reads.

use std::{sync::Arc, time::Duration};

use super::{InFlight, Machine, View};
use crate::{
    api::{error::Loss, token::Token},
    protocol::{not_before::Closed, record::Versioned},
    util::clock::Moment,
};

/// The state of one contender after a step.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact: no two exclude each other"
)]
pub(crate) struct Status {
    /// The tenure, while one is held.
    pub(crate) tenure: Option<TenureStatus>,
    /// What ended the last tenure. `None` from a claim on, until the tenure that it wins has ended.
    pub(crate) loss: Option<Loss>,
    /// A caller wants the tenure.
    pub(crate) wanted: bool,
    /// The record in its last known state; `None` while it is absent or unknown.
    pub(crate) record: Option<Arc<Versioned>>,
    /// The highest version processed; zero before the first.
    pub(crate) highest: u64,
    /// Another process comes first, or no tenure may begin yet: the record is held, prefers another holder, states a
    /// not-before time, or was held and then deleted less than one ttl ago. A watch would show when this ends.
    pub(crate) barred: bool,
    /// The machine is barred, and no request is in flight or owed.
    pub(crate) waiting: bool,
    /// No tenure may begin yet, although no live process holds the record.
    pub(crate) closed: Option<Closed>,
    /// When the record of another holder will have been unchanged for its ttl, as far as answers and events show.
    pub(crate) overdue_at: Option<Moment>,
    /// The last read or the last write got no useful answer.
    pub(crate) failing: bool,
    /// The last read got no useful answer, and no watch has reported the record since.
    pub(crate) read_failing: bool,
    /// In this step an answer showed that the backend stored something else than was written.
    pub(crate) altered: bool,
    /// All answers for a ttl or longer were older than the highest version: the store was restored from a backup.
    pub(crate) regressed: bool,
    /// Whether a released tenure or a withdrawn claim has left the record.
    pub(crate) release: Release,
    /// For how long after the release this contender leaves the free record to one that is farther from the server. Those
    /// that know of each other do so for about as long.
    pub(crate) left_open: Duration,
    /// No tenure is held or wanted, and there is nothing left to settle.
    pub(crate) done: bool,
    /// How long one request may take.
    pub(crate) attempt_timeout: Duration,
}

/// The tenure that a machine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TenureStatus {
    pub(crate) token: Token,
    /// The deadline: when the tenure ends unless it is renewed.
    pub(crate) until: Moment,
    /// When the tenure becomes doubtful: a renewal was due and has had the time of one attempt.
    pub(crate) doubtful_at: Moment,
    /// The tenure is not renewed any more, because the record prefers another holder.
    pub(crate) yielding: bool,
}

/// Whether a released tenure or a withdrawn claim has left the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Not known yet: a request is in flight or owed.
    Pending,
    /// The record does not show this machine's tenure any more, or the machine wants a tenure again.
    Done,
    /// The machine has stopped trying. Other processes can claim the record after its ttl.
    LeftToExpire,
}

impl Status {
    /// A tenure is wanted and none is held.
    pub(crate) const fn contending(&self) -> bool {
        self.wanted && self.tenure.is_none()
    }

    /// Without the last failure the work would go on. A write that failed does not count while another process comes
    /// first.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.contending() && (self.read_failing || self.failing && !self.barred)
    }
}

impl Machine {
    /// The status at `now`.
    pub(crate) fn status(&self, now: Moment) -> Status {
        Status {
            tenure: self.tenure_status(now),
            loss: self.loss,
            wanted: self.wanted,
            record: self.last_seen().cloned(),
            highest: self.highest,
            barred: self.is_barred(now),
            waiting: self.is_waiting(now),
            closed: self.closed(now),
            overdue_at: self.overdue_at(),
            failing: self.backoff.is_failing(),
            read_failing: self.backoff.is_read_failing(),
            altered: self.altered,
            regressed: self.is_regressed(),
            release: self.release_status(now),
            left_open: self.free_record_left_open(),
            done: self.is_done(now),
            attempt_timeout: self.timing.attempt_timeout(),
        }
    }

    fn tenure_status(&self, now: Moment) -> Option<TenureStatus> {
        let held = self.held.as_ref().filter(|held| now < held.until)?;
        Some(TenureStatus {
            token: held.token,
            until: held.until,
            doubtful_at: self.doubtful_at(held),
            yielding: held.yielding,
        })
    }

    fn free_record_left_open(&self) -> Duration {
        let free = self.last_seen().filter(|found| found.record.is_free());
        free.map_or(Duration::ZERO, |found| self.left_open(found))
    }

    fn is_waiting(&self, now: Moment) -> bool {
        let idle = self.in_flight == InFlight::None && !self.must_read;
        self.held.is_none() && idle && self.is_barred(now)
    }

    pub(super) fn is_barred(&self, now: Moment) -> bool {
        match &self.view {
            View::Present { found, .. } => self.blocks_claim(now, &found.record),
            View::Absent { free_at, confirmed_at } => confirmed_at < free_at,
            View::Unknown => false,
        }
    }

    pub(super) fn overdue_at(&self) -> Option<Moment> {
        match &self.view {
            View::Present { found, since, .. } if self.is_foreign(&found.record) => {
                Some(*since + found.record.lives())
            }
            View::Present { .. } | View::Absent { .. } | View::Unknown => None,
        }
    }

    fn is_regressed(&self) -> bool {
        self.regression.is_some_and(|row| row.last - row.first >= self.timing.ttl())
    }

    fn is_done(&self, now: Moment) -> bool {
        let settled =
            now >= self.settle_deadline || self.unresolved.is_empty() && !self.still_shows_own();
        !self.wanted && self.held.is_none() && self.in_flight == InFlight::None && settled
    }

    fn release_status(&self, now: Moment) -> Release {
        let working = self.must_read || self.in_flight != InFlight::None;
        if self.wanted || !self.still_shows_own() && !working {
            Release::Done
        } else if now >= self.settle_deadline {
            Release::LeftToExpire
        } else {
            Release::Pending
        }
    }
}
