//! Sessions on etcd: order, a holder that is cut off, a crash, and a key or a session that is deleted.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::future::join_all;
use leasehold::{Error, Etcd, Guard, LockOptions, Loss, Session, SessionOptions, Sync as _};
use leasehold_test_support::{EtcdCluster, Link, Proxy};
use tokio::{task::JoinHandle, time::timeout};

use super::{handle, options, secs, shared, unique, until};

/// Short, so that tests do not wait long for an expiry.
pub(super) const TTL: Duration = secs(3);
/// A limit for events that are expected soon, on a busy machine.
pub(super) const LONG: Duration = secs(60);

pub(super) async fn session_of(sync: &Etcd) -> Session {
    sync.session(SessionOptions::default().ttl(TTL)).await.unwrap()
}

pub(super) async fn session(cluster: &EtcdCluster, prefix: &str) -> Session {
    session_of(&handle(cluster, prefix).await).await
}

/// A handle whose requests pass a proxy.
pub(super) async fn proxied(cluster: &EtcdCluster, prefix: &str) -> (Proxy, Etcd) {
    let proxy = Proxy::start(cluster.address(0)).await;
    let nodes = [format!("127.0.0.1:{}", proxy.port())];
    let sync = Etcd::connect(options(cluster, prefix).nodes(nodes)).await.unwrap();
    (proxy, sync)
}

/// A session whose requests pass a proxy.
async fn behind_proxy(cluster: &EtcdCluster, prefix: &str) -> (Proxy, Session) {
    let (proxy, sync) = proxied(cluster, prefix).await;
    (proxy, session_of(&sync).await)
}

pub(super) async fn lock(session: &Session, name: &str) -> Guard {
    session.lock(name, LockOptions::default()).await.unwrap()
}

pub(super) fn wait(session: &Session, name: &'static str) -> JoinHandle<leasehold::Result<Guard>> {
    let session = session.clone();
    tokio::spawn(async move { session.lock(name, LockOptions::default()).await })
}

pub(super) async fn until_queued(session: &Session, name: &str, count: usize) {
    let queued = async || session.queue(name).await.unwrap().waiters.len() == count;
    until("the queue", queued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_comes_too_late_shows_what_came_first() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let sync = handle(&cluster, &unique()).await;
    let options = || SessionOptions::default().ttl(secs(60));
    let sessions = [sync.session(options()).await.unwrap(), sync.session(options()).await.unwrap()];
    let before = cluster.requests().await;

    // Each session knows the lock as it was before the other one had it.
    for _ in 0..20 {
        for session in &sessions {
            lock(session, "orders").await.release().await.unwrap();
        }
    }

    let sent = cluster.requests().await - before;
    // A write, the same after its conflict, and a release; and some requests about the sessions.
    assert!((120..140).contains(&sent), "{sent} requests for 40 locks");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_sessions_are_served_in_the_order_in_which_they_came() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let holder = session(cluster, &prefix).await;
    let held = lock(&holder, "orders").await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..10 {
        let (process, order) = (session(cluster, &prefix).await, Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let guard = lock(&process, "orders").await;
            order.lock().unwrap().push((number, guard.check().unwrap().get()));
            guard.release().await.unwrap();
        }));
        until_queued(&holder, "orders", number + 1).await;
    }

    held.release().await.unwrap();
    let ended = timeout(LONG, join_all(tasks)).await.unwrap();

    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let order = order.lock().unwrap();
    let numbers: Vec<_> = order.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    assert!(order.is_sorted_by_key(|(_, token)| *token), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_holder_is_lost_before_a_successor_is_granted() {
    const TRIALS: usize = 24;
    let Some(cluster) = shared().await else { return };
    let prefix = &unique();
    let trials = join_all((0..TRIALS).map(|number| async move {
        let name = format!("lock-{number}");
        let (proxy, first) = behind_proxy(cluster, prefix).await;
        let second = session(cluster, prefix).await;
        let held = lock(&first, &name).await;
        proxy.set([Link::BLACK_HOLE, Link::NO_REPLIES][number % 2]);
        let healing = async {
            held.lost().await;
            // What was held back arrives when the successor is about to take over.
            proxy.set(Link::default());
        };
        let both = async {
            let next = lock(&second, &name).await;
            (held.is_held(), next.is_held())
        };
        if number % 3 == 0 { tokio::join!(healing, both).1 } else { both.await }
    }));

    let ended = timeout(LONG, trials).await.unwrap();

    let doubles = ended.iter().filter(|(first, _)| *first).count();
    assert_eq!(doubles, 0, "trials of {TRIALS} with two guards held");
    assert!(ended.iter().all(|(_, second)| *second), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_a_crashed_process_go_to_the_next_within_four_thirds_of_the_ttl() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let (proxy, crashing) = behind_proxy(cluster, &prefix).await;
    let (a, b) = (lock(&crashing, "a").await, lock(&crashing, "b").await);
    let next = session(cluster, &prefix).await;
    let waiting = [wait(&next, "a"), wait(&next, "b")];
    // Long enough for the waiter to observe the holder.
    tokio::time::sleep(TTL).await;

    proxy.set(Link::BLACK_HOLE);
    let crashed = Instant::now();
    let granted = timeout(LONG, join_all(waiting)).await.unwrap();
    let took = crashed.elapsed();

    let granted: Vec<_> = granted.into_iter().map(|guard| guard.unwrap().unwrap()).collect();
    assert!(!a.is_held() && !b.is_held(), "the cut holder knows before its successor");
    assert!(granted.iter().all(|guard| guard.is_held()));
    assert!(granted[0].token() > a.token() && granted[1].token() > b.token());
    // The last renewal was up to a third of the ttl before the cut; two seconds for a busy machine.
    assert!(took >= TTL / 3 * 2 && took <= TTL / 3 * 4 + secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_wait_leaves_the_queue() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let one = session(cluster, &prefix).await;
    let (two, three) = (session(cluster, &prefix).await, session(cluster, &prefix).await);
    let held = lock(&one, "orders").await;
    let dropped = wait(&two, "orders");
    until_queued(&one, "orders", 1).await;
    let waiting = wait(&three, "orders");
    until_queued(&one, "orders", 2).await;

    dropped.abort();
    until_queued(&one, "orders", 1).await;
    held.release().await.unwrap();

    let next = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(next.holder(), three.options().identity.as_deref().unwrap());
    let busy = two.lock("orders", LockOptions::default().try_once()).await;
    assert!(matches!(busy, Err(Error::Held { .. })), "{busy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_loses_all_its_locks_and_a_deleted_key_its_lock() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let one = session(cluster, &prefix).await;
    let (a, b) = (lock(&one, "a").await, lock(&one, "b").await);

    cluster.delete(&format!("{prefix}/default/a")).await;
    timeout(TTL, a.lost()).await.expect("an event reports it");
    assert!(b.is_held());
    let id = one.id();
    cluster.delete(&format!("{prefix}/default/~sessions/{id}")).await;

    assert_eq!(timeout(TTL, b.lost()).await.expect("the next heartbeat"), Loss::Session);
    assert_ne!(one.id(), id, "a new session");
    assert!(lock(&one, "c").await.is_held());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_key_cannot_be_read_is_lost_at_once_and_ended_by_others_after_its_ttl() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let (one, two) = (session(cluster, &prefix).await, session(cluster, &prefix).await);
    let held = lock(&one, "a").await;
    let waiting = wait(&two, "a");
    until_queued(&one, "a", 1).await;
    let id = one.id();

    let written = Instant::now();
    cluster.put(&format!("{prefix}/default/~sessions/{id}"), "garbage").await;

    assert_eq!(timeout(TTL, held.lost()).await.expect("the next heartbeat"), Loss::Session);
    assert!(timeout(LONG, lock(&one, "b")).await.expect("a new session").is_held());
    assert_ne!(one.id(), id);
    let next = timeout(LONG, waiting).await.expect("an end by the waiter").unwrap().unwrap();
    // Not before the owner must have learned of it.
    assert!(next.is_held() && written.elapsed() >= TTL, "{:?}", written.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_a_crashed_process_are_free_after_the_ttl_also_if_its_session_cannot_be_read()
{
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let (proxy, crashing) = behind_proxy(cluster, &prefix).await;
    let held = lock(&crashing, "a").await;

    proxy.set(Link::BLACK_HOLE);
    let key = format!("{prefix}/default/~sessions/{}", crashing.id());
    cluster.put(&key, r#"{"v":2}"#).await;
    let next = session(cluster, &prefix).await;
    let guard = timeout(LONG, lock(&next, "a")).await.expect("an end by the next process");

    assert!(guard.is_held() && !held.is_held());
}
