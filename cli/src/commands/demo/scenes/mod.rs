//! Locks and elections in twelve seconds: who holds, who waits, and what a crash, a broken network and a
//! paused process do to that. In one process and in real time, with the protocol that runs on Kubernetes.
//!
//! `leasehold demo` tells it; so does `examples/demo.rs`, which builds without a Kubernetes client.
//! Nothing that it tells is hard-coded: it fails if something else happened.

#![expect(clippy::print_stdout, reason = "told on standard output")]

mod election;
mod lock;
mod network;
mod pause;
mod process;
mod timeline;

use std::time::Duration;

pub(crate) use timeline::Outcome;
use timeline::{Timeline, scene};

/// How long a holder may be silent before another may take over. Short, to keep the demonstration short.
const TTL: Duration = Duration::from_secs(2);
/// How long a piece of work takes.
const WORK: Duration = Duration::from_millis(700);
/// When to give up.
const LIMIT: Duration = Duration::from_secs(15);

/// Plays every scene.
///
/// # Errors
///
/// What did not happen as told.
pub(crate) async fn play() -> Outcome {
    println!(
        "leasehold: locks and leader election on Kubernetes Leases; here on its embedded backend."
    );
    println!(
        "Each name below stands for a process. A holder renews what it holds; if it is silent"
    );
    println!("for the time to live (TTL, here {TTL:?}), somebody else may take over.");
    println!("Each tenure has a token, a number larger than that of every earlier one.");
    let line = Timeline::begin();
    tokio::time::timeout(LIMIT, async {
        lock::play(&line).await?;
        election::play(&line).await?;
        network::play(&line).await?;
        pause::play(&line).await
    })
    .await
    .map_err(|_| format!("not finished after {LIMIT:?}"))??;
    scene("SUMMARY");
    line.summary()
}
