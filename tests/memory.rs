//! The embedded backend: what every backend must do, and what only this one lets a test do to it.

#[path = "memory/bounds.rs"]
mod bounds;
#[cfg(feature = "conformance")]
#[path = "memory/broken.rs"]
mod broken;
#[path = "memory/elections.rs"]
mod elections;
#[path = "memory/faults.rs"]
mod faults;
#[cfg(feature = "metrics")]
#[path = "memory/metrics.rs"]
mod metrics;
#[path = "memory/patience.rs"]
mod patience;
#[cfg(feature = "metrics")]
#[path = "../cli/src/sidecar/http/prometheus.rs"]
mod prometheus;
#[path = "memory/queue.rs"]
mod queue;
#[path = "memory/telemetry.rs"]
mod telemetry;
#[path = "memory/tenure.rs"]
mod tenure;
#[path = "memory/trying.rs"]
mod trying;

use std::time::Duration;

use leasehold::{Guard, LockOptions, Memory, Options, Sync as _};

/// Two handles to one store, as two processes would have them.
fn pair() -> (Memory, Memory) {
    let a = Memory::new(Options::default().identity("a")).expect("valid options");
    let b = a.another(Options::default().identity("b")).expect("valid options");
    (a, b)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Takes `x` for the default time to live.
async fn hold(sync: &Memory) -> Guard {
    sync.lock("x", LockOptions::default()).await.expect("in the end it is free")
}

/// `future`, which must end within a minute of paused time.
#[track_caller]
fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within(secs(60), future)
}

/// `future`, which must end within `limit` of paused time.
#[track_caller]
fn within<F: Future>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    let asked = std::panic::Location::caller();
    async move {
        let Ok(done) = tokio::time::timeout(limit, future).await else {
            panic!("{asked}: not within {limit:?}");
        };
        done
    }
}

/// An instant of paused time.
#[expect(clippy::disallowed_methods, reason = "what a test measures, it does not decide on")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(feature = "conformance")]
mod conformance {
    use std::sync::Arc;

    use leasehold::{DynSync, Fault, conformance};

    use super::pair;

    #[tokio::test(start_paused = true)]
    async fn every_check_passes_by_value() {
        let (a, b) = pair();
        let cut = |off: bool| a.disturb(off.then_some(Fault::LoseRequest));
        conformance::all(conformance::Pair::new(&a, &b).other("other").cut(&cut)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_check_passes_in_a_box() {
        let (a, b) = pair();
        let (a, b): (Box<DynSync>, Box<DynSync>) = (Box::new(a), Box::new(b));
        conformance::all(conformance::Pair::new(&a, &b)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_check_passes_in_an_arc() {
        let (a, b) = pair();
        let (a, b): (Arc<DynSync>, Arc<DynSync>) = (Arc::new(a), Arc::new(b));
        conformance::all(conformance::Pair::new(&a, &b)).await;
    }
}
