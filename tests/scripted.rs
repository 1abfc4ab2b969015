//! The Kubernetes backend against an API server that does what a test tells it to: every fault, in paused time.

#![expect(
    clippy::unchecked_time_subtraction,
    reason = "an event before its cause is a failed test"
)]

#[path = "scripted/answer.rs"]
mod answer;
#[path = "scripted/cluster.rs"]
mod cluster;
#[path = "scripted/script.rs"]
mod script;
#[path = "scripted/server.rs"]
mod server;
#[path = "scripted/wire.rs"]
mod wire;

#[path = "scripted/broken.rs"]
mod broken;
#[path = "scripted/conflicts.rs"]
mod conflicts;
#[path = "scripted/counts.rs"]
mod counts;
#[path = "scripted/edited.rs"]
mod edited;
#[path = "scripted/fields.rs"]
mod fields;
#[path = "scripted/refused.rs"]
mod refused;
#[path = "scripted/silence.rs"]
mod silence;
#[path = "scripted/stale.rs"]
mod stale;
#[path = "scripted/storms.rs"]
mod storms;
#[path = "scripted/strange.rs"]
mod strange;
#[path = "scripted/unavailable.rs"]
mod unavailable;
#[path = "scripted/watches.rs"]
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
        server::Phase,
    };

    pub(crate) const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    pub(crate) const fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// The lock that these tests are about, waited for as long as it takes.
    pub(crate) async fn take(handle: &Kubernetes) -> Guard {
        handle.lock("orders", LockOptions::default()).await.expect("the lock")
    }

    /// When the tenure ended, by which reason.
    pub(crate) async fn end_of(cluster: &Cluster, guard: &Guard) -> (Duration, Loss) {
        let loss = guard.lost().await;
        (cluster.now(), loss)
    }

    /// At most that long.
    pub(crate) fn wait(long: Duration) -> LockOptions {
        LockOptions::default().wait(long)
    }
}
