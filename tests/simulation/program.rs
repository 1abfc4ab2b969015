//! What the tasks of a simulated process share.

use std::{sync::Arc, time::Duration};

use leasehold::{Error, Kubernetes, Tenure};
use tokio::time::timeout;

use leasehold_test_support::Rng;

use crate::{
    channel::{Message, ProcessChannel},
    faults::Fault,
    scenario::Scenario,
};

/// The context of each task of a process.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) channel: ProcessChannel,
    pub(crate) sync: Arc<Kubernetes>,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) ttl: Duration,
}

impl Program {
    /// Whether the tasks take turns, also when the faults have stopped.
    pub(crate) fn is_busy(&self) -> bool {
        self.scenario.circumstance.is_busy()
    }

    pub(crate) async fn until_stopped(self, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.channel.stopped() => {}
            () = work => {}
        }
    }

    pub(crate) fn random_duration(rng: &mut Rng, max: Duration) -> Duration {
        let max = u64::try_from(max.as_millis()).expect("fewer than 2^64 ms");
        Duration::from_millis(rng.between(1, max.max(2)))
    }

    /// Awaits `future`. Sometimes drops it early, at any of its awaits.
    pub(crate) async fn maybe_cancelled<T>(
        &self,
        rng: &mut Rng,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        if self.channel.faults_stopped() || !rng.chance(self.scenario.cancel_rate) {
            return Some(future.await);
        }
        let max = if rng.chance(500) { self.ttl } else { Duration::from_millis(400) };
        let limit = Self::random_duration(rng, max);
        let done = timeout(limit, future).await.ok();
        if done.is_none() {
            self.channel.send(Message::Fault(Fault::Cancelled));
        }
        done
    }

    /// Reads the guarded resource and later writes it.
    ///
    /// Deliberately does not ask whether the lock is still held: the token alone must protect the resource.
    pub(crate) async fn work(&self, rng: &mut Rng, name: &'static str, tenure: &Tenure) {
        let token = tenure.token().get();
        let Some(value) = self.channel.access(name, token, None).await else { return };
        self.channel.pause(Self::random_duration(rng, self.scenario.work_time)).await;
        self.channel.access(name, token, Some(value + 1)).await;
        while self.channel.faults_stopped() && !self.is_busy() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}

/// A number for the kind of error, for the trace.
pub(crate) fn error_code(error: &Error) -> u64 {
    match error {
        Error::Held { .. } | Error::Timeout { .. } => 1,
        Error::Lost { .. } => 2,
        Error::NotHeld { .. } => 3,
        Error::PermissionDenied { .. } => 4,
        Error::Unavailable { .. } => 5,
        Error::Closed { .. } => 6,
        Error::Rejected { .. } => 9,
        Error::InvalidRecord { .. } => 10,
        _ => 11,
    }
}
