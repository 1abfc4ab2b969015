//! One candidate of a session: a claim in the queue of its election, without a task, timer or record of its own.
//!
//! ```text
//!  Waiting ── its claim is granted ──▶ Leading ── the tenure ends ──▶ Waiting, with a new claim at the end of the queue
//!     │ refused: a pause, then a new claim       │
//!     └────────────── resigned ──────────────────┴──▶ Leaving: until the claim has left the record
//! ```

use std::sync::Arc;

use tokio::sync::oneshot;

use super::lock::Lock;
use crate::{
    api::{
        error::{self, Error, Result},
        guard::Guard,
        leader::{Lead, LeaderState, Status},
        member::{Member, Role},
        name::Name,
        tenure::Tenure,
        timing::Timing,
        token::Token,
    },
    protocol::{queue::record::LockRecord, record::Nonce},
    runtime::{
        candidate::RETRYING_SLOWLY,
        candidates::{Registration, Resign},
    },
    store::RecordKey,
    util::{clock::Moment, watched::Watched},
};

/// One candidate in one election.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: Name,
    pub(super) payload: Option<Arc<str>>,
    pub(super) state: Arc<Watched<LeaderState>>,
    /// Answered once: the candidate takes part, or why it cannot.
    pub(super) started: Option<oneshot::Sender<Result<()>>>,
    /// Dropped before the callers of `resign` are answered, so that the same id may be a candidate again at once.
    pub(super) registration: Option<Registration>,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
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
pub(super) enum Next {
    Stays,
    Claims,
    Ends,
}

impl Candidate {
    /// Takes in what has happened since the last call.
    pub(super) fn next(&mut self, now: Moment, lock: &Lock) -> Next {
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

    pub(super) fn fail(&mut self, error: Error) {
        self.end();
        self.registration = None;
        self.start(Err(error));
    }

    /// Publishes that this candidate no longer takes part.
    pub(super) fn end(&self) {
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
