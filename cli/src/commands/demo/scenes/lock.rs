//! Scene 1: a lock, and a hand-over.

use std::time::Duration;

use leasehold::{Error, Sync as _};
use tokio::{task::JoinSet, time::sleep};

use super::{
    TTL, WORK,
    process::lock_options,
    timeline::{Outcome, Timeline, expect, note, scene},
    world::World,
};

pub(crate) async fn play(world: &dyn World, line: &Timeline) -> Outcome {
    scene("1. A LOCK. Three processes want to do work that only one may do at a time.");
    let mut workers = JoinSet::new();
    for (actor, after) in [("alice", 0), ("bob", 100), ("carol", 200)] {
        let (line, handle) = (line.clone(), world.actor(actor).await?.sync);
        workers.spawn(async move {
            sleep(Duration::from_millis(after)).await;
            line.say(actor, "wants `orders`");
            let guard = handle.lock("orders", lock_options()).await?;
            line.began(actor, &guard);
            sleep(WORK).await;
            guard.check()?;
            line.say(actor, "is done, releases it");
            line.ended(&guard, line.now(), "released");
            guard.release().await.map_err(Into::into)
        });
    }
    sleep(Duration::from_millis(300)).await;
    line.say("dave", "wants `orders` only if it is free");
    match world.actor("dave").await?.sync.lock("orders", lock_options().try_once()).await {
        Err(Error::Held { holder, .. }) => {
            line.say("dave", format_args!("gets an error: {holder} holds it"));
        }
        other => return Err(format!("dave must not get the lock: {other:?}").into()),
    }
    while let Some(done) = workers.join_next().await {
        let done: Outcome = done?;
        done?;
    }
    let gap = line.longest_gap("orders").ok_or("two processes held the lock at the same time")?;
    note(format!(
        "Handed over within {gap:.1?}: a release wakes the next waiter, without waiting for the TTL."
    ));
    expect(gap < TTL / 2, "a hand-over must be faster than a takeover after a crash")
}
