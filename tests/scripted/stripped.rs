//! The queue of a lock is removed from what is stored, by a webhook or by hand.

use crate::{
    prelude::*,
    sessions::{lock, session, waiting},
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
async fn a_session_that_ends_after_such_a_refusal_frees_the_lock_first() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    cluster.on(When::is(|it| it.name == "orders" && it.is_write()), Play::webhook(strip));

    let locked = a.lock("orders", LockOptions::default()).await;
    a.end().await.unwrap();

    assert!(matches!(locked, Err(Error::Rejected { .. })), "{locked:?}");
    assert_eq!(cluster.lease(&a.id()), None);
    assert_eq!(cluster.holder("orders"), "");
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

#[tokio::test(start_paused = true)]
async fn a_lock_without_a_queue_is_taken_over_once_the_session_of_its_holder_is_over() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = lock(&a, "orders").await;
    let next = waiting(&b, "orders");
    held.requested().await;

    cluster.on(When::any().by("a"), Play::lost());
    cluster.edit("orders", strip);

    let next = tokio::time::timeout(secs(30), next).await.expect("a grant");
    assert!(next.unwrap().is_held());
    assert!(!held.is_held(), "its session was over before");
}

#[tokio::test(start_paused = true)]
async fn a_lock_without_a_queue_stays_held_while_the_session_that_it_names_is_alive() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let id = a.id();
    cluster.put("orders", &json!({ "holderIdentity": id, "leaseDurationSeconds": 315_360_000 }));

    let waited = b.lock("orders", wait(secs(120))).await;
    assert!(matches!(waited, Err(Error::InvalidRecord { .. })), "{waited:?}");
    cluster.on(When::any().by("a"), Play::lost());

    let locked = b.lock("orders", wait(secs(60))).await;
    assert!(locked.is_ok_and(|guard| guard.is_held()), "its session is over");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_leaves_a_queue_alone_that_it_cannot_read() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let _held = lock(&a, "orders").await;
    let newer = |lease: &mut Value| {
        lease["metadata"]["annotations"]["leasehold.dev/queue"] = "{\"v\":2}".into();
    };
    cluster.edit("orders", newer);
    let edited = cluster.lease("orders");

    let next = waiting(&b, "orders");
    sleep(secs(120)).await;

    assert_eq!(cluster.lease("orders"), edited);
    cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "".into());
    assert!(next.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_cannot_be_read_is_not_replaced_while_its_holder_holds() {
    const LATER: &str = "{\"v\":2,\"holders\":[{\"session\":\"s15-aaaaaaaaaaaaaaaaaaaa\"}]}";
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = lock(&a, "orders").await;
    let queued = waiting(&b, "orders");
    sleep(secs(1)).await;
    let queue = |lease: &Value| lease["metadata"]["annotations"]["leasehold.dev/queue"].clone();

    cluster.on(When::any().by("a"), Play::lost());
    cluster.edit("orders", |lease| {
        lease["metadata"]["annotations"]["leasehold.dev/queue"] = LATER.into();
    });
    let limited = b.lock("orders", wait(secs(40))).await;

    assert_eq!(queue(&cluster.lease("orders").unwrap()), LATER);
    assert!(!held.is_held() && !queued.is_finished());
    assert!(limited.unwrap_err().to_string().contains("its queue cannot be read"));
    cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "".into());
    let next = tokio::time::timeout(secs(10), queued).await;
    assert!(next.expect("the lock is free").unwrap().is_held());
}
