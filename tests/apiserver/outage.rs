//! API servers that die under a holder.

use std::time::Duration;

use leasehold::{Kubernetes, LockOptions, Loss, Options, Sync as _};

use leasehold_test_support::{ADMIN, ControlPlane};

#[tokio::test]
async fn an_outage_shorter_than_the_hold_is_survived_and_a_longer_one_is_lost_in_time() {
    let plane = ControlPlane::start().await;
    if !plane.own() {
        return;
    }
    let namespace = plane.namespace().await;
    let handle = || {
        Kubernetes::from_config(plane.config(ADMIN), Options::default().namespace(&namespace))
            .unwrap()
    };
    let (a, b) = (handle(), handle());
    let long = a.lock("long", LockOptions::default().ttl(Duration::from_secs(60))).await.unwrap();
    let short = a.lock("short", LockOptions::default().ttl(Duration::from_secs(3))).await.unwrap();

    plane.kill_apiserver();
    let loss = short.lost().await;
    let still = long.remaining();
    plane.restart_apiserver().await;
    let successor =
        b.lock("short", LockOptions::default().ttl(Duration::from_secs(3))).await.unwrap();

    assert_eq!(loss, Loss::Expired);
    assert!(successor.token() > short.token());
    assert!(long.is_held(), "an outage shorter than the hold");
    assert!(still > Duration::ZERO);
    // A renewal after the outage moves the deadline on.
    renewed(&long).await;
    long.release().await.unwrap();
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
