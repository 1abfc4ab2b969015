//! `leasehold demo --serve`: three candidates on the embedded backend, on the page. Now and then the leader loses its network.

use std::time::Duration;

use axum::{Router, routing::get};
use futures::future::select_all;
use leasehold::{Fault, Guard, Leader, LeaderOptions, Memory, Options, Role, Sync as _};
use tokio::time::sleep;

use crate::{
    exec::{resign_request::Asks, signals::Signals},
    exit::{Failure, Outcome, code},
    sidecar::{
        http::Address,
        page::{Leads, Page, Reach, Screen, Sight, Standing, html, routes},
    },
};

const ELECTION: &str = "demo";
const NAMES: [&str; 3] = ["ada", "ben", "cyd"];
/// Short, so that a crash is soon over.
const TTL: Duration = Duration::from_secs(4);
/// How long a leader is left alone.
const TENURE: Duration = Duration::from_secs(20);
/// How long the network of one who lost it stays away.
const AWAY: Duration = Duration::from_secs(6);
/// How often is looked who leads, which is how exactly a gap is measured.
const LOOK: Duration = Duration::from_millis(2);

/// Serves the page on `address`, until a signal.
pub(crate) async fn run(address: Address) -> Outcome {
    let mut signals = Signals::listen()?;
    let (listener, address) = address.listen().await?;
    let played = |error: leasehold::Error| Failure::new(code::INTERNAL, error.to_string());
    let cast = Cast::new().await.map_err(played)?;
    let screen = Screen::new(ELECTION, "default", "this demonstration", true);
    let (counter, mut asks) = Asks::open();
    let page = Page::new(screen.clone(), counter, Reach::All, std::future::pending());
    let router = Router::new().route("/", get(async || html())).merge(routes(page));
    eprintln!("leasehold: the demonstration is on http://{address} until Ctrl-C");
    tokio::select! {
        biased;
        _ = signals.fatal() => Ok(code::SUCCESS),
        served = async { axum::serve(listener, router).await } => {
            let why = served.err().map(|error| error.to_string()).unwrap_or_default();
            Err(Failure::new(code::INTERNAL, format!("the server ended: {why}")))
        }
        () = cast.show(&screen) => Ok(code::SUCCESS),
        ended = cast.play(&mut asks) => ended.map(|()| code::SUCCESS).map_err(played),
    }
}

/// The candidates, each with a handle of its own, as three processes would have.
struct Cast(Vec<(Memory, Leader)>);

impl Cast {
    async fn new() -> leasehold::Result<Self> {
        let world = Memory::default();
        let mut cast = Vec::new();
        for name in NAMES {
            let handle = world.another(Options::default().identity(name))?;
            let leader = handle.leader(ELECTION, LeaderOptions::default().ttl(TTL)).await?;
            cast.push((handle, leader));
        }
        Ok(Self(cast))
    }

    /// Shows how they stand, by the leader's own clock.
    async fn show(&self, screen: &Screen) {
        loop {
            screen.show(self.sight(), None);
            sleep(LOOK).await;
        }
    }

    fn sight(&self) -> Sight {
        let mut sight = Sight::default();
        for (_, leader) in &self.0 {
            let tenure = leader.tenure();
            let role = if tenure.is_some() { Role::Leader } else { Role::Follower };
            sight.members.push(Standing { id: leader.id().into(), role });
            sight.leader = sight.leader.or(tenure.map(|tenure| Leads {
                id: tenure.holder().into(),
                token: Some(tenure.token().get()),
                ttl: TTL,
                left: tenure.remaining(),
            }));
        }
        sight
    }

    /// Lets them lead until somebody asks one to resign, or until it loses its network.
    async fn play(&self, asks: &mut Asks) -> leasehold::Result<()> {
        loop {
            let elected = self.0.iter().map(|(_, leader)| Box::pin(leader.elected()));
            let (guard, who, _) = select_all(elected).await;
            let guard = guard?;
            tokio::select! {
                biased;
                ask = asks.next() => {
                    let told = format!("{} has resigned, and stands again", guard.holder());
                    guard.release().await?;
                    ask.answer(told);
                }
                () = sleep(TENURE) => self.cut_off(who, guard).await,
            }
        }
    }

    /// Nothing of this one arrives for a while: it has lost before another leads.
    async fn cut_off(&self, who: usize, guard: Guard) {
        let handle = &self.0[who].0;
        handle.disturb(Some(Fault::LoseRequest));
        guard.lost().await;
        sleep(AWAY).await;
        handle.disturb(None);
    }
}
