//! What a machine reports after each step: the one value that the floors above read.

use std::{sync::Arc, time::Duration};

use super::{Flight, Machine, View};
use crate::{
    api::{error::Loss, token::Token},
    protocol::record::Versioned,
    util::clock::Moment,
};

/// One contender for one record, as it is after a step.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own: no two exclude each other"
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
    /// Another process comes first: the record is held, prefers another holder, or was deleted less than its
    /// time to live ago. News of the record would be of use.
    pub(crate) barred: bool,
    /// There is nothing to do but to wait for that to end: no request is under way or owed.
    pub(crate) waiting: bool,
    /// When the record of another holder has been unchanged for its whole time to live. A watch, if there is one,
    /// has reported nothing since.
    pub(crate) overdue_at: Option<Moment>,
    /// The last read or the last write got no useful answer.
    pub(crate) failing: bool,
    /// The last read got no useful answer, and no watch has reported the record since.
    pub(crate) read_failing: bool,
    /// In this step an answer showed that the backend stored something else than was written.
    pub(crate) altered: bool,
    /// Every answer for longer than a time to live was older than the highest version: the store was restored
    /// from a backup.
    pub(crate) regressed: bool,
    /// What became of a tenure that was given back, or of a claim that was withdrawn.
    pub(crate) release: Release,
    /// Nothing is held, wanted or left behind.
    pub(crate) done: bool,
    /// How long one request may take.
    pub(crate) attempt_timeout: Duration,
}

/// A tenure, as its machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TenureStatus {
    pub(crate) token: Token,
    /// When it ends unless it is renewed.
    pub(crate) until: Moment,
    /// From when on it is in doubt: one attempt to renew it has had its time.
    pub(crate) doubtful_at: Moment,
    /// It is not renewed any more, because the record asks for another holder.
    pub(crate) yielding: bool,
}

/// Whether the record is out of this machine's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Not known yet: a request is under way or owed.
    Pending,
    /// It is, or the machine wants it again.
    Done,
    /// The machine has stopped trying: the record is free when its time to live has passed.
    LeftToExpire,
}

impl Status {
    /// The tenure is wanted and not held.
    pub(crate) const fn contending(&self) -> bool {
        self.wanted && self.tenure.is_none()
    }
}

impl Machine {
    /// What there is to report at `now`.
    pub(crate) fn status(&self, now: Moment) -> Status {
        Status {
            tenure: self.tenure_status(now),
            loss: self.loss,
            wanted: self.wanted,
            record: self.seen().cloned(),
            highest: self.highest,
            barred: self.is_barred(),
            waiting: self.is_waiting(),
            overdue_at: self.overdue_at(),
            failing: self.backoff.is_failing(),
            read_failing: self.backoff.is_read_failing(),
            altered: self.altered,
            regressed: self.is_regressed(),
            release: self.release_status(now),
            done: self.is_done(now),
            attempt_timeout: self.timing.attempt_timeout(),
        }
    }

    fn tenure_status(&self, now: Moment) -> Option<TenureStatus> {
        let held = self.tenure.as_ref().filter(|held| now < held.until)?;
        Some(TenureStatus {
            token: held.token,
            until: held.until,
            doubtful_at: self.doubtful_at(held),
            yielding: held.yielding,
        })
    }

    fn is_waiting(&self) -> bool {
        let idle = self.flight == Flight::None && !self.reread;
        self.tenure.is_none() && idle && self.is_barred()
    }

    pub(super) fn is_barred(&self) -> bool {
        match &self.view {
            View::Present { found, .. } => self.is_in_the_way(&found.record),
            View::Absent { free_at, checked } => checked < free_at,
            View::Unknown => false,
        }
    }

    fn overdue_at(&self) -> Option<Moment> {
        match &self.view {
            View::Present { found, since, .. } if self.is_foreign(&found.record) => {
                Some(*since + found.record.lives())
            }
            View::Present { .. } | View::Absent { .. } | View::Unknown => None,
        }
    }

    fn is_regressed(&self) -> bool {
        self.stale.is_some_and(|(first, last)| last - first >= self.timing.ttl())
    }

    fn is_done(&self, now: Moment) -> bool {
        let settled = now >= self.give_up || self.open.is_empty() && !self.is_left_behind();
        !self.wanted && self.tenure.is_none() && self.flight == Flight::None && settled
    }

    fn release_status(&self, now: Moment) -> Release {
        let given_up = now >= self.give_up;
        let working = self.reread || self.flight != Flight::None;
        match (self.wanted, self.is_left_behind()) {
            (true, _) => Release::Done,
            (false, true) if given_up => Release::LeftToExpire,
            (false, true) => Release::Pending,
            (false, false) if !working => Release::Done,
            (false, false) if given_up => Release::LeftToExpire,
            (false, false) => Release::Pending,
        }
    }
}
