//! One lock of a session: its machine, and the callers that want it or hold it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use super::{
    callers::{Caller, Callers, Waiting, answer_all},
    candidate::Candidate,
    meter::LockMeter,
    tenures::Terms,
};
use crate::{
    api::{
        error::{Error, Loss, Result},
        guard::Guard,
        token::Token,
    },
    protocol::{
        not_before::Closed,
        queue::{
            claim::Mode,
            machine::{Event, Interest, LockMachine},
        },
        record::Nonce,
    },
    runtime::{
        outage::{Outage, Subject},
        telemetry::Telemetry,
    },
    store::RecordKey,
    util::clock::Moment,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) key: Arc<RecordKey>,
    pub(super) machine: LockMachine,
    /// By the nonce of their claim.
    pub(super) callers: Callers,
    /// The candidates of this session, if it is an election.
    pub(super) candidates: BTreeMap<u64, Candidate>,
    /// Callers whose wait is over, until their claims have left the queue.
    pub(super) expired: BTreeMap<u64, (oneshot::Sender<Result<Guard>>, Error)>,
    /// The present nonces of claims that were made again, by the nonce that their caller knows.
    pub(super) renamed: BTreeMap<u64, u64>,
    pub(super) interests: Vec<Interest>,
    /// Others wait for the lock that this session holds.
    pub(super) requested: bool,
    /// It waits for a request of another lock to end.
    pub(super) queued: bool,
    /// The number of the last list that showed it.
    pub(super) listed_in: u64,
    /// The last failure, until a request succeeds.
    pub(super) error: Option<Error>,
    /// Since when no write succeeds, and why the last one failed.
    pub(super) failing: Option<(Moment, Error)>,
    outage: Outage,
    pub(super) telemetry: Telemetry,
    pub(super) meter: LockMeter,
}

impl Lock {
    pub(super) fn new(key: Arc<RecordKey>, machine: LockMachine) -> Self {
        Self {
            telemetry: Telemetry::without_metrics(&key),
            outage: Outage::default(),
            key,
            machine,
            callers: Callers::default(),
            candidates: BTreeMap::new(),
            expired: BTreeMap::new(),
            renamed: BTreeMap::new(),
            interests: Vec::new(),
            requested: false,
            queued: false,
            listed_in: 0,
            error: None,
            failing: None,
            meter: LockMeter::default(),
        }
    }

    /// Adds a caller, or one whose claim was lost with its session.
    pub(super) fn claim(&mut self, now: Moment, nonce: Nonce, waiting: Waiting) {
        if waiting.asked != nonce.0 {
            self.renamed.insert(waiting.asked, nonce.0);
        }
        self.machine.claim(now, nonce, waiting.mode, waiting.try_once);
        if let Some(candidate) = &waiting.candidate {
            self.machine.describe(nonce, Arc::clone(candidate));
        }
        if let Some(at_least) = &waiting.at_least {
            self.machine.space(nonce, at_least.clone());
        }
        self.callers.insert(nonce.0, Caller::Waiting(waiting));
    }

    /// The present nonce of the claim that its caller knows as `asked`.
    pub(super) fn nonce_of(&self, asked: u64) -> u64 {
        self.renamed.get(&asked).copied().unwrap_or(asked)
    }

    /// Applies what happened in the machine. Returns the tenures that began.
    pub(super) fn deliver(&mut self, now: Moment, terms: &Terms) -> Vec<u64> {
        let mut begun = Vec::new();
        for event in self.machine.take_events() {
            match event {
                Event::Granted { nonce, token, slot } => {
                    if let Some(waiting) = self.take_waiting(nonce.0) {
                        let granted = Caller::Granted(waiting, Token::new(token), slot);
                        self.callers.insert(nonce.0, granted);
                        begun.extend(self.begin(now, nonce.0, terms));
                    }
                }
                Event::Lost { nonce, loss } => self.end(now, nonce.0, loss),
                Event::Busy { nonce, holder } => {
                    let (name, holder) = (self.key.name.to_string(), holder.to_string());
                    let held = Error::Held { name, holder };
                    // The process that holds an edited record frees it, so a try may find it free soon.
                    let damaged = self.unlisted().filter(|_| !self.heals());
                    self.refuse(nonce, damaged.unwrap_or(held));
                }
                Event::TooEarly { nonce, closed } => {
                    let error = too_early(&self.key, now, &closed);
                    self.refuse(nonce, error);
                }
                Event::Mismatch { nonce, in_use } => {
                    let name = self.key.name.to_string();
                    let wanted = match self.callers.get(nonce.0) {
                        Some(Caller::Waiting(waiting)) => waiting.mode,
                        _ => Mode::default(),
                    };
                    let (wanted, in_use) = (wanted.to_string(), in_use.to_string());
                    self.refuse(nonce, Error::OtherMode { name, wanted, in_use });
                }
                Event::Left { nonce } => {
                    self.meter.left(&self.key, now, nonce.0);
                    self.report_expired(nonce.0);
                    if let Some(Caller::Leaving(done)) = self.callers.remove(nonce.0) {
                        answer_all(done, &Ok(()));
                    }
                }
            }
        }
        self.report_requests();
        let waiters = self.machine.record().filter(|_| !self.callers.is_empty());
        let waiters = waiters.map_or(0, |found| found.record.line.length());
        self.meter.queue(&self.key, waiters);
        begun
    }

    /// Tells the guards whether others wait.
    fn report_requests(&mut self) {
        let requested = self.machine.is_requested();
        if std::mem::replace(&mut self.requested, requested) == requested {
            return;
        }
        for caller in self.callers.values() {
            if let Caller::Held { tenure, .. } = caller {
                tenure.request(requested);
            }
        }
    }

    /// The outcome of a request. A refusal is returned to all callers; other failures that last are warned of while a
    /// caller waits.
    pub(super) fn answered(&mut self, now: Moment, error: Option<Error>) {
        if let Some(error) = error.as_ref().filter(|error| !error.is_transient()) {
            self.refuse_all(error);
        }
        let cause = error.clone().or_else(|| self.unlisted());
        if let Some(cause) = &cause {
            self.outage.failed(cause);
        }
        let waits = self.callers.values().any(|caller| matches!(caller, Caller::Waiting(_)));
        self.outage.update(now, waits && cause.is_some(), waits, &Subject::Record(&self.key));
        self.error = error;
    }

    /// The session is over: ends its tenures, and returns the callers that still wait, with what was known of the lock.
    pub(super) fn abandon(mut self) -> (Vec<Waiting>, LockMachine) {
        let expired: Vec<_> = self.expired.keys().copied().collect();
        for nonce in expired {
            self.report_expired(nonce);
        }
        let mut waiting = Vec::new();
        for caller in self.callers.into_values() {
            match caller {
                Caller::Waiting(one) | Caller::Granted(one, ..) => waiting.push(one),
                Caller::Held { tenure, .. } => {
                    self.telemetry.lost(tenure.token(), Loss::Session);
                    tenure.end(Loss::Session);
                }
                // The claim goes with its session.
                Caller::Leaving(done) => answer_all(done, &Ok(())),
            }
        }
        (waiting, self.machine)
    }

    /// The present nonce of the claim that its caller knows as `asked`, if the caller has no guard yet. A guard that was
    /// handed out is released by its own drop.
    pub(super) fn waiting(&self, asked: u64) -> Option<u64> {
        Some(self.nonce_of(asked)).filter(|nonce| self.waits(*nonce))
    }

    pub(super) fn waits(&self, nonce: u64) -> bool {
        matches!(self.callers.get(nonce), Some(Caller::Waiting(_) | Caller::Granted(..)))
    }

    /// Removes a caller that waits. One that has left since stays until its claim is gone from the record.
    fn take_waiting(&mut self, nonce: u64) -> Option<Waiting> {
        match self.callers.remove(nonce)? {
            Caller::Waiting(waiting) => Some(waiting),
            other => {
                self.callers.insert(nonce, other);
                None
            }
        }
    }

    fn refuse(&mut self, nonce: Nonce, error: Error) {
        if let Some(waiting) = self.take_waiting(nonce.0) {
            self.renamed.remove(&waiting.asked);
            let _ = waiting.answer.send(Err(error));
        }
    }

    /// Returns `error` to all callers that wait, and to those that release. The release goes on.
    pub(super) fn refuse_all(&mut self, error: &Error) {
        for number in self.callers.nonces() {
            match self.callers.remove(number) {
                Some(Caller::Waiting(waiting)) => {
                    self.renamed.remove(&waiting.asked);
                    let _ = waiting.answer.send(Err(error.clone()));
                    self.callers.insert(number, Caller::Leaving(Vec::new()));
                    self.machine.give_up(Nonce(number));
                }
                Some(Caller::Leaving(done)) => {
                    answer_all(done, &Err(error.clone()));
                    self.callers.insert(number, Caller::Leaving(Vec::new()));
                }
                Some(other) => self.callers.insert(number, other),
                None => {}
            }
        }
    }

    /// The record can be read, and names a session without a place in its queue. That session frees it if it is alive.
    fn heals(&self) -> bool {
        self.machine.record().is_some_and(|found| found.record.orphan().is_some())
    }

    /// Why no session may take the lock although requests succeed: a person must look at the record.
    pub(super) fn unlisted(&self) -> Option<Error> {
        let found = self.machine.record()?;
        let foreign = found.record.unlisted()?;
        let queue = if foreign.readable {
            "its queue does not name the session that holds it: it was edited"
        } else {
            "its queue cannot be read: it was damaged, or written by a newer version"
        };
        let reason = format!(
            "{queue}. Make sure that the process of `{}` has ended, then use `leasehold release --force`, or delete the \
             record",
            foreign.holder
        );
        Some(Error::InvalidRecord { name: self.key.name.to_string(), reason })
    }

    /// The holder, for an error.
    pub(super) fn holder(&self) -> String {
        self.machine
            .record()
            .map(|found| found.record.shown_holder().to_string())
            .unwrap_or_default()
    }
}

/// No tenure may begin yet.
pub(super) fn too_early(key: &RecordKey, now: Moment, closed: &Closed) -> Error {
    let Closed { until, time, stated } = closed;
    Error::TooEarly {
        name: key.name.to_string(),
        holder: stated.holder.clone(),
        not_before: *time,
        remaining: *until - now,
    }
}
