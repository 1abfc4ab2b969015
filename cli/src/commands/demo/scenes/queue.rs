//! Scene 5: a queue: the order, a hand-over, a crash.

use std::time::Duration;

use leasehold::{LockOptions, Session, SessionOptions, Sync as _};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn},
    time::sleep,
};

use super::{
    TTL, WORK,
    process::process,
    timeline::{Outcome, Timeline, expect, note, scene},
    world::{Actor, World},
};

/// How often the queue is read until a process has joined it.
const POLL: Duration = Duration::from_millis(5);

pub(crate) async fn play(world: &dyn World, line: &Timeline) -> Outcome {
    scene("5. A QUEUE. Sessions get a lock in the order in which they came, also after a crash.");
    let kim = session(&world.actor("kim").await?).await?;
    let held = kim.lock("printer", LockOptions::default()).await?;
    line.began("kim", &held);
    let (kill, killed) = oneshot::channel::<()>();
    let (send, tenure) = oneshot::channel();
    let (lea, lea_line) = (world.actor("lea").await?, line.clone());
    let dead = process(async move || {
        let session = session(&lea).await?;
        lea_line.say("lea", "wants `printer`, joins the queue");
        let guard = session.lock("printer", LockOptions::default()).await?;
        lea_line.began("lea", &guard);
        let _ = send.send(guard.tenure());
        let _ = killed.await;
        Ok((session, guard))
    });
    until_waiting(&kim, 1).await?;
    let max = waiter("max", world, line).await?;
    until_waiting(&kim, 2).await?;
    let nora = waiter("nora", world, line).await?;
    until_waiting(&kim, 3).await?;
    sleep(WORK / 2).await;

    line.say("kim", "is done, releases it");
    line.ended(&held, line.now(), "released");
    held.release().await?;
    let tenure = tenure.await?;
    let gap = line.longest_gap("printer").ok_or("two sessions held the lock at the same time")?;
    note(format!(
        "Handed over within {gap:.1?}: the write that releases the lock names the first in the queue as its holder."
    ));
    expect(gap < TTL / 2, "a hand-over must be faster than a takeover after a crash")?;
    sleep(WORK / 2).await;

    let (crash, good_for) = (line.now(), tenure.remaining());
    line.say("lea", "CRASHES while she holds it");
    let _ = kill.send(());
    let remains = dead.await??;
    line.ended(&tenure, crash, "crashed");
    let (second, third) = (max.await??, nora.await??);
    let silent = second.saturating_sub(crash);
    note(format!(
        "Max was next. He ended lea's session {silent:.1?} after the crash, and nora kept her place behind him.
One heartbeat serves all locks of a session: with it, lea would have lost every lock that she held."
    ));
    expect(silent >= good_for, "the successor must wait until lea's session cannot be alive")?;
    expect(second < third, "max came before nora")?;
    drop(remains);
    Ok(kim.end().await?)
}

/// A session in a process of its own.
async fn session(actor: &Actor) -> leasehold::Result<Session> {
    actor.sessions.open(SessionOptions::default().ttl(TTL)).await
}

/// Waits until so many processes are in the queue.
async fn until_waiting(session: &Session, count: usize) -> Outcome {
    while session.queue("printer").await?.waiters.len() < count {
        sleep(POLL).await;
    }
    Ok(())
}

/// A process that waits for the lock, works, and releases it. Returns when it got the lock.
async fn waiter(
    actor: &'static str,
    world: &dyn World,
    line: &Timeline,
) -> Outcome<JoinHandle<Outcome<Duration>>> {
    let (process, line) = (world.actor(actor).await?, line.clone());
    Ok(spawn(async move {
        let session = session(&process).await?;
        line.say(actor, "wants `printer`, joins the queue");
        let guard = session.lock("printer", LockOptions::default()).await?;
        let from = line.now();
        line.began(actor, &guard);
        sleep(WORK / 2).await;
        guard.check()?;
        line.say(actor, "is done, releases it");
        line.ended(&guard, line.now(), "released");
        guard.release().await?;
        session.end().await?;
        Ok(from)
    }))
}
