//! Scene 2: an election, a crash, a resignation.

use leasehold::{LeaderOptions, ListMembersOptions, Sync as _};
use tokio::{sync::oneshot, time::sleep};

use super::{
    TTL, WORK,
    process::process,
    timeline::{Outcome, Timeline, expect, note, scene},
    world::World,
};

pub(crate) async fn play(world: &dyn World, line: &Timeline) -> Outcome {
    scene("2. AN ELECTION. There are three candidates, and the leader crashes.");
    let (emil, fay) = (world.actor("emil").await?.sync, world.actor("fay").await?.sync);
    let options = || LeaderOptions::default().ttl(TTL);

    let (kill, killed) = oneshot::channel::<()>();
    let (send, tenure) = oneshot::channel();
    let (dora, dora_line) = (world.actor("dora").await?.sync, line.clone());
    let dead = process(async move || {
        let leader = dora.leader("billing", options()).await?;
        let guard = leader.elected().await?;
        dora_line.began("dora", &guard);
        let _ = send.send(guard.tenure());
        let _ = killed.await;
        Ok((dora, leader, guard))
    });
    let lead = tenure.await?;
    let two = emil.leader("billing", options()).await?;
    let three = fay.leader("billing", options()).await?;
    let members = emil.list_members(ListMembersOptions::default().election("billing")).await?;
    let listed: Vec<_> =
        members.iter().map(|m| format!("{} ({:?})", m.candidate_id, m.role)).collect();
    line.say("emil", format_args!("lists the members: {}", listed.join(", ")));
    expect(listed.len() == 3, "three candidates, three members")?;
    sleep(WORK * 3 / 2).await;

    let (crash, good_for) = (line.now(), lead.remaining());
    line.say("dora", "CRASHES without releasing the lead");
    let _ = kill.send(());
    let remains = dead.await??;
    line.ended(&lead, crash, "crashed");
    let (actor, guard, loser, other) = tokio::select! {
        won = two.elected() => ("emil", won?, "fay", &three),
        won = three.elected() => ("fay", won?, "emil", &two),
    };
    line.began(actor, &guard);
    let silent = line.since(crash);
    note(format!(
        "{silent:.1?} after the crash. Dora's last renewal was valid for another {good_for:.1?}. The others
cannot tell a crash from a slow network, so they wait until Dora cannot lead any more."
    ));
    expect(silent >= good_for, "the successor must wait until dora cannot lead any more")?;
    drop(remains);

    sleep(WORK).await;
    line.say(actor, "resigns");
    line.ended(&guard, line.now(), "resigned");
    let resigned = line.now();
    if actor == "emil" { &two } else { &three }.resign().await?;
    let guard = other.elected().await?;
    line.began(loser, &guard);
    let gap = line.since(resigned);
    note(format!(
        "Within {gap:.1?}: a resignation is written to the record, so the others do not wait for the TTL."
    ));
    expect(gap < TTL / 2, "a resignation must be faster than a takeover after a crash")?;
    sleep(WORK / 2).await;
    line.say(loser, "resigns");
    line.ended(&guard, line.now(), "resigned");
    Ok(other.resign().await?)
}
