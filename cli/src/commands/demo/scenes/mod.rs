//! Locks and elections in 13 seconds: holders, waiters, crashes, a broken network, a paused process and a queue. All of it
//! runs in one process and in real time, with the same protocol as on Kubernetes.
//!
//! `leasehold demo` plays these scenes, and so does `examples/demo`, which builds without a Kubernetes client.
//! Every printed number is measured. The demonstration fails if an event does not happen as described.

mod election;
mod lock;
mod network;
mod pause;
mod process;
mod queue;
mod timeline;
pub(crate) mod world;

use std::time::Duration;

pub(crate) use timeline::Outcome;
use timeline::{Timeline, all_printed, print_line, scene};
use world::World;

/// How long a holder may be silent before another process may take over. Short, to keep the demonstration short.
const TTL: Duration = Duration::from_secs(2);
/// How long a piece of work takes.
const WORK: Duration = Duration::from_millis(400);
/// Time limit of the demonstration.
const LIMIT: Duration = Duration::from_secs(40);

/// Plays every scene in `world`.
///
/// # Errors
///
/// The event that did not happen as described, or the output that could not be written.
pub(crate) async fn play(world: &dyn World) -> Outcome {
    print_line(format_args!(
        "leasehold: locks and leader election on Kubernetes Leases or etcd, here {}.",
        world.place()
    ));
    print_line(format_args!(
        "Each name below is a process. A holder renews its lock. If it is silent for the time to live"
    ));
    print_line(format_args!("(TTL, here {TTL:?}), another process may take over."));
    print_line(format_args!(
        "Each tenure has a token, which is larger than the token of every earlier tenure."
    ));
    let line = Timeline::begin();
    tokio::time::timeout(LIMIT, async {
        lock::play(world, &line).await?;
        election::play(world, &line).await?;
        network::play(world, &line).await?;
        pause::play(world, &line).await?;
        queue::play(world, &line).await
    })
    .await
    .map_err(|_| format!("not finished after {LIMIT:?}"))??;
    scene("SUMMARY");
    line.summary()?;
    all_printed()
}
