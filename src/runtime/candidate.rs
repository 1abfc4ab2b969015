//! The task behind a `Leader`: follows, leads, follows again, until it is resigned.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    candidates::{Registration, Resign},
    contender_status::ContenderStatus,
    contenders::Contenders,
    leftovers::Leftovers,
    membership::{Membership, MembershipChange},
};
use crate::{
    api::{
        error::{self, Error, Loss, Result},
        guard::Guard,
        leader::{Lead, LeaderState, Status},
        member::{Member, Role},
        name::Name,
        tenure::TenureState,
        timing::Durations,
        token::Token,
    },
    store::RecordKey,
    util::watched::Watched,
};

/// How long a candidate that has stepped down leaves the election to other candidates, besides twice the time of its
/// release: another one may hold back from a free record for 400 ms.
const STEPPED_DOWN: Duration = Duration::from_secs(1);

/// The two warnings: each is logged once, until it is over.
pub(crate) const RETRYING_SLOWLY: &str = "cannot compete, trying again slowly";
const UNLISTED: &str = "this candidate competes, but is not listed";

/// One candidate in one election.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) contenders: Arc<Contenders>,
    pub(crate) election: Arc<RecordKey>,
    /// The candidate's id.
    pub(crate) id: Name,
    pub(crate) payload: Option<Arc<str>>,
    pub(crate) timing: Durations,
    pub(crate) state: Arc<Watched<LeaderState>>,
    pub(crate) resign: mpsc::UnboundedReceiver<Resign>,
    /// Answered once: the candidate takes part, or why it cannot.
    pub(crate) started: Option<oneshot::Sender<Result<()>>>,
    pub(crate) membership: Membership,
    pub(crate) leftovers: Leftovers,
    /// The warnings that were logged and are not over.
    pub(crate) warned: BTreeMap<&'static str, String>,
    /// Dropped before the caller of `resign` is answered, so that the same id may be a candidate again at once.
    pub(crate) registration: Option<Registration>,
}

enum End {
    Lost(Loss),
    Resigned(Option<Resign>),
}

impl Candidate {
    pub(crate) async fn run(mut self) {
        loop {
            let guard = match self.follow().await {
                Ok(Ok(guard)) => guard,
                Ok(Err(error)) if self.started.is_some() => return self.fail(error).await,
                Ok(Err(error)) => {
                    self.warn(RETRYING_SLOWLY, &error);
                    self.state.modify(|state| {
                        state.error = Some(error);
                        true
                    });
                    match self.pause(self.timing.refused()).await {
                        None => continue,
                        Some(resign) => return self.leave(None, resign).await,
                    }
                }
                Err(resign) => return self.leave(None, resign).await,
            };
            match self.lead(guard).await {
                End::Resigned(resign) => {
                    let guard = self.guard();
                    return self.leave(guard, resign).await;
                }
                End::Lost(loss) => {
                    self.set_status(Status::Lost);
                    if loss == Loss::Released
                        && let Some(resign) = self.step_down().await
                    {
                        return self.leave(None, resign).await;
                    }
                }
            }
        }
    }

    /// Competes until the candidate leads (`Ok(Ok)`), the backend refuses (`Ok(Err)`), or it is resigned (`Err`).
    async fn follow(&mut self) -> Result<Result<Guard>, Option<Resign>> {
        let mut pending = self.contenders.claim(
            &self.election,
            &self.id,
            self.timing,
            None,
            self.payload.clone(),
        );
        let contender = Arc::clone(&pending.status);
        loop {
            let changed = contender.changed();
            let status = contender.borrow().clone();
            self.observe(&status);
            tokio::select! {
                biased;
                resign = self.resign.recv() => return Err(resign),
                won = pending.granted() => return Ok(won),
                change = self.membership.changed() => self.member_changed(change),
                () = changed => {}
            }
        }
    }

    /// Leads until the tenure ends. The election's record lists the leader, so the candidate's own record is deleted.
    async fn lead(&mut self, guard: Guard) -> End {
        self.warned.remove(RETRYING_SLOWLY);
        self.membership = Membership::None;
        let member = Member {
            payload: self.payload.as_deref().map(Into::into),
            ..self.member(Role::Leader, &self.id.to_arc(), Some(guard.token()))
        };
        let (election, candidate_id) = (&self.election.name, &self.id);
        tracing::debug!(%election, %candidate_id, token = %guard.token(), "elected");
        let mut states = guard.states();
        // From now on the guard belongs to the user, who may take it, and steps down by dropping it.
        self.state.modify(|state| {
            state.status = Status::Leading;
            state.primary = Some(member);
            state.lead = Lead::Ready(guard);
            state.error = None;
            true
        });
        self.start(Ok(()));
        loop {
            tokio::select! {
                biased;
                resign = self.resign.recv() => return End::Resigned(resign),
                state = states.next() => match state {
                    Some(TenureState::Held) => self.set_status(Status::Leading),
                    Some(TenureState::InDoubt) => self.set_status(Status::InDoubt),
                    Some(TenureState::Lost(loss)) => return End::Lost(loss),
                    None => return End::Lost(Loss::Abandoned),
                },
                () = self.leftovers.delete_next() => {}
            }
        }
    }

    /// Publishes who leads, and lists this candidate once it waits for another's tenure to end.
    fn observe(&mut self, contender: &ContenderStatus) {
        let token = contender.token.map(Token::new);
        let primary = contender.holder.as_ref().map(|id| Member {
            payload: contender.payload.as_deref().map(Into::into),
            ..self.member(Role::Leader, id, token)
        });
        self.state.modify(|state| {
            let changed = state.primary != primary
                || !error::same(state.error.as_ref(), contender.error.as_ref());
            state.primary = primary;
            state.error.clone_from(&contender.error);
            changed
        });
        if !contender.waiting {
            return;
        }
        self.set_status(Status::Follower);
        if matches!(self.membership, Membership::None) {
            let key = self.contenders.candidate(&self.election, &self.id);
            self.membership =
                Membership::join(&self.contenders, key, &self.id, self.payload.clone());
        }
    }

    /// Warns once of an error, however often the same attempt fails with it.
    fn warn(&mut self, what: &'static str, error: &Error) {
        let (election, said) = (&self.election.name, error.to_string());
        if self.warned.get(what) == Some(&said) {
            tracing::debug!(%election, %error, "{what}");
        } else {
            tracing::warn!(%election, %error, "{what}");
            self.warned.insert(what, said);
        }
    }

    fn member_changed(&mut self, change: MembershipChange) {
        match change {
            MembershipChange::Granted(Ok(guard)) => {
                self.warned.remove(UNLISTED);
                self.membership = Membership::Joined(guard);
            }
            MembershipChange::Granted(Err(error)) => {
                self.warn(UNLISTED, &error);
                self.membership = Membership::unlisted();
            }
            MembershipChange::Listed => {}
            MembershipChange::Gone => {
                self.membership = Membership::None;
                return;
            }
        }
        self.start(Ok(()));
    }

    /// The guard of the present tenure, if there is one.
    fn guard(&self) -> Option<Guard> {
        self.state.borrow().lead.take()
    }

    fn start(&mut self, outcome: Result<()>) {
        if let Some(started) = self.started.take() {
            let _ = started.send(outcome);
        }
    }

    async fn fail(mut self, error: Error) {
        let started = self.started.take();
        self.leave(None, None).await;
        if let Some(started) = started {
            let _ = started.send(Err(error));
        }
    }

    /// Steps down locally first, then in the store, and then answers the callers of `resign`.
    async fn leave(mut self, guard: Option<Guard>, resign: Option<Resign>) {
        self.end();
        let released = guard.map(Guard::release);
        self.membership = Membership::None;
        let limit = self.timing.ttl();
        let key = self.contenders.candidate(&self.election, &self.id);
        let (lead, listed) = tokio::join!(
            async {
                match released {
                    Some(released) => released.await,
                    None => self.contenders.released(&self.election, &self.id, limit).await,
                }
            },
            self.contenders.released(&key, &self.id, limit),
        );
        let outcome = lead.and(listed);
        self.registration = None;
        self.resign.close();
        let mut next = resign;
        while let Some(done) = next {
            let _ = done.send(outcome.clone());
            next = self.resign.recv().await;
        }
    }

    /// Publishes that this candidate no longer takes part.
    fn end(&self) {
        self.state.modify(|state| {
            state.status = Status::Resigned;
            state.leaving = true;
            state.lead = Lead::None;
            state.primary.take_if(|primary| primary.candidate_id == self.id.as_str());
            true
        });
    }

    /// Leaves the election to other candidates, for longer the farther the server is.
    async fn step_down(&mut self) -> Option<Option<Resign>> {
        let (began, limit) = (self.contenders.now(), self.timing.ttl());
        tokio::select! {
            biased;
            resign = self.resign.recv() => return Some(resign),
            _ = self.contenders.released(&self.election, &self.id, limit) => {}
        }
        let released_in = self.contenders.now() - began;
        self.pause(STEPPED_DOWN.min(self.timing.renew_interval()) + released_in * 2).await
    }

    async fn pause(&mut self, pause: Duration) -> Option<Option<Resign>> {
        tokio::select! {
            biased;
            resign = self.resign.recv() => Some(resign),
            () = sleep(pause) => None,
        }
    }

    fn set_status(&self, status: Status) {
        self.state.modify(|state| {
            if matches!(status, Status::Lost) {
                state.lead = Lead::None;
                state.primary = None;
            }
            std::mem::replace(&mut state.status, status) != status
        });
    }

    fn member(&self, role: Role, candidate_id: &Arc<str>, token: Option<Token>) -> Member {
        Member {
            election: self.election.name.to_string(),
            candidate_id: candidate_id.to_string(),
            role,
            namespace: self.election.namespace.to_string(),
            token,
            payload: None,
            succession: None,
        }
    }
}

impl Drop for Candidate {
    /// However the task ends, its `Leader` must not report that it leads.
    fn drop(&mut self) {
        self.end();
    }
}
