//! One candidacy in the background: follows, leads, follows again, until it is resigned.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use crate::{
    coordinator::Core,
    desk::Standing,
    election::{Campaign, Lead, Member, Role, Status},
    error::{Error, Loss, Result},
    guard::{Guard, TenureState},
    name::Name,
    store::Key,
    timing::Timing,
};

/// How long a candidate that is not heard of is listed.
const MEMBER_TTL: Duration = Duration::from_secs(60);
/// How often it says that it is there: 0.04 requests a second.
const MEMBER_RENEW: Duration = Duration::from_secs(25);
/// How long a candidate that has stepped down leaves the others to take over.
const STEPPED_DOWN: Duration = Duration::from_millis(500);

type Resign = oneshot::Sender<Result<()>>;

/// The task behind a [`Leader`](crate::Leader).
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) core: Arc<Core>,
    pub(crate) election: Arc<Key>,
    pub(crate) me: Name,
    pub(crate) timing: Timing,
    pub(crate) campaign: watch::Sender<Campaign>,
    pub(crate) resign: mpsc::UnboundedReceiver<Resign>,
    /// Told once: the candidacy stands, or why it cannot.
    pub(crate) stands: Option<oneshot::Sender<Result<()>>>,
    pub(crate) membership: Membership,
}

/// The candidate's own record.
#[derive(Default)]
pub(crate) enum Membership {
    #[default]
    None,
    Joining(BoxFuture<'static, Result<Guard>>),
    Joined(Guard),
    /// The backend does not allow it: the candidate stands unlisted.
    Unlisted,
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
                Ok(Err(error)) if self.stands.is_some() => return self.fail(error).await,
                Ok(Err(error)) => {
                    tracing::warn!(election = %self.election.title, %error, "campaigning on, slowly");
                    self.campaign.send_modify(|campaign| campaign.error = Some(error.to_string()));
                    match self.pause(self.timing.renew()).await {
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
                    self.show(Status::Lost);
                    let pause = if loss == Loss::Released {
                        STEPPED_DOWN.min(self.timing.renew())
                    } else {
                        Duration::ZERO
                    };
                    if let Some(resign) = self.pause(pause).await {
                        return self.leave(None, resign).await;
                    }
                    self.show(Status::Follower);
                }
            }
        }
    }

    /// Campaigns until it leads (`Ok(Ok)`), cannot go on like this (`Ok(Err)`), or is resigned.
    async fn follow(&mut self) -> Result<Result<Guard>, Option<Resign>> {
        let mut claim = self.core.claim(&self.election, &self.me, self.timing, None);
        let mut standing = claim.standing.clone();
        loop {
            self.heed(&standing.borrow_and_update().clone());
            tokio::select! {
                biased;
                resign = self.resign.recv() => return Err(resign),
                won = claim.granted() => return Ok(won),
                joined = self.membership.changed() => self.joined(joined),
                _ = standing.changed() => {}
            }
        }
    }

    /// Leads until the tenure ends. The record of the election says that it is there: its own is deleted.
    async fn lead(&mut self, guard: Guard) -> End {
        self.membership = Membership::None;
        let member = self.member(Role::Leader, &self.me.to_arc(), Some(guard.token().get()));
        let mut states = guard.states();
        // From here on the guard is the user's to take and to drop, which steps down.
        self.campaign.send_modify(|campaign| {
            campaign.status = Status::Leading;
            campaign.leader = Some(member);
            campaign.guard = Lead::Ready(guard);
            campaign.error = None;
        });
        self.stands(Ok(()));
        loop {
            tokio::select! {
                biased;
                resign = self.resign.recv() => return End::Resigned(resign),
                state = states.next() => match state {
                    Some(TenureState::Held) => self.show(Status::Leading),
                    Some(TenureState::InDoubt) => self.show(Status::InDoubt),
                    Some(TenureState::Lost(loss)) => return End::Lost(loss),
                    None => return End::Lost(Loss::Abandoned),
                },
            }
        }
    }

    /// Shows who leads, and sees to it that a candidate that waits is listed.
    fn heed(&mut self, standing: &Standing) {
        let leader = standing.holder.as_ref().map(|holder| self.member(Role::Leader, holder, None));
        self.campaign.send_if_modified(|campaign| {
            let same = campaign.leader.as_ref().map(|leader| &leader.id)
                == leader.as_ref().map(|leader| &leader.id);
            let changed = !same || campaign.error != standing.error;
            campaign.leader = leader;
            campaign.error.clone_from(&standing.error);
            changed
        });
        if standing.waits && matches!(self.membership, Membership::None) {
            let timing = Timing::new(MEMBER_TTL).renew_every(MEMBER_RENEW);
            let key = Arc::new(self.election.candidate(&self.me));
            let mut claim = self.core.claim(&key, &self.me, timing, None);
            self.membership = Membership::Joining(Box::pin(async move { claim.granted().await }));
        }
    }

    fn joined(&mut self, joined: Option<Result<Guard>>) {
        self.membership = match joined {
            Some(Ok(guard)) => Membership::Joined(guard),
            Some(Err(error)) => {
                tracing::warn!(election = %self.election.title, %error, "standing unlisted");
                Membership::Unlisted
            }
            // Its record was deleted or not renewed in time: write it anew.
            None => Membership::None,
        };
        if !matches!(self.membership, Membership::None) {
            self.stands(Ok(()));
        }
    }

    /// The guard of the present tenure, wherever it is.
    fn guard(&self) -> Option<Guard> {
        let mut guard = None;
        self.campaign.send_if_modified(|campaign| {
            guard = campaign.guard.take();
            false
        });
        guard
    }

    fn stands(&mut self, outcome: Result<()>) {
        if let Some(stands) = self.stands.take() {
            let _ = stands.send(outcome);
        }
    }

    async fn fail(mut self, error: Error) {
        self.stands(Err(error));
        self.leave(None, None).await;
    }

    /// Steps down first, then tells the backend, then whoever asked.
    async fn leave(mut self, guard: Option<Guard>, resign: Option<Resign>) {
        self.campaign.send_modify(|campaign| {
            campaign.status = Status::Resigned;
            campaign.guard = Lead::None;
        });
        let mut outcome = Ok(());
        if let Some(guard) = guard {
            outcome = guard.release().await;
        }
        if let Membership::Joined(guard) = std::mem::take(&mut self.membership) {
            outcome = outcome.and(guard.release().await);
        }
        self.core.withdraw(&self.election, &self.me);
        self.resign.close();
        let mut asking = resign;
        while let Some(done) = asking {
            let _ = done.send(outcome.clone());
            asking = self.resign.recv().await;
        }
    }

    async fn pause(&mut self, pause: Duration) -> Option<Option<Resign>> {
        tokio::select! {
            biased;
            resign = self.resign.recv() => Some(resign),
            () = sleep(pause) => None,
        }
    }

    fn show(&self, status: Status) {
        self.campaign.send_if_modified(|campaign| {
            if matches!(status, Status::Lost) {
                campaign.guard = Lead::None;
                campaign.leader = None;
            }
            std::mem::replace(&mut campaign.status, status) != status
        });
    }

    fn member(&self, role: Role, id: &Arc<str>, token: Option<u64>) -> Member {
        Member {
            election: self.election.title.to_string(),
            id: id.to_string(),
            role,
            namespace: self.election.namespace.to_string(),
            token,
        }
    }
}

impl Membership {
    /// The outcome of joining; `None` when a membership that stood has ended; never, while there is nothing to wait for.
    async fn changed(&mut self) -> Option<Result<Guard>> {
        match self {
            Self::Joining(claim) => Some(claim.await),
            Self::Joined(guard) => {
                guard.lost().await;
                None
            }
            Self::None | Self::Unlisted => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Joining(_) => "Joining",
            Self::Joined(_) => "Joined",
            Self::Unlisted => "Unlisted",
        })
    }
}

impl Drop for Candidate {
    /// However the task ends, its `Leader` is told.
    fn drop(&mut self) {
        self.campaign.send_modify(|campaign| {
            campaign.status = Status::Resigned;
            campaign.guard = Lead::None;
        });
    }
}
