//! Nodes that are killed, paused, cut off or deposed, and watches whose changes etcd no longer has.

use std::time::Instant;

use futures::{StreamExt as _, future::join_all};
use leasehold::{
    ElectEvent, Etcd, EtcdOptions, LeaderOptions, LockOptions, Options, SessionOptions, Sync as _,
    WatchElectOptions,
};
use leasehold_test_support::{EtcdCluster, Link, Proxy};

use super::{handle, options, secs, shared, unique};

/// Handles whose first node is another one each.
async fn handles(cluster: &EtcdCluster, prefix: &str) -> Vec<Etcd> {
    let mut nodes = cluster.addresses();
    let mut handles = Vec::new();
    for _ in 0..nodes.len() {
        handles.push(Etcd::connect(options(cluster, prefix).nodes(nodes.clone())).await.unwrap());
        nodes.rotate_left(1);
    }
    handles
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_held_while_one_of_three_nodes_is_killed_and_restarted() {
    let Some(cluster) = EtcdCluster::start(3).await else { return };
    let handles = handles(&cluster, "").await;
    let timing = LockOptions::default().ttl(secs(6));
    let names = ["a", "b", "c"];
    let locks = handles.iter().zip(names).map(|(sync, name)| sync.lock(name, timing));
    let guards: Vec<_> = join_all(locks).await.into_iter().map(Result::unwrap).collect();
    let leader = cluster.leader().await;

    for node in [leader, (leader + 1) % 3] {
        cluster.kill(node);
        let begun = Instant::now();
        while begun.elapsed() < secs(7) {
            for guard in &guards {
                guard.check().unwrap();
            }
            tokio::time::sleep(secs(1) / 10).await;
        }
        // A single try of a handle whose first node is gone.
        for (sync, name) in handles.iter().zip(["d", "e", "f"]) {
            let guard = sync.lock(name, timing.wait(secs(5))).await.unwrap();
            guard.release().await.unwrap();
        }
        cluster.restart(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_node_that_hangs_and_a_leader_that_is_moved() {
    let Some(cluster) = EtcdCluster::start(3).await else { return };
    let handles = handles(&cluster, "").await;
    let options = SessionOptions::default().ttl(secs(6));
    let holder = handles[0].session(options.clone()).await.unwrap();
    let waiter = handles[1].session(options).await.unwrap();
    let guard = holder.lock("x", LockOptions::default()).await.unwrap();
    let waiting = tokio::spawn(async move {
        waiter.lock("x", LockOptions::default()).await.unwrap().release().await.unwrap();
        waiter
    });

    cluster.move_leader().await;
    // Not the first, of which the test asks who leads.
    let paused = if cluster.leader().await == 1 { 2 } else { 1 };
    cluster.pause(paused);
    let begun = Instant::now();
    while begun.elapsed() < secs(8) {
        guard.check().unwrap();
        tokio::time::sleep(secs(1) / 10).await;
    }

    guard.release().await.unwrap();
    waiting.await.unwrap();
    cluster.resume(paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_is_cut_off_from_one_node_uses_the_others() {
    let Some(cluster) = EtcdCluster::start(3).await else { return };
    let proxy = Proxy::start(cluster.address(0)).await;
    let mut nodes = cluster.addresses();
    nodes[0] = format!("127.0.0.1:{}", proxy.port());
    let sync = Etcd::connect(options(&cluster, "").nodes(nodes)).await.unwrap();
    let guard = sync.lock("x", LockOptions::default().ttl(secs(4))).await.unwrap();

    proxy.set(Link::BLACK_HOLE);

    let begun = Instant::now();
    while begun.elapsed() < secs(6) {
        guard.check().unwrap();
        tokio::time::sleep(secs(1) / 10).await;
    }
    let other = sync.lock("y", LockOptions::default().wait(secs(5))).await.unwrap();
    other.release().await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_authenticated_at_another_node_if_the_first_one_hangs() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    cluster.require_users("shop", "secret", "/shop/").await;
    let proxy = Proxy::start(cluster.address(0)).await;
    proxy.set(Link::BLACK_HOLE);
    let nodes = [format!("127.0.0.1:{}", proxy.port()), cluster.address(0).to_string()];
    let user = EtcdOptions::default().user("shop", "secret");
    let options = Options::default().nodes(nodes).prefix("/shop");
    let sync = Etcd::connect_with(user, options).await.unwrap();

    let begun = Instant::now();
    let guard = sync.lock("x", LockOptions::default().wait(secs(60))).await.unwrap();

    // The node hangs for as long as its connection is not given up, which takes 20 s.
    assert!(begun.elapsed() < secs(8), "{:?}", begun.elapsed());
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_misses_nothing_that_etcd_compacted_while_it_was_cut_off() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let proxy = Proxy::start(cluster.address(0)).await;
    let nodes = [format!("127.0.0.1:{}", proxy.port())];
    let a = Etcd::connect(options(cluster, &prefix).nodes(nodes)).await.unwrap();
    let b = handle(cluster, &prefix).await;
    let mut events = a.watch_elect(WatchElectOptions::default().election("x")).await.unwrap();
    let first = b.leader("x", LeaderOptions::default().candidate_id("first")).await.unwrap();
    let _lead = first.elected().await.unwrap();
    let elected = |id: &'static str| move |event: &ElectEvent| matches!(event, ElectEvent::Elected(member) if member.candidate_id == id);
    assert!(events.by_ref().any(async |event| elected("first")(&event)).await);

    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    first.resign().await.unwrap();
    let second = b.leader("x", LeaderOptions::default().candidate_id("second")).await.unwrap();
    let _lead = second.elected().await.unwrap();
    cluster.compact().await;
    proxy.set(Link::default());

    let seen = events.any(async |event| elected("second")(&event));
    assert!(tokio::time::timeout(secs(30), seen).await.unwrap());
}
