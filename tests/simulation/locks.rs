//! Users of locks: they wait, try once, cancel, work, and release in each way that the API offers.

use std::time::Duration;

use leasehold::{Guard, LockOptions, Sync as _};

use leasehold_test_support::Rng;

use crate::{
    channel::Message,
    program::{Program, error_code},
    scenario::LOCKS,
    tracking::{Demand, TrackedTenure},
};

/// A task that keeps a lock for as long as it can.
pub(crate) async fn keeper(program: Program, name: &'static str) {
    let channel = program.channel.clone();
    loop {
        let demand = Demand::new(&channel, name);
        let options = LockOptions::default().ttl(program.ttl);
        match program.sync.lock(name, options).await {
            Ok(guard) => _ = TrackedTenure::new(&channel, name, guard).tenure.lost().await,
            Err(error) => channel.send(Message::Trace(error_code(&error))),
        }
        drop(demand);
    }
}

/// A task that takes locks again and again.
pub(crate) async fn worker(program: Program, mut rng: Rng) {
    let channel = program.channel.clone();
    loop {
        channel.pause(Program::random_duration(&mut rng, program.scenario.think_time)).await;
        let name = if program.is_busy() { LOCKS[0] } else { rng.pick(LOCKS) };
        let demand = Demand::new(&channel, name);
        let options = LockOptions::default().ttl(program.ttl);
        let options = match rng.below(10) {
            _ if channel.faults_stopped() || program.is_busy() => options,
            0..6 => options,
            6..8 => options.wait(Program::random_duration(&mut rng, Duration::from_secs(12))),
            _ => options.try_once(),
        };
        let outcome = program.maybe_cancelled(&mut rng, program.sync.lock(name, options)).await;
        match outcome {
            Some(Ok(guard)) => hold_lock(&program, &mut rng, name, guard).await,
            Some(Err(error)) => channel.send(Message::Trace(error_code(&error))),
            None => {}
        }
        drop(demand);
    }
}

async fn hold_lock(program: &Program, rng: &mut Rng, name: &'static str, guard: Guard) {
    let channel = &program.channel;
    let tracked = TrackedTenure::new(channel, name, guard);
    let tenure = tracked.tenure.clone();
    let mut work_rng = Rng::new(rng.draw());
    let worked = program.maybe_cancelled(rng, program.work(&mut work_rng, name, &tenure));
    tokio::select! {
        biased;
        _ = tenure.lost() => {}
        _ = worked => {}
    }
    match rng.below(10) {
        0..5 => {
            let Some(guard) = tracked.end() else { return };
            let released = guard.release();
            channel.check_released(name, &tenure);
            let done = program.maybe_cancelled(rng, released).await;
            channel.send(Message::Trace(
                done.map_or(7, |done| done.as_ref().map_or_else(error_code, |()| 8)),
            ));
        }
        5..8 => {
            drop(tracked);
            channel.check_released(name, &tenure);
        }
        _ => {
            if let Some(guard) = tracked.end() {
                let _ = guard.keep();
            }
            channel.send(Message::UnlockCalled { name });
            let done = program.maybe_cancelled(rng, program.sync.unlock(name)).await;
            if done.is_none() {
                // The guard was kept, so only another `unlock` releases the lock.
                channel.send(Message::UnlockCalled { name });
                let _ = program.sync.unlock(name).await;
            }
            channel.check_released(name, &tenure);
        }
    }
}
