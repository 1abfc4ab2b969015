//! The candidates of a session: each is a claim in the queue of its election, and has no task, timer or record of its own.
//!
//! ```text
//!  Waiting ── its claim is granted ──▶ Leading ── the tenure ends ──▶ Waiting, with a new claim at the end of the queue
//!     │ refused: a pause, then a new claim       │
//!     └────────────── resigned ──────────────────┴──▶ Leaving: until the claim has left the record
//! ```

use std::{any::Any, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use super::{
    Session,
    lock::{Lock, Waiting},
    task::{Command, Task},
};
use crate::{
    api::{
        error::{self, Error, Result},
        guard::Guard,
        leader::{Candidacy, Lead, Leader, LeaderState, Status},
        member::{Member, Role},
        name::{Name, RecordName},
        options::LeaderOptions,
        tenure::Tenure,
        timing::Timing,
        token::Token,
    },
    protocol::{
        queue::{candidate::Candidate as Described, claim::Mode, record::LockRecord},
        record::Nonce,
    },
    runtime::{
        candidate::RETRYING_SLOWLY,
        candidates::{Registration, Resign},
        handle::{Registered, require_runtime},
    },
    store::RecordKey,
    util::{clock::Moment, environment, watched::Watched},
};

/// One candidate in one election.
#[derive(Debug)]
pub(super) struct Candidate {
    id: Name,
    payload: Option<Arc<str>>,
    state: Arc<Watched<LeaderState>>,
    /// Answered once: the candidate takes part, or why it cannot.
    started: Option<oneshot::Sender<Result<()>>>,
    /// Dropped before the callers of `resign` are answered, so that the same id may be a candidate again at once.
    registration: Option<Registration>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// A claim is made at this moment.
    Pausing(Moment),
    Waiting {
        /// The nonce with which the claim was first made.
        asked: u64,
        granted: oneshot::Receiver<Result<Guard>>,
    },
    Leading(Tenure),
    Leaving {
        left: oneshot::Receiver<Result<()>>,
        done: Vec<Resign>,
    },
}

/// What becomes of a candidate.
enum Next {
    Stays,
    Claims,
    Ends,
}

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

impl Candidate {
    /// Takes in what has happened since the last call.
    fn next(&mut self, now: Moment, lock: &Lock) -> Next {
        match &mut self.phase {
            Phase::Pausing(until) if now < *until => Next::Stays,
            Phase::Pausing(_) => Next::Claims,
            Phase::Waiting { asked, granted } => match granted.try_recv() {
                Ok(Ok(guard)) => {
                    self.lead(&lock.key, guard);
                    Next::Stays
                }
                Ok(Err(error)) => self.refused(now, lock, error),
                Err(oneshot::error::TryRecvError::Closed) => Next::Claims,
                Err(oneshot::error::TryRecvError::Empty) => {
                    let nonce = Nonce(lock.nonce_of(*asked));
                    self.follow(lock, nonce);
                    Next::Stays
                }
            },
            Phase::Leading(tenure) if tenure.is_held() => Next::Stays,
            Phase::Leading(_) => {
                self.state.modify(|state| {
                    (state.status, state.lead, state.primary) = (Status::Lost, Lead::None, None);
                    true
                });
                Next::Claims
            }
            Phase::Leaving { left, done } => {
                let outcome = match left.try_recv() {
                    Ok(outcome) => outcome,
                    Err(oneshot::error::TryRecvError::Closed) => Ok(()),
                    Err(oneshot::error::TryRecvError::Empty) => return Next::Stays,
                };
                self.registration = None;
                for done in done.drain(..) {
                    let _ = done.send(outcome.clone());
                }
                Next::Ends
            }
        }
    }

    fn lead(&mut self, key: &RecordKey, guard: Guard) {
        let (election, candidate_id, token) = (&key.name, &self.id, guard.token());
        tracing::debug!(%election, %candidate_id, %token, "elected");
        let primary = Member {
            token: Some(token),
            payload: self.payload.as_deref().map(Into::into),
            ..leader(key, self.id.as_str())
        };
        self.phase = Phase::Leading(guard.tenure());
        // From now on the guard belongs to the user, who may take it, and steps down by dropping it.
        self.state.modify(|state| {
            state.status = Status::Leading;
            state.primary = Some(primary);
            state.lead = Lead::Ready(guard);
            state.error = None;
            true
        });
        self.start(Ok(()));
    }

    /// Publishes who leads, and that this candidate is listed.
    fn follow(&mut self, lock: &Lock, nonce: Nonce) {
        let record = lock.machine.record().map(|found| &found.record);
        let listed = lock.machine.is_listed(nonce);
        self.state.modify(|state| {
            let primary = match record {
                Some(record) => primary(&lock.key, record),
                None => state.primary.clone(),
            };
            let status = if listed { Status::Follower } else { state.status };
            let changed = state.primary != primary
                || state.status != status
                || !error::same(state.error.as_ref(), lock.error.as_ref());
            (state.primary, state.status) = (primary, status);
            state.error.clone_from(&lock.error);
            changed
        });
        if listed {
            self.start(Ok(()));
        }
    }

    /// The backend refuses the claim: an error for the caller of `leader`, or another claim after a pause.
    fn refused(&mut self, now: Moment, lock: &Lock, error: Error) -> Next {
        if self.started.is_some() {
            self.fail(error);
            return Next::Ends;
        }
        tracing::warn!(election = %lock.key.name, %error, "{RETRYING_SLOWLY}");
        self.state.modify(|state| {
            state.error = Some(error);
            true
        });
        self.phase = Phase::Pausing(now + Timing::default().durations().refused());
        Next::Stays
    }

    fn start(&mut self, outcome: Result<()>) {
        if let Some(started) = self.started.take() {
            let _ = started.send(outcome);
        }
    }

    fn fail(&mut self, error: Error) {
        self.end();
        self.registration = None;
        self.start(Err(error));
    }

    /// Publishes that this candidate no longer takes part.
    fn end(&self) {
        self.state.modify(|state| {
            if state.status == Status::Resigned {
                return false;
            }
            state.status = Status::Resigned;
            state.leaving = true;
            state.lead = Lead::None;
            state.primary.take_if(|primary| primary.candidate_id == self.id.as_str());
            true
        });
    }
}

impl Drop for Candidate {
    /// However the task of the session ends, a `Leader` must not report that it leads.
    fn drop(&mut self) {
        self.end();
    }
}

/// The member that leads, as the record shows it. A holder that is no candidate, and a candidate without a session, are
/// called as the record calls them.
fn primary(key: &RecordKey, record: &LockRecord) -> Option<Member> {
    if let Some(foreign) = &record.foreign {
        return Some(leader(key, &foreign.holder)).filter(|leader| !leader.candidate_id.is_empty());
    }
    let holder = record.line.holders.first()?;
    let Some(candidate) = record.line.candidate(holder.claim.nonce) else {
        return Some(leader(key, holder.claim.session.as_str()));
    };
    Some(Member {
        token: record.token().map(Token::new),
        payload: candidate.payload.as_deref().map(Into::into),
        ..leader(key, &candidate.id)
    })
}

fn leader(key: &RecordKey, candidate_id: &str) -> Member {
    Member {
        election: key.name.to_string(),
        candidate_id: candidate_id.into(),
        role: Role::Leader,
        namespace: key.namespace.to_string(),
        token: None,
        payload: None,
        succession: Some(0),
    }
}
