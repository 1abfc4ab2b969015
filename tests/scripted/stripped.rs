//! A webhook that removes the queue of a lock from what is stored.

use crate::{
    prelude::*,
    sessions::{lock, session},
};

/// Removes the annotation with the queue.
fn strip(object: &mut Value) {
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove("leasehold.dev/queue");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_queue_is_removed_is_refused_and_free_afterwards() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    cluster.on(When::is(|it| it.name == "orders" && it.is_write()), Play::webhook(strip));

    let locked = tokio::time::timeout(secs(30), a.lock("orders", LockOptions::default())).await;
    sleep(secs(60)).await;

    let error = locked.expect("an answer").expect_err("the claim is not stored");
    assert!(error.to_string().contains("it stored something else than was written"), "{error}");
    assert_eq!(cluster.holder("orders"), "", "nothing is left");
    cluster.heal();
    let locked = tokio::time::timeout(secs(5), b.lock("orders", LockOptions::default())).await;
    assert!(matches!(locked, Ok(Ok(_))), "{locked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_queue_was_removed_by_hand_frees_the_lock() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = lock(&a, "orders").await;

    cluster.edit("orders", strip);
    sleep(secs(1)).await;

    assert!(!held.is_held(), "nothing proves the tenure any more");
    let locked = tokio::time::timeout(secs(5), b.lock("orders", LockOptions::default())).await;
    assert!(matches!(locked, Ok(Ok(_))), "{locked:?}");
}
