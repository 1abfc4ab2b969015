//! `leasehold demo --serve`: a page that shows three candidates on the embedded
//! backend. Every 20 seconds the leader loses
//! its network.

use std::time::Duration;

use axum::{Router, http::HeaderMap, routing::get};
use futures::future::select_all;
use leasehold::{Fault, Guard, Leader, LeaderOptions, Memory, Options, Role, Sync as _};
use tokio::{sync::watch, time::sleep};

use crate::{
    console,
    exec::{resign_request::ResignRequests, signals::Signals},
    exit::{Failure, Outcome, code},
    sidecar::{
        http::{Address, open_files, serve},
        page::{
            AllowedHosts, ElectionView, Observation, ObservedLeader, Page, PageMember, Reach,
            routes,
        },
    },
};

const ELECTION: &str = "demo";
const NAMES: [&str; 3] = ["ada", "ben", "cyd"];
/// Short, so that a takeover is soon visible.
const TTL: Duration = Duration::from_secs(4);
/// How long a leader leads before it loses its network.
const TENURE: Duration = Duration::from_secs(20);
/// How long the network outage lasts.
const AWAY: Duration = Duration::from_secs(6);
/// How often the leader is observed: the precision of the gaps that the page shows.
const POLL: Duration = Duration::from_millis(2);

/// Serves the page on `address` until a signal arrives.
pub(crate) async fn run(address: Address, hosts: AllowedHosts) -> Outcome {
    let mut signals = Signals::listen()?;
    let (listener, address) = address.listen().await?;
    let failed = |error: leasehold::Error| Failure::new(code::INTERNAL, error.to_string());
    let candidates = Candidates::new().await.map_err(failed)?;
    let view = ElectionView::new(ELECTION, "default", "this demonstration", true);
    let (resign_sender, mut resign_requests) = ResignRequests::open();
    let page = Page::new(view.clone(), resign_sender, Reach::All, hosts, std::future::pending());
    let own = page.clone();
    let root = get(async move |headers: HeaderMap| own.html(&headers));
    let router = Router::new().route("/", root).merge(routes(page));
    // Its sender lives until the end of this function.
    let (_running, stop) = watch::channel(());
    console::report(format_args!("the demonstration is on http://{address} until Ctrl-C"));
    tokio::select! {
        biased;
        _ = signals.fatal() => Ok(code::SUCCESS),
        () = serve(listener, router, open_files::raise(false), stop) => Ok(code::SUCCESS),
        () = candidates.show(&view) => Ok(code::SUCCESS),
        ended = candidates.play(&mut resign_requests) => ended.map(|()| code::SUCCESS).map_err(failed),
    }
}

/// The candidates. Each has its own handle, as in three processes.
struct Candidates(Vec<(Memory, Leader)>);

impl Candidates {
    async fn new() -> leasehold::Result<Self> {
        let world = Memory::default();
        let mut candidates = Vec::new();
        for name in NAMES {
            let handle = world.another(Options::default().identity(name))?;
            let leader = handle.leader(ELECTION, LeaderOptions::default().ttl(TTL)).await?;
            candidates.push((handle, leader));
        }
        Ok(Self(candidates))
    }

    /// Updates the page, by the clock of the leader.
    async fn show(&self, view: &ElectionView) {
        loop {
            view.show(self.observation(), None);
            sleep(POLL).await;
        }
    }

    fn observation(&self) -> Observation {
        let mut observation = Observation::default();
        for (_, leader) in &self.0 {
            let tenure = leader.tenure();
            let role = if tenure.is_some() { Role::Leader } else { Role::Follower };
            observation.members.push(PageMember {
                candidate_id: leader.candidate_id().into(),
                role,
                payload: None,
                succession: None,
            });
            observation.leader = observation.leader.or(tenure.map(|tenure| ObservedLeader {
                id: tenure.holder().into(),
                token: Some(tenure.token().get()),
                ttl: TTL,
                left: tenure.remaining(),
            }));
        }
        observation
    }

    /// Lets each leader lead until it is asked to resign, or loses its network.
    async fn play(&self, resign_requests: &mut ResignRequests) -> leasehold::Result<()> {
        loop {
            let elected = self.0.iter().map(|(_, leader)| Box::pin(leader.elected()));
            let (guard, who, _) = select_all(elected).await;
            let guard = guard?;
            tokio::select! {
                biased;
                request = resign_requests.next() => {
                    let answer = format!("{} has resigned, and is a candidate again", guard.holder());
                    guard.release().await?;
                    request.answer(answer);
                }
                () = sleep(TENURE) => self.cut_off(who, guard).await,
            }
        }
    }

    /// Loses all requests of this candidate for a while. It loses the lead before another candidate leads.
    async fn cut_off(&self, who: usize, guard: Guard) {
        let handle = &self.0[who].0;
        handle.disturb(Some(Fault::LoseRequest));
        guard.lost().await;
        sleep(AWAY).await;
        handle.disturb(None);
    }
}
