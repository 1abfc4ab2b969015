//! `make chaos`: six processes on a real API server, each behind its own proxy, with random faults of links,
//! processes and servers. Every other process opens a session.
//!
//! ```text
//!   member ── proxy ──┐                       ┌── faults, drawn from a seed: links, SIGSTOP, SIGKILL, servers, deletion
//!   member ── proxy ──┼── kube-apiserver ── etcd
//!   ..                │
//!      │ │            └── six members, a TTL of 3 s or 5 s; one lock that all take, with and without sessions, one with
//!      │ │                slots and one that may be shared, which the members with sessions take at the same time
//!      │ └─ read, pause, write: files `absent`, `check`, and those that a small server in the runner keeps behind tokens
//!      └─── events: tenures as the member sees them, acknowledged updates ──▶ ledger ──▶ checks
//! ```
//!
//! The same seed gives the same choices, but not the same run, because the timing of real processes differs.
//!
//! Two deliberate bugs show that the checks work; each must be found within some minutes. With
//! `make chaos BROKEN=deadline` the members never check whether they still hold the lock. With `BROKEN=fence` the
//! resource ignores tokens.

#![expect(clippy::print_stdout, reason = "a run takes minutes and prints its progress")]

mod checks;
mod event;
mod fault;
mod inflict;
mod ledger;
mod member;
mod report;
mod resource;
mod run;
mod stage;
mod updates;
mod work;

use std::time::Duration;

use crate::{member::Broken, run::Run};

/// Not a test: the runner starts it as a separate process.
#[test]
fn member() {
    let Ok(orders) = std::env::var(stage::ORDERS) else { return };
    member::run(serde_json::from_str(&orders).unwrap());
}

/// A run of 20 s. On a busy machine little may happen in it.
#[tokio::test]
async fn a_short_run_violates_no_guarantee() {
    let Some(run) = Run::start(seed(), Broken::Nothing).await else { return };
    run.chaos(Duration::from_secs(20)).await.assert_clean();
}

/// `make chaos MINUTES=n`, with `SEED=n` to repeat the choices of another run.
#[tokio::test]
#[ignore = "takes minutes: make chaos"]
async fn minutes() {
    let minutes = from_env("LEASEHOLD_MINUTES").unwrap_or(10);
    let broken = match std::env::var("LEASEHOLD_BROKEN").as_deref() {
        Ok("deadline") => Broken::Deadline,
        Ok("fence") => Broken::Fence,
        Ok(other) if !other.is_empty() => {
            panic!("LEASEHOLD_BROKEN is deadline or fence, not {other}")
        }
        _ => Broken::Nothing,
    };
    let Some(run) = Run::start(seed(), broken).await else { return };
    run.chaos(Duration::from_secs(60 * minutes)).await.assert_clean();
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    from_env("LEASEHOLD_SEED").unwrap_or_else(|| event::now() / 1_000_000)
}
