//! A small program that the benchmark starts: `player NAMESPACE PART`.
//!
//! PART is `lead ELECTION`, `follow ELECTION` or `hold COUNT`, as one argument. The program has one thread and no other
//! dependencies, because the benchmark measures its memory. It prints one word when it leads, follows or holds.

#![expect(clippy::print_stdout, reason = "prints one word when it is ready")]

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
            print_and_wait("leading").await
        }
        Some(("follow", election)) => {
            let _leader = sync.leader(election, LeaderOptions::default()).await?;
            print_and_wait("following").await
        }
        Some(("hold", count)) => {
            let names: Vec<_> =
                (0..count.parse()?).map(|number: u32| format!("lock-{number}")).collect();
            let _guards =
                try_join_all(names.iter().map(|name| sync.lock(name, LockOptions::default())))
                    .await?;
            print_and_wait("holding").await
        }
        _ => Err(format!("no such part: {part}").into()),
    }
}

/// Prints `word`, and then waits until the process is killed.
async fn print_and_wait(word: &str) -> Result<(), Box<dyn Error>> {
    println!("{word}");
    std::future::pending().await
}
