//! The Kubernetes backend against a scripted API server in this process: each test chooses the faults. Time is paused.

#![expect(clippy::unchecked_time_subtraction, reason = "an event before its cause fails the test")]

mod answer;
mod cluster;
mod script;
mod server;
mod wire;

mod broken;
mod conflicts;
mod counts;
mod edited;
mod fields;
mod forbidden;
mod leftovers;
mod many;
mod pages;
mod partition;
mod patches;
mod prune;
mod refused;
mod runtimes;
mod session_calls;
mod session_leftovers;
mod sessions;
mod silence;
mod stale;
mod storms;
mod strange;
mod stripped;
mod tokens;
mod turns;
mod unavailable;
mod watches;

mod prelude {
    pub(crate) use std::time::Duration;

    pub(crate) use leasehold::{
        Error, Guard, Kubernetes, LeaderOptions, LockOptions, Loss, Sync as _, TenureState,
    };
    pub(crate) use serde_json::{Value, json};
    pub(crate) use tokio::time::sleep;

    pub(crate) use crate::{
        answer::Answer,
        cluster::Cluster,
        script::{Feed, Play, Reply, When},
        server::{Phase, Request},
    };

    pub(crate) const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    pub(crate) const fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Acquires the lock `orders`, without a limit of the wait.
    pub(crate) async fn take(handle: &Kubernetes) -> Guard {
        handle.lock("orders", LockOptions::default()).await.expect("the lock")
    }

    /// When the tenure ended, and why.
    pub(crate) async fn end_of(cluster: &Cluster, guard: &Guard) -> (Duration, Loss) {
        let loss = guard.lost().await;
        (cluster.now(), loss)
    }

    /// Lock options with this wait.
    pub(crate) fn wait(long: Duration) -> LockOptions {
        LockOptions::default().wait(long)
    }
}
