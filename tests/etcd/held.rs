//! The index of held locks: who hears of a change, changes by hand, keys that are out of date, and many holders.

use std::time::Duration;

use futures::future::join_all;
use leasehold::{Etcd, Guard, LockOptions, Loss, Session, SessionOptions, Sync as _};
use leasehold_test_support::{EtcdCluster, Link};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    handle, options, secs,
    sessions::{LONG, TTL, lock, proxied, session, session_of, until_queued, wait},
    shared, unique, until,
};

/// Longer than a session waits before it watches a held record by its key.
const WATCHED: Duration = Duration::from_millis(1500);

async fn index(cluster: &EtcdCluster, prefix: &str) -> Vec<String> {
    cluster.keys(&format!("{prefix}/default/~held/")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_lock_reaches_only_the_sessions_that_gain_hold_or_lose_it() {
    const WAITERS: usize = 10;
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let sync = handle(&cluster, "").await;
    let slow = SessionOptions::default().ttl(secs(60));
    let open = async || sync.session(slow.clone()).await.unwrap();
    let (holder, idle) = (open().await, open().await);
    let waiters = join_all((0..WAITERS).map(|_| open())).await;
    let _other = lock(&idle, "other").await;
    let before = cluster.watch_messages().await;

    let held = lock(&holder, "x").await;
    let mut waits = Vec::new();
    for (number, waiter) in waiters.iter().enumerate() {
        waits.push(wait(waiter, "x"));
        until_queued(&holder, "x", number + 1).await;
    }
    held.release().await.unwrap();
    for granted in waits {
        let granted = timeout(LONG, granted).await.expect("by an event").unwrap().unwrap();
        granted.release().await.unwrap();
    }

    let sent = cluster.watch_messages().await - before;
    let writes = u64::try_from(2 + 2 * WAITERS).unwrap();
    // A release is reported to its holder and to the next one, and a claim to the holder: also by the watch of the
    // record, if it is held for long. The rest are the beginnings and ends of those watches.
    assert!(sent <= 4 * writes, "{sent} messages for {writes} writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_hears_of_waiters_and_of_changes_by_hand_also_just_after_the_grant() {
    let Some(cluster) = shared().await else { return };
    let prefix = &unique();
    let (one, two) = (session(cluster, prefix).await, session(cluster, prefix).await);
    let trials = ["edited", "deleted"].map(|change| {
        [Duration::ZERO, WATCHED].map(|held_for| {
            let (one, two) = (one.clone(), two.clone());
            async move {
                let name = format!("{change}-{held_for:?}").replace('.', "-");
                let key = format!("{prefix}/default/{name}");
                let held = lock(&one, &name).await;
                sleep(held_for).await;
                let waiting = tokio::spawn({
                    let name = name.clone();
                    async move { two.lock(&name, LockOptions::default()).await }
                });
                timeout(TTL, held.requested()).await.expect("an event reports the waiter");
                if change == "edited" {
                    let value = cluster.get(&key).await.unwrap();
                    let mut value: Value = serde_json::from_str(&value).unwrap();
                    value["holder"] = json!("somebody");
                    value["ttl"] = json!(1);
                    cluster.put(&key, &value.to_string()).await;
                } else {
                    cluster.delete(&key).await;
                }
                let loss = timeout(TTL, held.lost()).await.expect("an event reports the loss");
                let next = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
                (loss, next.token() > held.token())
            }
        })
    });

    for (loss, greater) in join_all(trials.into_iter().flatten()).await {
        assert!(matches!(loss, Loss::Taken | Loss::Deleted), "{loss:?}");
        assert!(greater);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_index_that_are_out_of_date_are_harmless_and_are_deleted() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let (one, two) = (session(cluster, &prefix).await, session(cluster, &prefix).await);
    let (a, b) = (lock(&one, "a").await, lock(&one, "b").await);
    let keys = index(cluster, &prefix).await;
    let of = |name: &str| format!("{prefix}/default/~held/{}/{name}", one.id());

    // A key by hand, a record that is deleted by hand, and a key that is deleted by hand.
    cluster.put(&of("never"), "hello").await;
    cluster.put(&of("b"), "hello").await;
    cluster.delete(&format!("{prefix}/default/a")).await;
    sleep(WATCHED).await;
    timeout(TTL, a.lost()).await.expect("an event reports it");
    let next = lock(&two, "a").await;
    cluster.delete(&of("b")).await;

    assert_eq!(keys, [of("a"), of("b")]);
    let cleaned = async || !index(cluster, &prefix).await.iter().any(|key| *key == of("never"));
    until("the next list", cleaned).await;
    sleep(secs(1)).await;
    assert!(b.is_held() && next.is_held());
    assert!(!index(cluster, &prefix).await.contains(&of("a")));
    b.release().await.unwrap();
    assert!(lock(&two, "b").await.is_held());
    cluster.put(&of("never"), "hello").await;
    one.end().await.unwrap();
    let id = two.id();
    let left = index(cluster, &prefix).await;
    assert!(left.iter().all(|key| key.contains(&id)), "{left:?}");
    two.end().await.unwrap();
    assert!(index(cluster, &prefix).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_holders_than_a_transaction_has_operations_are_granted_at_once() {
    const READERS: usize = 125;
    let Some(cluster) = shared().await else { return };
    let sync = handle(cluster, &unique()).await;
    // A reader that hears of no grant reads the record after 20 s.
    let slow = SessionOptions::default().ttl(secs(60));
    let writer = sync.session(slow.clone()).await.unwrap();
    let open = (0..READERS).map(|_| sync.session(slow.clone()));
    let readers: Vec<_> = join_all(open).await.into_iter().map(Result::unwrap).collect();
    let held = lock(&writer, "x").await;
    let waits: Vec<_> = readers.iter().map(shared_lock).map(tokio::spawn).collect();
    until_queued(&writer, "x", READERS).await;

    held.release().await.unwrap();
    let granted = timeout(secs(10), join_all(waits)).await.expect("by events");

    let granted: Vec<_> = granted.into_iter().map(Result::unwrap).collect();
    assert!(granted.iter().all(|guard| guard.is_held()));
    let next = wait(&writer, "x");
    let heard = join_all(granted.iter().map(|guard| guard.requested()));
    timeout(secs(10), heard).await.expect("by the watch of the record");
    let released = join_all(granted.into_iter().map(Guard::release)).await;
    assert!(released.iter().all(Result::is_ok), "{released:?}");
    assert!(timeout(LONG, next).await.unwrap().unwrap().unwrap().is_held());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_passes_over_more_holders_than_a_transaction_has_operations_can_release() {
    const READERS: usize = 125;
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let (proxy, cut) = proxied(cluster, &prefix).await;
    let short = SessionOptions::default().ttl(secs(6));
    let writer = handle(cluster, &prefix).await.session(short.clone()).await.unwrap();
    let open = (0..READERS).map(|_| cut.session(short.clone()));
    let readers: Vec<_> = join_all(open).await.into_iter().map(Result::unwrap).collect();
    let held = lock(&writer, "x").await;
    let waits: Vec<_> = readers.iter().map(shared_lock).map(tokio::spawn).collect();
    until_queued(&writer, "x", READERS).await;
    held.release().await.unwrap();
    let granted = timeout(LONG, join_all(waits)).await.unwrap();
    let granted: Vec<_> = granted.into_iter().map(Result::unwrap).collect();
    let next = wait(&writer, "x");
    until_queued(&writer, "x", 1).await;

    proxy.set(Link::BLACK_HOLE);
    let next = timeout(LONG, next).await.unwrap().unwrap().unwrap();

    let id = writer.id();
    let left = index(cluster, &prefix).await;
    assert!(left.iter().all(|key| key.contains(&id)), "{left:?}");
    assert!(granted.iter().all(|guard| !guard.is_held()));
    sleep(WATCHED).await;
    timeout(secs(6), next.release()).await.expect("with one write").unwrap();
    timeout(secs(6), lock(&writer, "x")).await.expect("the lock is free").release().await.unwrap();
}

fn shared_lock(session: &Session) -> impl Future<Output = Guard> + use<> {
    let session = session.clone();
    async move { session.lock("x", LockOptions::default().shared()).await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_locks_survive_a_compaction_and_a_killed_node_and_are_still_watched() {
    const LOCKS: usize = 300;
    let Some(cluster) = EtcdCluster::start(3).await else { return };
    let mut nodes = cluster.addresses();
    nodes.rotate_left(1);
    let sync = Etcd::connect(options(&cluster, "/p").nodes(nodes)).await.unwrap();
    let session = sync.session(SessionOptions::default().ttl(secs(6))).await.unwrap();
    let names: Vec<_> = (0..LOCKS).map(|number| format!("lock-{number}")).collect();
    let guards = join_all(names.iter().map(|name| lock(&session, name))).await;
    sleep(WATCHED).await;

    cluster.compact().await;
    cluster.kill(1);
    sleep(secs(7)).await;
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    cluster.compact().await;
    cluster.restart(1).await;
    cluster.delete("/p/default/lock-7").await;

    assert_eq!(held, LOCKS);
    timeout(secs(6), guards[7].lost()).await.expect("its watch goes on");
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    assert_eq!(held, LOCKS - 1);
    drop(guards);
    session.end().await.unwrap();
    assert!(index(&cluster, "/p").await.is_empty());
    assert!(lock(&session_of(&sync).await, "lock-8").await.is_held());
}
