//! Users of locks: they wait, try, give up, work, and give back in every way there is.

use std::{sync::Arc, time::Duration};

use leasehold::{Error, Guard, Kubernetes, LockOptions, Sync as _, Tenure};
use tokio::time::timeout;

use crate::{
    channel::{Demand, Message, ProcessChannel, TrackedTenure},
    faults::Fault,
    rng::Rng,
    scenario::{LOCKS, Scenario},
};

/// What every task of a process has at hand.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) channel: ProcessChannel,
    pub(crate) sync: Arc<Kubernetes>,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) ttl: Duration,
}

impl Program {
    pub(crate) async fn until_stopped(self, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.channel.stopped() => {}
            () = work => {}
        }
    }

    pub(crate) fn random_duration(rng: &mut Rng, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).expect("a short time");
        Duration::from_millis(rng.between(1, most.max(2)))
    }

    /// A future that may be dropped at any of its awaits.
    pub(crate) async fn maybe_cancelled<T>(
        &self,
        rng: &mut Rng,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        if self.channel.faults_stopped() || !rng.chance(self.scenario.cancel_rate) {
            return Some(future.await);
        }
        let most = if rng.chance(500) { self.ttl } else { Duration::from_millis(400) };
        let limit = Self::random_duration(rng, most);
        let done = timeout(limit, future).await.ok();
        if done.is_none() {
            self.channel.send(Message::Fault(Fault::Cancelled));
        }
        done
    }

    /// Reads and writes the guarded resource; whether the lock is still held is not asked, the token must do.
    pub(crate) async fn work(&self, rng: &mut Rng, name: &'static str, tenure: &Tenure) {
        let token = tenure.token().get();
        let Some(value) = self.channel.access(name, token, None).await else { return };
        self.channel.pause(Self::random_duration(rng, self.scenario.work_time)).await;
        self.channel.access(name, token, Some(value + 1)).await;
        while self.channel.faults_stopped() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}

/// One task that wants locks.
pub(crate) async fn worker(program: Program, mut rng: Rng) {
    let channel = program.channel.clone();
    loop {
        channel.pause(Program::random_duration(&mut rng, program.scenario.think_time)).await;
        let name = rng.pick(LOCKS);
        let demand = Demand::new(&channel, name);
        let options = LockOptions::default().ttl(program.ttl);
        let options = match rng.below(10) {
            _ if channel.faults_stopped() => options,
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
                // It is kept: somebody has to give it back.
                channel.send(Message::UnlockCalled { name });
                let _ = program.sync.unlock(name).await;
            }
            channel.check_released(name, &tenure);
        }
    }
}

/// Which error, for the trace.
pub(crate) fn error_code(error: &Error) -> u64 {
    match error {
        Error::Timeout { .. } => 1,
        Error::Lost { .. } => 2,
        Error::NotHeld { .. } => 3,
        Error::Refused { .. } => 4,
        Error::Unavailable { .. } => 5,
        Error::Closed { .. } => 6,
        Error::Rejected { .. } => 9,
        Error::Version { .. } => 10,
        _ => 11,
    }
}
