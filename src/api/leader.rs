//! The handle of one candidate in one election.

use std::{any::Any, fmt, sync::Arc};

use futures::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{
    error::{Error, Result},
    guard::{Guard, WeakGuard},
    member::Member,
    tenure::{Tenure, TenureState},
};
use crate::util::watched::Watched;

/// The state of one candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum Status {
    /// Another candidate leads, or none does yet.
    #[default]
    Follower,
    /// This candidate leads.
    Leading,
    /// This candidate still leads, but a renewal is overdue.
    InDoubt,
    /// This candidate has just lost the lead and does not know the new leader yet. It goes on competing.
    Lost,
    /// This candidate has resigned, or its handle is gone.
    Resigned,
}

/// What a candidate sees at one moment: its own state, and the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// The state of this candidate.
    pub status: Status,
    /// The member that leads, as far as this candidate knows; `None` while there is none.
    pub primary: Option<Member>,
}

/// What the task of a candidate shares with its [`Leader`].
#[derive(Debug, Default)]
pub(crate) struct LeaderState {
    pub(crate) status: Status,
    pub(crate) primary: Option<Member>,
    pub(crate) lead: Lead,
    pub(crate) error: Option<Error>,
    /// The candidate was asked to resign, or has ended.
    pub(crate) leaving: bool,
}

/// Where the guard of the present tenure is.
#[derive(Debug, Default)]
pub(crate) enum Lead {
    #[default]
    None,
    /// The user has not taken it.
    Ready(Guard),
    /// The user has taken it.
    Taken(WeakGuard),
}

/// The task that runs a candidacy, as its [`Leader`] sees it. Dropping it resigns.
pub(crate) trait Candidacy: Send + Sync {
    /// Asks the task to resign; false if it has ended.
    fn resign(&self, done: oneshot::Sender<Result<()>>) -> bool;

    /// Reports that the election is observed until the value is dropped.
    fn observed(&self) -> Option<Box<dyn Any + Send + Sync>>;
}

/// The candidate's own task observes its election always.
impl Candidacy for mpsc::UnboundedSender<oneshot::Sender<Result<()>>> {
    fn resign(&self, done: oneshot::Sender<Result<()>>) -> bool {
        self.send(done).is_ok()
    }

    fn observed(&self) -> Option<Box<dyn Any + Send + Sync>> {
        None
    }
}

/// A candidate in one election. Dropping it resigns in the background.
pub struct Leader {
    candidate_id: Arc<str>,
    election: Arc<str>,
    state: Arc<Watched<LeaderState>>,
    candidacy: Box<dyn Candidacy>,
}

impl Leader {
    pub(crate) fn new(
        candidate_id: Arc<str>,
        election: Arc<str>,
        state: Arc<Watched<LeaderState>>,
        candidacy: impl Candidacy + 'static,
    ) -> Self {
        Self { candidate_id, election, state, candidacy: Box::new(candidacy) }
    }

    /// The candidate's id.
    #[must_use]
    pub fn candidate_id(&self) -> &str {
        &self.candidate_id
    }

    /// The election's name.
    #[must_use]
    pub fn election(&self) -> &str {
        &self.election
    }

    /// Waits until this candidate leads, and takes the guard of that tenure.
    ///
    /// Dropping the guard steps down; the candidate then competes again. A second call during the same tenure
    /// returns a guard that shares it: the tenure ends when the last guard is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] once resigned.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn elected(&self) -> Result<Guard> {
        loop {
            let changed = self.state.changed();
            let taken = self.state.borrow().lead.take();
            if let Some(guard) = taken.filter(|guard| guard.is_held()) {
                return Ok(guard);
            }
            if self.state.borrow().status == Status::Resigned {
                return Err(Error::Closed { name: self.election.to_string() });
            }
            changed.await;
        }
    }

    /// Runs `work` while this candidate leads. `work` starts with each tenure, is dropped when the tenure is lost,
    /// and starts again after the next election. When `work` returns, the candidate resigns.
    ///
    /// `work` is dropped at its next `.await` after the loss. Code that blocks or computes for long must call
    /// [`check`](crate::Tenure::check) itself.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the candidate is resigned meanwhile. The result of `work` is returned also if the backend
    /// could not be reached for the release after it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work` first, and steps down after that.
    ///
    /// # Examples
    ///
    /// ```
    /// # use leasehold::{LeaderOptions, Memory, Sync as _};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> leasehold::Result<()> {
    /// # let sync = Memory::default();
    /// let leader = sync.leader("billing", LeaderOptions::default()).await?;
    /// let sum = leader.run(|tenure| async move {
    ///     tenure.check().expect("leading");
    ///     40 + 2
    /// }).await?;
    /// assert_eq!(sum, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, F, W>(&self, mut work: F) -> Result<T>
    where
        T: Send,
        F: FnMut(Tenure) -> W + Send,
        W: Future<Output = T> + Send,
    {
        loop {
            let guard = self.elected().await?;
            let done = guard.run(&mut work).await;
            if let Some(done) = done {
                drop(guard);
                if let Err(error) = self.resign().await {
                    tracing::warn!(election = %self.election, %error, "not released: the record is left to expire");
                }
                return Ok(done);
            }
        }
    }

    /// Steps down if this candidate leads, leaves the election, and returns when the backend has been updated.
    ///
    /// End the led work first: from the call on this candidate does not lead. Resigning twice is not an error.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the backend could not be reached: the record expires by itself.
    ///
    /// # Cancel safety
    ///
    /// Once polled it goes on in the background.
    pub async fn resign(&self) -> Result<()> {
        let (done, end) = oneshot::channel();
        // Wakes no subscriber: nothing that they can see has changed yet.
        self.state.borrow().leaving = true;
        if !self.candidacy.resign(done) {
            return Ok(());
        }
        end.await.unwrap_or(Ok(()))
    }

    /// The state of this candidate now.
    ///
    /// # Guarantees
    ///
    /// Reads the clock, as [`Tenure::is_held`] does: never [`Status::Leading`] or [`Status::InDoubt`] past the
    /// deadline, also where the task that renews had no time to run.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state.borrow().status_now()
    }

    /// The member that leads, as far as this candidate knows.
    ///
    /// A candidate of a [`Session`](crate::Session) without a [`watch`](Self::watch) reads the election once per third of
    /// the time to live, and once per time to live if eight or more candidates wait before it.
    #[must_use]
    pub fn primary(&self) -> Option<Member> {
        self.observation().primary
    }

    /// The state of this candidate together with the leader, now. See [`status`](Self::status) for its guarantees.
    #[must_use]
    pub fn observation(&self) -> Observation {
        self.state.borrow().observation(&self.candidate_id)
    }

    /// The state of this candidate together with the leader: first as they are, then each change. Ends after
    /// [`Status::Resigned`].
    ///
    /// A reader that is slower than the changes sees the latest, not each. A candidate of a
    /// [`Session`](crate::Session) watches its election as long as it has such a stream.
    pub fn watch(&self) -> impl Stream<Item = Observation> + Send + Unpin + 'static {
        let (state, id) = (Arc::clone(&self.state), Arc::clone(&self.candidate_id));
        let start = (state, id, None::<Observation>, self.candidacy.observed());
        Box::pin(
            stream::unfold(start, |(state, id, last, observed)| async move {
                if last.as_ref().is_some_and(|last| last.status == Status::Resigned) {
                    return None;
                }
                let now = loop {
                    let changed = state.changed();
                    let now = state.borrow().observation(&id);
                    if last.as_ref() != Some(&now) {
                        break now;
                    }
                    let tenure = state.borrow().lead.tenure().filter(Tenure::is_held);
                    match tenure {
                        Some(tenure) => tokio::select! {
                            biased;
                            () = changed => {}
                            () = tenure.state_changed() => {}
                        },
                        None => changed.await,
                    }
                };
                Some((now.clone(), (state, id, Some(now), observed)))
            })
            .fuse(),
        )
    }

    /// The present tenure, if this candidate leads now. Unlike [`elected`](Self::elected) it neither waits nor takes
    /// the guard.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        self.state.borrow().lead.tenure().filter(Tenure::is_held)
    }

    /// The last error of the candidate's task in the background; `None` once it is over.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.state.borrow().error.clone()
    }
}

impl LeaderState {
    /// What the candidate of this id observes.
    fn observation(&self, id: &str) -> Observation {
        let status = self.status_now();
        let leads = matches!(status, Status::Leading | Status::InDoubt);
        // The task that clears the leader may not have run since the deadline, and the record of a tenure that is over
        // still names this candidate until it is released or expires.
        let primary = self.primary.clone().filter(|primary| leads || primary.candidate_id != id);
        Observation { status, primary }
    }

    fn status_now(&self) -> Status {
        match (self.status, self.lead.tenure().as_ref().map(Tenure::state)) {
            (Status::Leading | Status::InDoubt, Some(TenureState::Held)) => Status::Leading,
            (Status::Leading | Status::InDoubt, Some(TenureState::InDoubt)) => Status::InDoubt,
            (Status::Leading | Status::InDoubt, _) => Status::Lost,
            (status, _) => status,
        }
    }
}

impl Lead {
    /// The tenure, which may be over.
    fn tenure(&self) -> Option<Tenure> {
        match self {
            Self::None => None,
            Self::Ready(guard) => Some(guard.tenure()),
            Self::Taken(guard) => Some(guard.tenure()),
        }
    }

    /// The guard for the user. A weak guard stays behind, so that a second caller can share the tenure.
    pub(crate) fn take(&mut self) -> Option<Guard> {
        let guard = match self {
            Self::None => None,
            Self::Ready(guard) => Some(guard.share()),
            Self::Taken(guard) => guard.upgrade(),
        }?;
        *self = Self::Taken(guard.downgrade());
        Some(guard)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Wakes no subscriber: nothing that they can see has changed yet.
        self.state.borrow().leaving = true;
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("election", &self.election)
            .field("candidate_id", &self.candidate_id)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
