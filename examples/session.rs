//! A semaphore through sessions: three workers share two slots, first come, first served.
//!
//! ```sh
//! cargo run --example session                                       # in memory
//! cargo run --example session -- --kubernetes --namespace default   # on the cluster of the kubeconfig
//! cargo run --features etcd --example session -- --etcd 127.0.0.1:2379   # on etcd
//! ```
//!
//! On a cluster `leasehold sessions` lists the sessions, and `leasehold status` the holders and waiters of the lock.

#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

#[path = "support/session.rs"]
mod session;
mod support;

use std::{error::Error, time::Duration};

use leasehold::{LockOptions, Session, Sync as _};
use tokio::{task::JoinSet, time::sleep};

const LOCK: &str = "leasehold-example-session";
const WORKERS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let backend = support::Backend::from_args()?;
    backend.handle().await?.init().await?;
    let observer = session::open(&backend).await?;
    let mut workers = JoinSet::new();
    for worker in 1..=WORKERS {
        // A session for each worker, as each process has one.
        let session = session::open(&backend).await?;
        workers.spawn(async move { work(worker, &session).await });
        // Without a pause, any of them may be first.
        sleep(Duration::from_millis(50)).await;
    }

    let queue = observer.queue(LOCK).await?;
    println!("{} workers hold a slot, {} wait", queue.holders.len(), queue.waiters.len());

    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(observer.end().await?)
}

/// Takes a slot, works, and gives the slot to the worker that has waited for longest.
async fn work(worker: usize, session: &Session) -> leasehold::Result<()> {
    // All users of the lock pass the same number of slots.
    let guard = session.lock(LOCK, LockOptions::default().slots(2)).await?;
    let slot = guard.slot().unwrap_or_default();
    println!("worker {worker} has slot {slot}, token {}", guard.token());
    for _ in 0..5 {
        sleep(Duration::from_millis(200)).await;
        // Before each step that only two workers may do at a time.
        guard.check()?;
        if guard.is_requested() {
            println!("worker {worker} knows that another one waits");
            break;
        }
    }
    guard.release().await?;
    println!("worker {worker} is done");
    // Deletes the record of the session. Without it, the record stays until another process deletes it.
    session.end().await
}
