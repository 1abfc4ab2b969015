//! What is given up of one lock: tenures that are released, and claims that are not wanted any more, until the record
//! does not name them.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    callers::{Caller, answer_all},
    lock::Lock,
};
use crate::{
    api::error::{Error, Loss, Result},
    protocol::record::Nonce,
    util::clock::Moment,
};

impl Lock {
    /// Gives up a claim, and reports to `done` once it is gone from the record.
    pub(super) fn give_up(&mut self, nonce: u64, done: Option<oneshot::Sender<Result<()>>>) {
        match self.callers.remove(nonce) {
            Some(Caller::Held { tenure, .. }) => {
                self.telemetry.released(tenure.token());
                tenure.end(Loss::Released);
                self.meter.releasing(&tenure, self.requested);
                if !tenure.is_received() {
                    self.machine.withdraw(Nonce(nonce));
                }
            }
            Some(Caller::Leaving(before)) => {
                let all = before.into_iter().chain(done).collect();
                self.callers.insert(nonce, Caller::Leaving(all));
                return;
            }
            Some(Caller::Waiting(waiting) | Caller::Granted(waiting, ..)) => {
                self.renamed.remove(&waiting.asked);
                self.machine.withdraw(Nonce(nonce));
            }
            None => return answer_all(done, &Ok(())),
        }
        self.callers.insert(nonce, Caller::Leaving(done.into_iter().collect()));
        self.machine.give_up(Nonce(nonce));
    }

    /// Gives up the claim of a caller that waits, and returns `error` once it has left the queue.
    pub(super) fn expire(&mut self, nonce: u64, error: Error) {
        if let Some(Caller::Waiting(waiting) | Caller::Granted(waiting, ..)) =
            self.callers.remove(nonce)
        {
            self.renamed.remove(&waiting.asked);
            self.expired.insert(nonce, (waiting.answer, error));
            self.callers.insert(nonce, Caller::Leaving(Vec::new()));
            self.machine.withdraw(Nonce(nonce));
            self.machine.give_up(Nonce(nonce));
        }
    }

    /// Gives up the claims of all callers that have no guard yet, and returns `error` to them.
    pub(super) fn expire_all(&mut self, error: &Error) {
        for nonce in self.callers.nonces() {
            if self.waits(nonce) {
                self.expire(nonce, error.clone());
            }
        }
    }

    /// Gives up everything. A caller that waits gets an error.
    pub(super) fn close(&mut self) {
        self.expire_all(&Error::Closed { name: self.key.name.to_string() });
        for nonce in self.callers.nonces() {
            if matches!(self.callers.get(nonce), Some(Caller::Held { .. })) {
                self.give_up(nonce, None);
            }
        }
    }

    /// Something that was given up may still be in the record.
    pub(super) fn is_leaving(&self) -> bool {
        self.callers.values().any(|caller| matches!(caller, Caller::Leaving(_)))
    }

    /// The outcome of each claim that was given up and is not gone yet.
    pub(super) fn leaving(&mut self) -> Vec<oneshot::Receiver<Result<()>>> {
        let leaving = self.callers.values_mut().filter_map(|caller| match caller {
            Caller::Leaving(done) => Some(done),
            _ => None,
        });
        let outcome = |done: &mut Vec<_>| {
            let (gone, outcome) = oneshot::channel();
            done.push(gone);
            outcome
        };
        leaving.map(outcome).collect()
    }

    /// Nothing of this lock is left in the record.
    pub(super) fn is_settled(&self) -> bool {
        self.callers.is_empty()
    }

    pub(super) fn report_expired(&mut self, nonce: u64) {
        if let Some((answer, error)) = self.expired.remove(&nonce) {
            let _ = answer.send(Err(error));
        }
    }

    /// The outcome of a write. Where writes have failed for a whole time to live, callers that release get the error. The
    /// release goes on.
    pub(super) fn written(&mut self, now: Moment, error: Option<&Error>, ttl: Duration) {
        let Some(error) = error else { return self.failing = None };
        let since = self.failing.take().map_or(now, |(since, _)| since);
        self.failing = Some((since, error.clone()));
        if now - since >= ttl {
            self.answer_leaving(&Err(error.clone()));
        }
    }

    /// Answers the callers that release or have stopped waiting, although the record cannot be seen. What was given up
    /// leaves the record later, or with the session.
    pub(super) fn answer_leaving(&mut self, result: &Result<()>) {
        for number in self.callers.nonces() {
            self.report_expired(number);
            match self.callers.remove(number) {
                Some(Caller::Leaving(done)) => {
                    answer_all(done, result);
                    self.callers.insert(number, Caller::Leaving(Vec::new()));
                }
                Some(other) => self.callers.insert(number, other),
                None => {}
            }
        }
    }
}
