//! One candidacy in the background: follows, leads, follows again, until it is resigned.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use crate::{
    api::{
        error::{self, Error, Loss, Result},
        guard::Guard,
        leader::{Campaign, Lead, Status},
        member::{Member, Role},
        name::Name,
        tenure::TenureState,
        timing::Timing,
    },
    runtime::{
        candidates::{Registration, Resign},
        handle::Core,
        standing::Standing,
    },
    store::Key,
    util::watched::Shown,
};

/// How long a candidate that is not heard of is listed.
const MEMBER_TTL: Duration = Duration::from_secs(60);
/// How often it says that it is there: 0.04 requests a second.
const MEMBER_RENEW: Duration = Duration::from_secs(25);
/// How long a candidate that has stepped down leaves the others to take over.
const STEPPED_DOWN: Duration = Duration::from_millis(500);

/// What is warned of.
const SLOWLY: &str = "campaigning on, slowly";
const UNLISTED: &str = "standing unlisted";

/// The task behind a [`Leader`](crate::Leader).
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) core: Arc<Core>,
    pub(crate) election: Arc<Key>,
    pub(crate) me: Name,
    pub(crate) timing: Timing,
    pub(crate) campaign: Arc<Shown<Campaign>>,
    pub(crate) resign: mpsc::UnboundedReceiver<Resign>,
    /// Told once: the candidacy stands, or why it cannot.
    pub(crate) stands: Option<oneshot::Sender<Result<()>>>,
    pub(crate) membership: Membership,
    /// What was warned of, and has not been over since.
    pub(crate) warned: BTreeMap<&'static str, String>,
    /// Given up before whoever resigned is told, so that it may stand again at once.
    pub(crate) place: Option<Registration>,
}

/// The candidate's own record.
#[derive(Default)]
pub(crate) enum Membership {
    #[default]
    None,
    Joining {
        granted: BoxFuture<'static, Result<Guard>>,
        standing: Arc<Shown<Standing>>,
        /// A record of the same name is in the way: this candidate's, of a former life.
        listed: bool,
    },
    Joined(Guard),
    /// The backend does not allow it: the candidate stands unlisted, and asks again from time to time.
    Unlisted(BoxFuture<'static, ()>),
}

/// What became of it.
enum News {
    Granted(Result<Guard>),
    /// It is listed already, by its former life.
    Listed,
    /// To be written anew: deleted, not renewed in time, or worth another try.
    Gone,
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
                    self.warn(SLOWLY, &error);
                    self.campaign.change(|campaign| {
                        campaign.error = Some(error);
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
                    self.show(Status::Lost);
                    let pause = if loss == Loss::Released {
                        STEPPED_DOWN.min(self.timing.renew())
                    } else {
                        Duration::ZERO
                    };
                    if let Some(resign) = self.pause(pause).await {
                        return self.leave(None, resign).await;
                    }
                }
            }
        }
    }

    /// Campaigns until it leads (`Ok(Ok)`), cannot go on like this (`Ok(Err)`), or is resigned.
    async fn follow(&mut self) -> Result<Result<Guard>, Option<Resign>> {
        let mut claim = self.core.claim(&self.election, &self.me, self.timing, None);
        let standing = Arc::clone(&claim.standing);
        loop {
            let changed = standing.changed();
            let now = standing.look().clone();
            self.heed(&now);
            tokio::select! {
                biased;
                resign = self.resign.recv() => return Err(resign),
                won = claim.granted() => return Ok(won),
                joined = self.membership.changed() => self.joined(joined),
                () = changed => {}
            }
        }
    }

    /// Leads until the tenure ends. The record of the election says that it is there: its own is deleted.
    async fn lead(&mut self, guard: Guard) -> End {
        self.warned.remove(SLOWLY);
        self.membership = Membership::None;
        let member = self.member(Role::Leader, &self.me.to_arc(), Some(guard.token().get()));
        tracing::debug!(election = %self.election.title, id = %self.me, token = %guard.token(), "elected");
        let mut states = guard.states();
        // From here on the guard is the user's to take and to drop, which steps down.
        self.campaign.change(|campaign| {
            campaign.status = Status::Leading;
            campaign.leader = Some(member);
            campaign.guard = Lead::Ready(guard);
            campaign.error = None;
            true
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
        let token = standing.token.map(NonZeroU64::get);
        let leader = standing.holder.as_ref().map(|id| self.member(Role::Leader, id, token));
        self.campaign.change(|campaign| {
            let changed = campaign.leader != leader
                || !error::same(campaign.error.as_ref(), standing.error.as_ref());
            campaign.leader = leader;
            campaign.error.clone_from(&standing.error);
            changed
        });
        if standing.waits {
            self.show(Status::Follower);
        }
        if standing.waits && matches!(self.membership, Membership::None) {
            let timing = Timing::new(MEMBER_TTL).renew_every(MEMBER_RENEW);
            let key = Arc::new(self.election.candidate(&self.me));
            let mut claim = self.core.claim(&key, &self.me, timing, None);
            self.membership = Membership::Joining {
                standing: Arc::clone(&claim.standing),
                granted: Box::pin(async move { claim.granted().await }),
                listed: false,
            };
        }
    }

    /// A warning of what is new; what goes on is no news, however often it is tried.
    fn warn(&mut self, what: &'static str, error: &Error) {
        let (election, said) = (&self.election.title, error.to_string());
        if self.warned.get(what) == Some(&said) {
            tracing::debug!(%election, %error, "{what}");
        } else {
            tracing::warn!(%election, %error, "{what}");
            self.warned.insert(what, said);
        }
    }

    fn joined(&mut self, news: News) {
        match news {
            News::Granted(Ok(guard)) => {
                self.warned.remove(UNLISTED);
                self.membership = Membership::Joined(guard);
            }
            News::Granted(Err(error)) => {
                self.warn(UNLISTED, &error);
                self.membership = Membership::Unlisted(Box::pin(sleep(MEMBER_TTL)));
            }
            News::Listed => {}
            News::Gone => {
                self.membership = Membership::None;
                return;
            }
        }
        self.stands(Ok(()));
    }

    /// The guard of the present tenure, wherever it is.
    fn guard(&self) -> Option<Guard> {
        self.campaign.look().guard.take()
    }

    fn stands(&mut self, outcome: Result<()>) {
        if let Some(stands) = self.stands.take() {
            let _ = stands.send(outcome);
        }
    }

    async fn fail(mut self, error: Error) {
        let stands = self.stands.take();
        self.leave(None, None).await;
        if let Some(stands) = stands {
            let _ = stands.send(Err(error));
        }
    }

    /// Steps down first, then tells the backend, then whoever asked.
    async fn leave(mut self, guard: Option<Guard>, resign: Option<Resign>) {
        self.end();
        let released = guard.map(Guard::release);
        self.membership = Membership::None;
        let (key, limit) = (self.election.candidate(&self.me), self.timing.ttl());
        let (lead, listed) = tokio::join!(
            async {
                match released {
                    Some(released) => released.await,
                    None => self.core.left(&self.election, &self.me, limit).await,
                }
            },
            self.core.left(&key, &self.me, limit),
        );
        let outcome = lead.and(listed);
        self.place = None;
        self.resign.close();
        let mut asking = resign;
        while let Some(done) = asking {
            let _ = done.send(outcome.clone());
            asking = self.resign.recv().await;
        }
    }

    /// Shows that the candidacy is over.
    fn end(&self) {
        self.campaign.change(|campaign| {
            campaign.status = Status::Resigned;
            campaign.leaving = true;
            campaign.guard = Lead::None;
            campaign.leader.take_if(|leader| leader.id == self.me.as_str());
            true
        });
    }

    async fn pause(&mut self, pause: Duration) -> Option<Option<Resign>> {
        tokio::select! {
            biased;
            resign = self.resign.recv() => Some(resign),
            () = sleep(pause) => None,
        }
    }

    fn show(&self, status: Status) {
        self.campaign.change(|campaign| {
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
    /// What happens to it next; never, while there is nothing to wait for.
    async fn changed(&mut self) -> News {
        match self {
            Self::Joining { granted, standing, listed } => tokio::select! {
                biased;
                granted = granted => News::Granted(granted),
                () = standing.until(|standing| standing.waits), if !*listed => {
                    *listed = true;
                    News::Listed
                }
            },
            Self::Joined(guard) => {
                guard.lost().await;
                News::Gone
            }
            Self::Unlisted(pause) => {
                pause.await;
                News::Gone
            }
            Self::None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Joining { .. } => "Joining",
            Self::Joined(_) => "Joined",
            Self::Unlisted(_) => "Unlisted",
        })
    }
}

impl Drop for Candidate {
    /// However the task ends, its `Leader` is told.
    fn drop(&mut self) {
        self.end();
    }
}
