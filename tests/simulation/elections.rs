//! Users of elections: they stand, lead, step down, run work, resign, and watch the others.

use std::time::Duration;

use futures::StreamExt as _;
use leasehold::{Leader, LeaderOptions, ListMembersOptions, Sync as _, WatchElectOptions};
use leasehold_test_support::Rng;
use tokio::time::timeout;

use crate::{
    faults::Fault,
    locks::{Program, kind},
    post::{Holding, Letter, Want},
    scene::ELECTION,
};

/// One task that wants to lead.
pub(crate) async fn candidate(program: Program, mut rng: Rng) {
    let post = program.post.clone();
    loop {
        post.pause(Program::up_to(&mut rng, program.scene.think)).await;
        let want = Want::new(&post, ELECTION);
        let options = LeaderOptions::default().ttl(program.ttl);
        let stood = program.impatiently(&mut rng, program.sync.leader(ELECTION, options)).await;
        match stood {
            Some(Ok(leader)) => stand(&program, &mut rng, leader).await,
            Some(Err(error)) => post.send(Letter::Saw(kind(&error))),
            None => {}
        }
        drop(want);
    }
}

async fn stand(program: &Program, rng: &mut Rng, leader: Leader) {
    let post = &program.post;
    let mut rounds = rng.between(1, 4);
    while rounds > 0 || post.is_calm() {
        rounds = rounds.saturating_sub(1);
        if rng.chance(300) && !post.is_calm() {
            run(program, rng, &leader).await;
            break;
        }
        let Some(guard) = program.impatiently(rng, leader.elected()).await else { continue };
        let Ok(guard) = guard else { break };
        let holding = Holding::new(post, ELECTION, guard);
        let tenure = holding.tenure.clone();
        let mut working = Rng::new(rng.draw());
        tokio::select! {
            biased;
            _ = tenure.lost() => {}
            () = program.work(&mut working, ELECTION, &tenure) => {}
        }
        drop(holding);
        post.given_back(ELECTION, &tenure);
        if !rng.chance(400) {
            break;
        }
    }
    if rng.chance(300) {
        post.send(Letter::Met(Fault::Abandoned));
        return drop(leader);
    }
    let resigned = program.impatiently(rng, leader.resign()).await;
    post.send(Letter::Saw(resigned.map_or(7, |done| done.as_ref().map_or_else(kind, |()| 8))));
}

async fn run(program: &Program, rng: &mut Rng, leader: &Leader) {
    let chance = Rng::new(rng.draw());
    let done = leader.run(|tenure| {
        let mut chance = chance.clone();
        async move {
            let holding = Holding::lent(&program.post, ELECTION, tenure);
            program.work(&mut chance, ELECTION, &holding.tenure).await;
        }
    });
    let done = program.impatiently(rng, done).await;
    program.post.send(Letter::Saw(done.map_or(7, |done| done.as_ref().map_or_else(kind, |()| 8))));
}

/// One task that looks on.
pub(crate) async fn observer(program: Program, mut rng: Rng) {
    let post = program.post.clone();
    while !post.is_calm() {
        post.pause(Program::up_to(&mut rng, Duration::from_secs(60))).await;
        if rng.chance(500) {
            let listed = program.sync.list_members(ListMembersOptions::default()).await;
            post.send(Letter::Saw(listed.map_or(20, |members| 100 + members.len() as u64)));
            continue;
        }
        let options = WatchElectOptions::default().election(ELECTION);
        let Ok(mut events) = program.sync.watch_elect(options).await else { continue };
        let long = Program::up_to(&mut rng, Duration::from_secs(120));
        let look = async {
            while let Some(event) = events.next().await {
                let seen = event.member().token.map_or(u64::MAX, leasehold::Token::get);
                post.send(Letter::Saw(seen));
            }
        };
        let _ = timeout(long, look).await;
    }
}
