//! Scene 4: a holder is paused, wakes up too late, and is refused.

use std::sync::{Arc, Mutex, PoisonError};

use leasehold::{DynSync, Sync as _, Token};
use tokio::{sync::oneshot, time::sleep};

use super::{
    TTL, WORK,
    process::{lock_options, process},
    timeline::{Outcome, Timeline, expect, note, scene},
    world::World,
};

/// The protected resource: a ledger that refuses tokens smaller than the largest one it has seen.
#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<(Option<Token>, Vec<&'static str>)>>);

impl Ledger {
    /// Reads count too: after a read with one token, a write with an older token must be refused.
    fn read(&self, token: Token) -> Result<Vec<&'static str>, String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(largest) = state.0.filter(|&largest| token < largest) {
            return Err(format!(
                "token {token} is refused, because token {largest} was used before"
            ));
        }
        state.0 = Some(token);
        Ok(state.1.clone())
    }

    fn write(&self, token: Token, entry: &'static str) -> Result<(), String> {
        self.read(token)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push(entry);
        Ok(())
    }
}

pub(crate) async fn play(world: &dyn World, line: &Timeline) -> Outcome {
    scene("4. A PAUSE. The holder is frozen during its work, and does not notice.");
    let ledger = Ledger::default();
    let (send, started) = oneshot::channel();
    let ines = world.actor("ines").await?.sync;
    let (ines_line, ines_ledger) = (line.clone(), ledger.clone());
    let done = process(async move || freezes(&*ines, &ines_line, &ines_ledger, send).await);

    started.await?;
    let jan = world.actor("jan").await?.sync;
    line.say("jan", "wants `ledger`, waits");
    let guard = jan.lock("ledger", lock_options()).await?;
    line.began("jan", &guard);
    ledger.write(guard.check()?, "jan's")?;
    line.say("jan", format_args!("writes to the ledger with token {}", guard.token()));

    // Ines wakes up while jan still holds the lock.
    let stale = done.await??;
    ledger.write(guard.check()?, "jan's")?;
    line.say("jan", "writes again, undisturbed, and releases it");
    line.ended(&guard, line.now(), "released");
    let entries = ledger.read(guard.token())?;
    guard.release().await?;
    note(format!(
        "`check()` was enough here. If ines had been frozen just after it, only the ledger could have
detected that token {stale} is outdated. So pass the token to the protected resource, and compare it there."
    ));
    expect(entries == ["jan's", "jan's"], "the ledger must contain only the entries of jan")
}

/// Takes the lock, is frozen for longer than the TTL, and tries to continue.
async fn freezes(
    handle: &DynSync,
    line: &Timeline,
    ledger: &Ledger,
    started: oneshot::Sender<()>,
) -> Outcome<Token> {
    let guard = handle.lock("ledger", lock_options()).await?;
    line.began("ines", &guard);
    let token = guard.check()?;
    let seen = ledger.read(token)?;
    line.say("ines", format_args!("reads the ledger with token {token}: {} entries", seen.len()));
    let _ = started.send(());
    sleep(WORK / 2).await;

    line.say("ines", "IS FROZEN: her whole process, including renewals");
    line.ended(&guard, line.now() + guard.remaining(), "paused, expired");
    std::thread::sleep(TTL + WORK);
    line.say("ines", "wakes up, wants to write, and checks her guard first");
    match guard.check() {
        Err(error) => line.say("ines", format_args!("gets an error: {error}")),
        Ok(_) => return Err("the guard of ines is valid while jan holds the lock".into()),
    }
    match ledger.write(token, "ines's") {
        Err(why) => line.say("ledger", format_args!("without that check: {why}")),
        Ok(()) => return Err("the ledger accepted an outdated token".into()),
    }
    Ok(token)
}
