//! A small program for the benchmark to start: `player NAMESPACE PART [ARGUMENT]`.
//!
//! As small as a user's could be, with one thread, since its memory is measured. Says one word when it has begun.

#![expect(clippy::print_stdout, reason = "says its word")]

use std::error::Error;

use futures::future::try_join_all;
use leasehold::{Kubernetes, LeaderOptions, LockOptions, Options, Sync as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [namespace, part] = &arguments[..] else {
        return Err("usage: player NAMESPACE PART".into());
    };
    let sync = Kubernetes::connect(Options::default().namespace(namespace)).await?;
    match part.split_once(' ') {
        Some(("lead", election)) => {
            let leader = sync.leader(election, LeaderOptions::default()).await?;
            let _guard = leader.elected().await?;
            say("leading").await
        }
        Some(("follow", election)) => {
            let _leader = sync.leader(election, LeaderOptions::default()).await?;
            say("following").await
        }
        Some(("hold", count)) => {
            let names: Vec<_> =
                (0..count.parse()?).map(|number: u32| format!("lock-{number}")).collect();
            let _guards =
                try_join_all(names.iter().map(|name| sync.lock(name, LockOptions::default())))
                    .await?;
            say("holding").await
        }
        _ => Err(format!("no such part: {part}").into()),
    }
}

/// Says that it has begun, and goes on until it is killed.
async fn say(word: &str) -> Result<(), Box<dyn Error>> {
    println!("{word}");
    std::future::pending().await
}
