//! Real processes, each behind a link of its own, on a real API server, with everything going wrong that can be made
//! to: `make chaos`.
//!
//! ```text
//!   member ── proxy ──┐                       ┌── faults, drawn from a seed: links, SIGSTOP, SIGKILL, servers, deletion
//!   member ── proxy ──┼── kube-apiserver ── etcd
//!   ..                │
//!      │ │            └── five of them, one lock, time to live 3 or 5 s
//!      │ └─ read, pause, write: files `absent`, `check`, and `token`, which a small server in the runner keeps
//!      └─── what they believe and what was acknowledged ──▶ ledger ──▶ checks
//! ```
//!
//! The seed repeats the choices, not the run: real processes have their own time. `make chaos BROKEN=deadline` makes the
//! members never ask whether they still hold the lock, `BROKEN=fence` makes the resource ignore tokens: both must
//! be found, within some minutes.

#![expect(clippy::print_stdout, reason = "a run of minutes says how it goes")]

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

/// Not a test: what the runner starts as a process of its own.
#[test]
fn member() {
    let Ok(orders) = std::env::var(stage::ORDERS) else { return };
    member::run(serde_json::from_str(&orders).unwrap());
}

/// A slice of it: on a busy machine little may happen, and nothing of that may be wrong.
#[tokio::test]
async fn a_short_run_breaks_nothing_that_is_promised() {
    let Some(run) = Run::start(seed(), Broken::Nothing).await else { return };
    run.chaos(Duration::from_secs(20)).await.assert_clean();
}

/// `make chaos MINUTES=n`, and `SEED=n` for another run's choices.
#[tokio::test]
#[ignore = "as long as it is told to"]
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
