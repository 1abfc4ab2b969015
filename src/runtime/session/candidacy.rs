//! The candidacies of a session: the calls of a `Leader`, and the claims of all candidates in one election.

use std::{any::Any, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use super::{
    Session,
    callers::Waiting,
    candidate::{Candidate, Next, Phase},
    command::Command,
    lock::Lock,
    task::Task,
};
use crate::{
    api::{
        error::{Error, Result},
        leader::{Candidacy, Leader},
        name::RecordName,
        options::LeaderOptions,
    },
    protocol::{
        queue::{candidate::Candidate as Described, claim::Mode},
        record::Nonce,
    },
    runtime::{
        candidates::Resign,
        handle::{Registered, require_runtime},
    },
    store::RecordKey,
    util::{clock::Moment, environment},
};

impl Session {
    /// See [`Sync::leader`](crate::Sync::leader).
    pub(super) async fn stand(&self, name: &str, options: LeaderOptions) -> Result<Leader> {
        require_runtime()?;
        self.check_ttl(options.timing)?;
        self.check_namespace(options.namespace.as_deref())?;
        let registered = self.0.handle.register(name, &options)?;
        let Registered { election, candidate_id, payload, state, registration } = registered;
        let number = environment::random();
        let stood = Stood { session: self.clone(), record: election.record.clone(), number };
        let leader =
            Leader::new(candidate_id.to_arc(), election.name.to_arc(), Arc::clone(&state), stood);
        let (started, joined) = oneshot::channel();
        let candidate = Candidate {
            id: candidate_id,
            payload,
            state,
            started: Some(started),
            registration: Some(registration),
            phase: Phase::Pausing(Moment::default()),
        };
        let closed = || Error::Closed { name: name.to_owned() };
        self.send(Command::Stand { key: election, number, candidate }).map_err(|()| closed())?;
        // The candidacy ends when `leader` is resigned or dropped, also if this future is dropped.
        joined.await.unwrap_or_else(|_| Err(closed()))?;
        Ok(leader)
    }

    /// The queue of an election must be where its sessions are.
    fn check_namespace(&self, chosen: Option<&str>) -> Result<()> {
        let own = &self.0.sender.namespace;
        match chosen.map(|chosen| self.0.handle.namespace(Some(chosen))).transpose()? {
            Some(other) if other != *own => {
                let bound = format!(
                    "an election of a session is in the namespace of the session, which is {own}. Open a session there"
                );
                Err(Error::invalid("namespace", other.as_str(), bound))
            }
            _ => Ok(()),
        }
    }
}

/// A candidacy, as its [`Leader`] holds it.
struct Stood {
    session: Session,
    record: RecordName,
    number: u64,
}

impl Stood {
    fn send_resign(&self, done: Option<Resign>) -> bool {
        let (record, number) = (self.record.clone(), self.number);
        self.session.send(Command::Resign { record, number, done }).is_ok()
    }
}

impl Candidacy for Stood {
    fn resign(&self, done: Resign) -> bool {
        self.send_resign(Some(done))
    }

    fn observed(&self) -> Option<Box<dyn Any + Send + Sync>> {
        let (commands, record) = (self.session.0.commands.downgrade(), self.record.clone());
        let observation = Observation { commands, record };
        observation.report(true);
        Some(Box::new(observation))
    }
}

impl Drop for Stood {
    fn drop(&mut self) {
        self.send_resign(None);
    }
}

/// A stream that observes an election. It does not keep the session open.
struct Observation {
    commands: mpsc::WeakUnboundedSender<Command>,
    record: RecordName,
}

impl Observation {
    fn report(&self, begins: bool) {
        if let Some(commands) = self.commands.upgrade() {
            // An error means that the session has ended.
            let _ = commands.send(Command::Observe { record: self.record.clone(), begins });
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.report(false);
    }
}

impl Task {
    /// A new candidate.
    pub(super) fn stand(&mut self, key: &Arc<RecordKey>, number: u64, mut candidate: Candidate) {
        if self.closing.is_some() {
            return candidate.fail(Error::Closed { name: key.name.to_string() });
        }
        let lock = self.lock_of(key);
        // The purpose of the record is that of its last user.
        lock.key = Arc::clone(key);
        lock.candidates.insert(number, candidate);
        self.drive(&key.record);
    }

    /// A candidate resigns, or its `Leader` is dropped.
    pub(super) fn resign(&mut self, record: &RecordName, number: u64, done: Option<Resign>) {
        let Some(lock) = self.locks.get_mut(record) else { return };
        if let Some(tenure) = lock.resign(number, done) {
            self.tenures.remove(&tenure);
        }
        self.drive(record);
    }
}

impl Lock {
    /// Does what the candidates of this election want now. True if a claim was added.
    pub(super) fn campaign(&mut self, now: Moment) -> bool {
        let mut claimed = false;
        for (number, mut candidate) in std::mem::take(&mut self.candidates) {
            match candidate.next(now, self) {
                Next::Stays => {}
                Next::Claims => {
                    self.claim_for(now, &mut candidate);
                    claimed = true;
                }
                Next::Ends => continue,
            }
            self.candidates.insert(number, candidate);
        }
        claimed
    }

    /// Whether this tenure is that of a candidate.
    pub(super) fn leads(&self, tenure: u64) -> bool {
        let leads = |candidate: &Candidate| matches!(&candidate.phase, Phase::Leading(one) if one.id() == tenure);
        self.candidates.values().any(leads)
    }

    /// When a candidate claims again after a refusal.
    pub(super) fn campaign_at(&self) -> Moment {
        let pauses = self.candidates.values().filter_map(|candidate| match candidate.phase {
            Phase::Pausing(until) => Some(until),
            _ => None,
        });
        pauses.min().unwrap_or(Moment::NEVER)
    }

    fn claim_for(&mut self, now: Moment, candidate: &mut Candidate) {
        let nonce = Nonce(environment::random().max(1));
        let (answer, granted) = oneshot::channel();
        let described = Described { id: candidate.id.to_arc(), payload: candidate.payload.clone() };
        let waiting = Waiting {
            asked: nonce.0,
            since: now,
            mode: Mode::Exclusive,
            try_once: false,
            at_least: None,
            answer,
            candidate: Some(Arc::new(described)),
        };
        self.claim(now, nonce, waiting);
        candidate.phase = Phase::Waiting { asked: nonce.0, granted };
    }

    /// Ends a candidacy, and reports to `done` once its claim is gone. Returns the tenure that has ended with it.
    fn resign(&mut self, number: u64, done: Option<Resign>) -> Option<u64> {
        let Some(mut candidate) = self.candidates.remove(&number) else {
            // It has ended, and its claim is gone.
            drop(done.map(|done| done.send(Ok(()))));
            return None;
        };
        candidate.end();
        let nonce = match &mut candidate.phase {
            Phase::Leaving { done: others, .. } => {
                others.extend(done);
                self.candidates.insert(number, candidate);
                return None;
            }
            Phase::Pausing(_) => None,
            Phase::Waiting { asked, .. } => Some(self.nonce_of(*asked)),
            Phase::Leading(tenure) => Some(tenure.id()),
        };
        let (answer, left) = oneshot::channel();
        match nonce {
            Some(nonce) => self.give_up(nonce, Some(answer)),
            None => drop(answer.send(Ok(()))),
        }
        candidate.phase = Phase::Leaving { left, done: done.into_iter().collect() };
        self.candidates.insert(number, candidate);
        nonce
    }

    /// The session is closed: all candidates have resigned.
    pub(super) fn end_candidates(&mut self) {
        let name = self.key.name.to_string();
        for candidate in self.candidates.values_mut() {
            candidate.fail(Error::Closed { name: name.clone() });
        }
        self.candidates.retain(|_, candidate| matches!(candidate.phase, Phase::Leaving { .. }));
    }
}
