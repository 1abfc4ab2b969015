//! What sessions leave behind, and how their locks recover from edits.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use kube::api::{ListParams, Patch, PatchParams};
use leasehold::{LockOptions, SessionOptions, Sync as _};
use leasehold_test_support::Link;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{
    Place,
    sessions::{LONG, TTL, lock, session_of, wait},
};

/// Each process opens a session, holds the lock once and ends, as `leasehold lock --queue` does.
#[tokio::test]
async fn sessions_that_hand_a_lock_on_and_end_leave_nothing_behind() {
    const PROCESSES: usize = 5;
    const ROUNDS: usize = 5;
    let place = Place::new().await;

    let process = async || {
        for _ in 0..ROUNDS {
            let session = session_of(&place.handle()).await;
            let guard = lock(&session, "orders").await;
            sleep(TTL / 6).await;
            guard.release().await.unwrap();
            session.end().await.unwrap();
        }
    };
    timeout(LONG, join_all((0..PROCESSES).map(|_| process()))).await.unwrap();

    let leases = place.leases().list(&ListParams::default()).await.unwrap();
    let names: BTreeSet<_> = leases.items.into_iter().filter_map(|it| it.metadata.name).collect();
    assert_eq!(names, BTreeSet::from(["orders".to_owned()]));
}

#[tokio::test]
async fn a_lock_of_a_crashed_process_whose_queue_was_removed_goes_to_the_next() {
    let place = Place::new().await;
    let (proxy, config) = place.behind_proxy().await;
    let crashing = leasehold::Kubernetes::from_config(config, place.options()).unwrap();
    let held = lock(&session_of(&crashing).await, "orders").await;
    let next = place.handle().session(SessionOptions::default().ttl(TTL)).await.unwrap();

    proxy.set(Link::BLACK_HOLE);
    let removed = json!({ "metadata": { "annotations": { "leasehold.dev/queue": null } } });
    let edit = (PatchParams::default(), Patch::Merge(removed));
    place.leases().patch("orders", &edit.0, &edit.1).await.unwrap();
    let locked = timeout(LONG, wait(&next, "orders")).await.expect("in time").unwrap().unwrap();

    assert!(locked.is_held() && !held.is_held());
    let again = next.lock("orders", LockOptions::default().wait(Duration::from_millis(1))).await;
    assert!(again.is_err());
}
