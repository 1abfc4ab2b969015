//! Users of elections: they join, lead, step down, run work, resign, and watch members and events.

use std::time::Duration;

use futures::StreamExt as _;
use leasehold::{Leader, LeaderOptions, ListMembersOptions, Sync as _, WatchElectOptions};
use tokio::time::timeout;

use leasehold_test_support::Rng;

use crate::{
    channel::Message,
    faults::Fault,
    program::{Program, error_code},
    scenario::ELECTION,
    tracking::{Demand, TrackedTenure},
};

/// A task that joins the election again and again.
pub(crate) async fn candidate(program: Program, mut rng: Rng) {
    let channel = program.channel.clone();
    loop {
        channel.pause(Program::random_duration(&mut rng, program.scenario.think_time)).await;
        let demand = Demand::new(&channel, ELECTION);
        let options = LeaderOptions::default().ttl(program.ttl);
        let joined =
            program.maybe_cancelled(&mut rng, program.sync.leader(ELECTION, options)).await;
        match joined {
            Some(Ok(leader)) => lead_rounds(&program, &mut rng, leader).await,
            Some(Err(error)) => channel.send(Message::Trace(error_code(&error))),
            None => {}
        }
        drop(demand);
    }
}

async fn lead_rounds(program: &Program, rng: &mut Rng, leader: Leader) {
    let channel = &program.channel;
    let mut rounds = rng.between(1, 4);
    while rounds > 0 || channel.faults_stopped() {
        rounds = rounds.saturating_sub(1);
        if rng.chance(300) && !channel.faults_stopped() {
            run_while_leading(program, rng, &leader).await;
            break;
        }
        let Some(guard) = program.maybe_cancelled(rng, leader.elected()).await else { continue };
        let Ok(guard) = guard else { break };
        let tracked = TrackedTenure::new(channel, ELECTION, guard);
        let tenure = tracked.tenure.clone();
        let mut work_rng = Rng::new(rng.draw());
        tokio::select! {
            biased;
            _ = tenure.lost() => {}
            () = program.work(&mut work_rng, ELECTION, &tenure) => {}
        }
        drop(tracked);
        channel.check_released(ELECTION, &tenure);
        if !rng.chance(400) {
            break;
        }
    }
    if rng.chance(300) {
        channel.send(Message::Fault(Fault::Abandoned));
        return drop(leader);
    }
    let resigned = program.maybe_cancelled(rng, leader.resign()).await;
    channel.send(Message::Trace(
        resigned.map_or(7, |done| done.as_ref().map_or_else(error_code, |()| 8)),
    ));
}

async fn run_while_leading(program: &Program, rng: &mut Rng, leader: &Leader) {
    let work_rng = Rng::new(rng.draw());
    let done = leader.run(|tenure| {
        let mut work_rng = work_rng.clone();
        async move {
            let tracked = TrackedTenure::without_guard(&program.channel, ELECTION, tenure);
            program.work(&mut work_rng, ELECTION, &tracked.tenure).await;
        }
    });
    let done = program.maybe_cancelled(rng, done).await;
    program
        .channel
        .send(Message::Trace(done.map_or(7, |done| done.as_ref().map_or_else(error_code, |()| 8))));
}

/// A task that lists members and watches elections.
pub(crate) async fn observer(program: Program, mut rng: Rng) {
    let channel = program.channel.clone();
    while !channel.faults_stopped() {
        channel.pause(Program::random_duration(&mut rng, Duration::from_secs(60))).await;
        if rng.chance(500) {
            let listed = program.sync.list_members(ListMembersOptions::default()).await;
            channel.send(Message::Trace(listed.map_or(20, |members| 100 + members.len() as u64)));
            continue;
        }
        let options = WatchElectOptions::default().election(ELECTION);
        let Ok(mut events) = program.sync.watch_elect(options).await else { continue };
        let duration = Program::random_duration(&mut rng, Duration::from_secs(120));
        let watch = async {
            while let Some(event) = events.next().await {
                let seen = event.member().token.map_or(u64::MAX, leasehold::Token::get);
                channel.send(Message::Trace(seen));
            }
        };
        let _ = timeout(duration, watch).await;
    }
}
