//! A lock: the second caller waits until the first unlocks.
//!
//! ```sh
//! cargo run --example lock                                       # in memory
//! cargo run --example lock -- --kubernetes --namespace default   # on the cluster of the kubeconfig
//! cargo run --features etcd --example lock -- --etcd 127.0.0.1:2379   # on etcd
//! ```
//!
//! On a cluster `kubectl get lease leasehold-example-lock` shows the holder.

#![expect(clippy::print_stdout, reason = "an example reports on its terminal")]

mod support;

use std::{error::Error, time::Duration};

use leasehold::{LockOptions, Sync as _};

const LOCK: &str = "leasehold-example-lock";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let backend = support::Backend::from_args()?;
    // Two handles exclude each other, as two processes do.
    let first = backend.handle().await?;
    let second = backend.handle().await?;
    first.init().await?;
    let options = LockOptions::default().ttl(Duration::from_secs(10));

    let guard = first.lock(LOCK, options).await?;
    println!("first    holds `{}` as {}, token {}", guard.name(), guard.holder(), guard.token());

    // A single try does not wait. Its error names the holder.
    match second.lock(LOCK, options.try_once()).await {
        Err(error @ leasehold::Error::Held { .. }) => println!("second   {error}"),
        other => return Err(format!("expected the lock to be held, got {other:?}").into()),
    }
    // A handle can only unlock what it has locked itself.
    match second.unlock(LOCK).await {
        Err(error @ leasehold::Error::NotHeld { .. }) => println!("second   {error}"),
        other => return Err(format!("expected an error, got {other:?}").into()),
    }

    // A guard releases the lock when it is dropped. `keep` leaves the lock held and renewed until `unlock`.
    let tenure = guard.keep();
    println!("second   waits, for half a minute at most");
    let waiting = second.lock(LOCK, options.wait(Duration::from_secs(30)));
    let working = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Before each step that must not happen twice.
        tenure.check()?;
        println!("first    is done, unlocks");
        first.unlock(LOCK).await
    };
    let (guard, unlocked) = tokio::join!(waiting, working);
    unlocked?;
    let guard = guard?;
    println!("second   holds `{}` as {}, token {}", guard.name(), guard.holder(), guard.token());
    if guard.token() <= tenure.token() {
        return Err("a later tenure has the larger token".into());
    }

    // Dropping the guard releases in the background; `release` waits and returns the result.
    guard.release().await?;
    println!("second   released the lock; it is free now");
    Ok(())
}
