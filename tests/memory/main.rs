//! The in-memory backend: the conformance suite, and tests that inject faults, which only this backend allows.

mod at_least;
mod bounds;
#[cfg(feature = "conformance")]
mod broken;
mod elections;
mod faults;
#[cfg(feature = "metrics")]
mod metrics;
mod open_races;
mod patience;
mod queue;
#[cfg(feature = "metrics")]
mod recorder;
mod runtimes;
mod session_at_least;
mod session_crowd;
mod session_elections;
mod session_ends;
mod session_faults;
mod session_modes;
mod session_namespace;
mod session_silence;
mod sessions;
mod slow;
mod telemetry;
mod tenure;
mod trying;

use std::time::Duration;

use leasehold::{Guard, LockOptions, Memory, Options, Sync as _};

/// Two handles to one store, like those of two processes.
fn pair() -> (Memory, Memory) {
    let a = Memory::new(Options::default().identity("a")).expect("valid options");
    let b = a.another(Options::default().identity("b")).expect("valid options");
    (a, b)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Acquires the lock `x` with default options.
async fn hold(sync: &Memory) -> Guard {
    sync.lock("x", LockOptions::default()).await.expect("`x` becomes free")
}

/// Awaits `future`, for at most a minute of paused time.
#[track_caller]
fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within(secs(60), future)
}

/// Awaits `future`, for at most `limit` of paused time.
#[track_caller]
fn within<F: Future>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    let asked = std::panic::Location::caller();
    async move {
        let Ok(done) = tokio::time::timeout(limit, future).await else {
            panic!("{asked}: not finished within {limit:?}");
        };
        done
    }
}

/// The current instant of paused time.
#[expect(clippy::disallowed_methods, reason = "a test measures time")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(feature = "conformance")]
mod conformance {
    use std::sync::Arc;

    use leasehold::{DynSync, Fault, SessionOptions, conformance};

    use super::pair;

    #[tokio::test(start_paused = true)]
    async fn every_conformance_check_passes_on_a_plain_handle() {
        let (a, b) = pair();
        let cut = |off: bool| a.disturb(off.then_some(Fault::LoseRequest));
        conformance::all(conformance::Pair::new(&a, &b).other("other").cut(&cut)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_conformance_check_passes_on_a_boxed_handle() {
        let (a, b) = pair();
        let (a, b): (Box<DynSync>, Box<DynSync>) = (Box::new(a), Box::new(b));
        conformance::all(conformance::Pair::new(&a, &b)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_conformance_check_passes_on_a_session() {
        let (a, b) = pair();
        let ttl = super::secs(5);
        let options = SessionOptions::default().ttl(ttl);
        let one = a.session(options.clone()).await.expect("a session");
        let two = b.session(options).await.expect("a session");
        let cut = |off: bool| a.disturb(off.then_some(Fault::LoseRequest));
        let pair = conformance::Pair::new(&one, &two).other("other").cut(&cut).session(ttl);
        conformance::all(pair).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_conformance_check_passes_on_a_shared_handle() {
        let (a, b) = pair();
        let (a, b): (Arc<DynSync>, Arc<DynSync>) = (Arc::new(a), Arc::new(b));
        conformance::all(conformance::Pair::new(&a, &b)).await;
    }
}
