//! Scene 3: a holder that loses its network.

use futures::StreamExt as _;
use leasehold::{Loss, Sync as _, TenureState};
use tokio::time::sleep;

use super::{
    WORK,
    process::lock_options,
    timeline::{Outcome, Timeline, expect, note, scene},
    world::World,
};

pub(crate) async fn play(world: &dyn World, line: &Timeline) -> Outcome {
    scene("3. A BROKEN NETWORK. The holder runs, but none of its requests arrive.");
    let (gina, hugo) = (world.actor("gina").await?, world.actor("hugo").await?.sync);
    let held = gina.sync.lock("reports", lock_options()).await?;
    line.began("gina", &held);
    line.say("hugo", "wants `reports`, waits");
    let waiting = tokio::spawn(async move {
        let guard = hugo.lock("reports", lock_options()).await;
        (guard, hugo)
    });
    line.say("gina", "LOSES THE NETWORK: her requests do not arrive any more");
    gina.network.cut();
    let mut states = held.states();
    let mut last = None;
    while let Some(state) = states.next().await {
        match state {
            TenureState::Held => line.say("gina", "holds it, renewals are on time"),
            TenureState::InDoubt => {
                line.say("gina", "holds it, but a renewal is overdue: starts no new work");
            }
            TenureState::Lost(why) => {
                line.say("gina", format_args!("HAS LOST it, by her own clock: {why}"));
            }
            _ => {}
        }
        last = Some(state);
    }
    let stopped = line.now();
    line.ended(&held, stopped, "lost");
    expect(last == Some(TenureState::Lost(Loss::Expired)), "gina's tenure must expire")?;
    let (next, hugo) = waiting.await?;
    let next = next?;
    line.began("hugo", &next);
    let margin = line.since(stopped);
    note(format!(
        "Gina stopped {margin:.0?} before hugo began, without any message between them. A holder counts
from before it sends a renewal, a waiter from after it sees one. So the holder stops first."
    ));
    sleep(WORK / 2).await;
    line.say("hugo", "is done, releases it");
    line.ended(&next, line.now(), "released");
    next.release().await?;
    drop(hugo);
    Ok(())
}
