//! The deletion of unused records, next to processes that are about to use them.

use leasehold::{Inspect as _, PruneOptions, PruneOutcome, Pruned};

use crate::prelude::*;

/// Deletes every free record.
async fn prune(handle: &Kubernetes) -> Vec<Pruned> {
    handle.prune(PruneOptions::default().older_than(Duration::ZERO)).await.expect("a list")
}

/// A cluster with the free record `orders`, and a handle that knows the record.
async fn free_record() -> (Cluster, Kubernetes) {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    take(&a).await.release().await.expect("a release");
    (cluster, a)
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_taken_between_the_list_and_the_deletion_is_kept() {
    let (cluster, a) = free_record().await;
    let operator = cluster.handle("operator");
    cluster.on(When::verb("delete"), Play::as_it_is().delayed(secs(2)));

    let pruning = tokio::spawn(async move { prune(&operator).await });
    sleep(secs(1)).await;
    let guard = take(&a).await;
    let pruned = pruning.await.unwrap();

    assert!(matches!(pruned[..], [Pruned { outcome: PruneOutcome::Changed, .. }]), "{pruned:?}");
    assert_eq!(cluster.holder("orders"), "a");
    sleep(secs(60)).await;
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_record_that_is_deleted_meanwhile_becomes_a_create() {
    let (cluster, a) = free_record().await;
    let old = cluster.version();
    cluster.on(When::verb("update").by("a").once(), Play::as_it_is().delayed(millis(900)));
    let taking = tokio::spawn(async move { (take(&a).await, a) });
    sleep(millis(300)).await;

    let pruned = prune(&cluster.handle("operator")).await;
    let (guard, _a) = taking.await.unwrap();

    assert!(matches!(pruned[..], [Pruned { outcome: PruneOutcome::Deleted, .. }]), "{pruned:?}");
    assert!(cluster.now() < secs(3), "no waiting for a ttl: {:?}", cluster.now());
    assert_eq!(cluster.verbs("a")[3..], ["update", "get", "create"], "{:?}", cluster.verbs("a"));
    assert!(guard.token().get() > old);
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_knows_the_free_record_locks_at_once_after_it_was_deleted() {
    let (cluster, a) = free_record().await;
    sleep(secs(60)).await;
    let old = cluster.version();
    prune(&cluster.handle("operator")).await;
    assert!(cluster.lease("orders").is_none());
    cluster.forget();
    let asked = cluster.now();

    let guard = take(&a).await;

    assert!(cluster.now() - asked < secs(1), "no waiting for a ttl");
    assert_eq!(cluster.verbs("a"), ["update", "get", "create"], "the claim is refused by the uid");
    assert!(guard.token().get() > old);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_watch_missed_the_release_waits_for_one_ttl() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let held = take(&a).await;
    // No watch and no read of `b` shows the release.
    cluster.on(When::verb("watch").by("b"), Play::lost());
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    sleep(secs(2)).await;
    held.release().await.unwrap();
    prune(&cluster.handle("operator")).await;
    let deleted = cluster.now();

    let (guard, _b) = waiting.await.unwrap();

    let waited = cluster.now() - deleted;
    assert!(waited < secs(32), "{waited:?}");
    assert!(guard.is_held());
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_deletion_without_an_answer_ends_the_run_and_is_reported() {
    let (cluster, a) = free_record().await;
    for name in ["more", "most"] {
        a.lock(name, LockOptions::default()).await.unwrap().release().await.unwrap();
    }
    cluster.on(When::verb("delete"), Play::lost());
    cluster.forget();

    let pruned = prune(&a).await;

    assert_eq!(cluster.count(|request| request.verb == "delete"), 1, "the server is away");
    let [Pruned { outcome: PruneOutcome::Failed(error), .. }] = &pruned[..] else {
        panic!("{pruned:?}")
    };
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}
