//! An outage of the API server while locks are held.

use std::time::Duration;

use leasehold::{Kubernetes, LockOptions, Loss, Options, Sync as _};
use leasehold_test_support::{ADMIN, ControlPlane};

/// Two handles in a namespace of their own.
async fn pair(plane: &ControlPlane) -> (Kubernetes, Kubernetes) {
    let namespace = plane.namespace().await;
    let handle = || {
        Kubernetes::from_config(plane.config(ADMIN), Options::default().namespace(&namespace))
            .unwrap()
    };
    (handle(), handle())
}

#[tokio::test]
async fn a_lock_survives_an_outage_shorter_than_its_hold_and_is_lost_in_a_longer_one() {
    let plane = ControlPlane::start().await;
    if !plane.own() {
        return;
    }
    let (a, b) = pair(&plane).await;
    let long = a.lock("long", LockOptions::default().ttl(Duration::from_secs(60))).await.unwrap();
    let short = a.lock("short", LockOptions::default().ttl(Duration::from_secs(3))).await.unwrap();

    plane.kill_apiserver();
    let loss = short.lost().await;
    let left = long.remaining();
    plane.restart_apiserver().await;
    let successor =
        b.lock("short", LockOptions::default().ttl(Duration::from_secs(3))).await.unwrap();

    assert_eq!(loss, Loss::Expired);
    assert!(successor.token() > short.token());
    assert!(long.is_held(), "the outage was shorter than the hold");
    assert!(left > Duration::ZERO);
    // A renewal after the outage extends the deadline.
    renewed(&long).await;
    long.release().await.unwrap();
}

/// As while etcd is defragmented.
#[tokio::test]
async fn a_store_that_stands_still_costs_the_locks_with_a_ttl_of_less_than_twice_that_time() {
    let plane = ControlPlane::start().await;
    if !plane.own() {
        return;
    }
    let (a, b) = pair(&plane).await;
    let long = a.lock("long", LockOptions::default().ttl(Duration::from_secs(30))).await.unwrap();
    let short = a.lock("short", LockOptions::default().ttl(Duration::from_secs(9))).await.unwrap();
    let waiting = tokio::spawn(async move { b.lock("short", LockOptions::default()).await });

    plane.pause_etcd();
    let loss = short.lost().await;
    let early = waiting.is_finished();
    plane.resume_etcd();

    assert_eq!(loss, Loss::Expired);
    assert!(!early, "no other process gets the lock while nothing can be stored");
    assert!(long.is_held(), "the store stood still for less than half the ttl");
    renewed(&long).await;
    assert!(waiting.await.unwrap().unwrap().token() > short.token());
}

/// Waits until a renewal has been confirmed.
async fn renewed(tenure: &leasehold::Tenure) {
    let mut last = tenure.remaining();
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = tenure.remaining();
        if now > last {
            return;
        }
        last = now;
    }
}
