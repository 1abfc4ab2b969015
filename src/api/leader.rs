//! The handle of one candidate in one election.

use std::{fmt, sync::Arc};

use futures::{Stream, stream};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    api::{
        error::{Error, Result},
        guard::{Guard, WeakGuard},
        member::Member,
        tenure::{Tenure, TenureState},
    },
    util::watched::Watched,
};

/// How a candidacy stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum Status {
    /// Somebody else leads, or nobody does yet.
    #[default]
    Follower,
    /// This candidate leads.
    Leading,
    /// It leads still, but a renewal is overdue.
    InDoubt,
    /// It has just lost the lead, and does not yet know who has it; it campaigns on.
    Lost,
    /// It has resigned, or its handle has gone.
    Resigned,
}

/// What the campaign in the background shows to its [`Leader`].
#[derive(Debug, Default)]
pub(crate) struct LeaderState {
    pub(crate) status: Status,
    pub(crate) leader: Option<Member>,
    pub(crate) guard: Lead,
    pub(crate) error: Option<Error>,
    /// It has been asked to end, or has ended.
    pub(crate) leaving: bool,
}

/// Where the guard of the present tenure is.
#[derive(Debug, Default)]
pub(crate) enum Lead {
    #[default]
    None,
    /// Nobody has asked for it.
    Ready(Guard),
    /// With the user.
    Taken(WeakGuard),
}

/// A candidate in one election. Dropping it withdraws the candidacy in the background.
pub struct Leader {
    id: Arc<str>,
    election: Arc<str>,
    state: Arc<Watched<LeaderState>>,
    resign: mpsc::UnboundedSender<oneshot::Sender<Result<()>>>,
}

impl Leader {
    pub(crate) const fn new(
        id: Arc<str>,
        election: Arc<str>,
        state: Arc<Watched<LeaderState>>,
        resign: mpsc::UnboundedSender<oneshot::Sender<Result<()>>>,
    ) -> Self {
        Self { id, election, state, resign }
    }

    /// The candidate's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The election's name.
    #[must_use]
    pub fn election(&self) -> &str {
        &self.election
    }

    /// Waits until this candidate leads, and takes the guard of that tenure.
    ///
    /// Dropping the guard steps down, and the candidacy goes on. Who asks again during the same tenure
    /// shares its guard: the tenure ends when the last is dropped.
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
            let taken = self.state.borrow().guard.take();
            if let Some(guard) = taken.filter(|guard| guard.is_held()) {
                return Ok(guard);
            }
            if self.status_now() == Status::Resigned {
                return Err(self.closed());
            }
            changed.await;
        }
    }

    /// Runs `work` while this candidate leads: started with each tenure, dropped on its loss, started
    /// again when re-elected. Resigns and returns when `work` returns.
    ///
    /// `work` is dropped at its next `.await` once the tenure is lost. Code that blocks or computes for long
    /// must ask [`check`](crate::Tenure::check) itself.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if resigned meanwhile. The result of `work` is returned also if the release
    /// after it could not be told to the backend.
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
            let (tenure, lost) = (guard.tenure(), guard.tenure());
            // The guard stays outside the `select!`: when this future is dropped, the work is dropped before the guard.
            let done = tokio::select! {
                biased;
                _ = lost.lost() => None,
                done = work(tenure) => Some(done),
            };
            if let Some(done) = done {
                drop(guard);
                if let Err(error) = self.resign().await {
                    tracing::warn!(election = %self.election, %error, "the lead lapses by itself");
                }
                return Ok(done);
            }
        }
    }

    /// Steps down if it leads, withdraws the candidacy, and returns when the backend has been told.
    ///
    /// End the led work first: from the call on this candidate does not lead any more. Resigning twice is no error.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the backend could not be told: the record lapses by itself.
    ///
    /// # Cancel safety
    ///
    /// Once polled it goes on in the background.
    pub async fn resign(&self) -> Result<()> {
        let (done, end) = oneshot::channel();
        // Nothing to tell anybody of as yet.
        self.state.borrow().leaving = true;
        if self.resign.send(done).is_err() {
            return Ok(());
        }
        end.await.unwrap_or(Ok(()))
    }

    /// Who leads, as far as this candidate knows.
    #[must_use]
    pub fn primary(&self) -> Option<Member> {
        self.state.borrow().leader.clone()
    }

    /// Who leads, from now on: begins with the present leader, `None` while there is none.
    pub fn observe(&self) -> impl Stream<Item = Option<Member>> + Send + Unpin + 'static {
        self.follow(|campaign| campaign.leader.clone())
    }

    /// The present tenure, if this candidate leads now. Unlike [`elected`](Self::elected) it neither waits nor takes the guard.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        self.state.borrow().guard.tenure().filter(Tenure::is_held)
    }

    /// How this candidacy stands, now.
    ///
    /// # Guarantees
    ///
    /// Asks the clock, as [`Tenure::is_held`] does: never [`Status::Leading`] or [`Status::InDoubt`] past the
    /// deadline, also where the task that renews had no time to run.
    #[must_use]
    pub fn standing(&self) -> Status {
        let campaign = self.state.borrow();
        match (campaign.status, campaign.guard.tenure().as_ref().map(Tenure::state)) {
            (Status::Leading | Status::InDoubt, Some(TenureState::Held)) => Status::Leading,
            (Status::Leading | Status::InDoubt, Some(TenureState::InDoubt)) => Status::InDoubt,
            (Status::Leading | Status::InDoubt, _) => Status::Lost,
            (status, _) => status,
        }
    }

    /// How this candidacy stands, from now on. Ends after [`Status::Resigned`].
    ///
    /// A reader that is slower than the changes sees the latest, not each.
    pub fn status(&self) -> impl Stream<Item = Status> + Send + Unpin + 'static {
        self.follow(|campaign| campaign.status)
    }

    /// The last failure of the campaign in the background, until something succeeds.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.state.borrow().error.clone()
    }

    fn status_now(&self) -> Status {
        self.state.borrow().status
    }

    fn follow<T, F>(&self, look: F) -> impl Stream<Item = T> + Send + Unpin + 'static + use<T, F>
    where
        T: Clone + PartialEq + Send + 'static,
        F: Fn(&LeaderState) -> T + Send + 'static,
    {
        let start = (Arc::clone(&self.state), None::<T>, look, false);
        Box::pin(stream::unfold(start, |(shown, last, look, mut ended)| async move {
            let now = loop {
                if ended {
                    return None;
                }
                let changed = shown.changed();
                let now = {
                    let campaign = shown.borrow();
                    ended = campaign.status == Status::Resigned;
                    look(&campaign)
                };
                if last.as_ref() != Some(&now) {
                    break now;
                }
                if !ended {
                    changed.await;
                }
            };
            Some((now.clone(), (shown, Some(now), look, ended)))
        }))
    }

    fn closed(&self) -> Error {
        Error::Closed { name: self.election.to_string() }
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

    /// The guard for a user, leaving behind what is needed to share it.
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

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("election", &self.election)
            .field("id", &self.id)
            .field("status", &self.status_now())
            .finish_non_exhaustive()
    }
}
