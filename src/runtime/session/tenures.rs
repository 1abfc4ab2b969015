//! The tenures of one lock of a session: how they begin, and how they end without a release.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    callers::{Caller, answer_all},
    lock::Lock,
};
use crate::{
    api::{
        error::Loss,
        guard::{Guard, Release},
        tenure::Tenure,
    },
    protocol::{
        queue::{claim::Mode, machine::AtLeast},
        record::Nonce,
    },
    util::{
        clock::{Clock, Moment},
        environment,
    },
};

/// What a new tenure gets from its session.
pub(super) struct Terms {
    pub(super) holder: Arc<str>,
    pub(super) clock: Clock,
    pub(super) validity: Moment,
    pub(super) overdue_at: Moment,
    pub(super) releases: mpsc::UnboundedSender<Release>,
}

impl Lock {
    /// Hands out the guard of a grant, if the session is known to be alive. Returns the number of the tenure.
    pub(super) fn begin(&mut self, now: Moment, number: u64, terms: &Terms) -> Option<u64> {
        let granted = matches!(self.callers.get(number), Some(Caller::Granted(..)));
        if now >= terms.validity || !granted {
            return None;
        }
        let Some(Caller::Granted(waiting, token, slot)) = self.callers.remove(number) else {
            return None;
        };
        self.renamed.remove(&waiting.asked);
        let tenure = Tenure::new(
            number,
            self.key.name.to_arc(),
            waiting.candidate.as_ref().map_or(&terms.holder, |candidate| &candidate.id).clone(),
            token,
            terms.clock,
            terms.validity,
        );
        let tenure = match waiting.mode {
            Mode::Slots(_) => tenure.in_slot(slot),
            Mode::Exclusive | Mode::Shared => tenure,
        };
        tenure.extend(terms.validity, terms.overdue_at);
        tenure.request(self.machine.is_requested());
        self.telemetry.acquired(token, terms.validity.since(now));
        let metered = self.meter.began(&self.key, &tenure, now - waiting.since);
        let (mode, at_least) = (waiting.mode, waiting.at_least.clone());
        self.machine.began(now, Nonce(number));
        let held =
            Caller::Held { tenure: tenure.clone(), since: now, mode, at_least, _metered: metered };
        self.callers.insert(number, held);
        // A caller that is gone drops the guard, which then releases the lock.
        let releases = terms.releases.clone();
        let guard = match &waiting.candidate {
            Some(_) => Guard::new(tenure, releases),
            None => Guard::queued(tenure, releases),
        };
        let _ = waiting.answer.send(Ok(guard));
        Some(number)
    }

    /// Ends a tenure. A grant that no guard has yet becomes a wait again, behind the others.
    pub(super) fn end(&mut self, now: Moment, nonce: u64, loss: Loss) {
        match self.callers.remove(nonce) {
            Some(Caller::Held { tenure, .. }) => self.lost(&tenure, loss),
            Some(Caller::Leaving(done)) => {
                self.report_expired(nonce);
                answer_all(done, &Ok(()));
            }
            Some(Caller::Granted(waiting, ..) | Caller::Waiting(waiting)) => {
                self.claim(now, Nonce(environment::random()), waiting);
            }
            None => self.report_expired(nonce),
        }
    }

    /// A tenure ends without a release.
    fn lost(&self, tenure: &Tenure, why: Loss) {
        self.telemetry.lost(tenure.token(), why);
        tenure.end(why);
    }

    /// A tenure was not confirmed in time. Its claim leaves the record.
    pub(super) fn lose(&mut self, nonce: u64) {
        if let Some(Caller::Held { tenure, .. }) = self.callers.get(nonce) {
            self.lost(tenure, Loss::Expired);
            self.callers.insert(nonce, Caller::Leaving(Vec::new()));
            self.machine.give_up(Nonce(nonce));
        }
    }

    /// The mode of a tenure, and for how long after its start no other one may begin.
    pub(super) fn mode_of(&self, nonce: u64) -> Option<(Mode, Option<AtLeast>)> {
        match self.callers.get(nonce) {
            Some(Caller::Held { mode, at_least, .. }) => Some((*mode, at_least.clone())),
            _ => None,
        }
    }
}
