//! Connections that break without a reset, streams that a server limits, and nodes that hang.

use std::time::Instant;

use futures::future::join_all;
use leasehold::{
    Etcd, EtcdOptions, ListMembersOptions, LockOptions, Options, SessionOptions, Sync as _,
    WatchElectOptions,
};
use leasehold_test_support::{EtcdCluster, Link, Proxy};
use tokio::time::{sleep, timeout};

use super::{handle, options, secs, shared, unique};

/// Proxies in front of one node, and their addresses.
async fn proxies(cluster: &EtcdCluster, count: usize) -> (Vec<Proxy>, Vec<String>) {
    let proxies = join_all((0..count).map(|_| Proxy::start(cluster.address(0)))).await;
    let nodes = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect();
    (proxies, nodes)
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_held_when_all_connections_break_without_a_reset() {
    let Some(cluster) = shared().await else { return };
    let trials = [1, 3].map(|addresses| async move {
        let (proxies, nodes) = proxies(cluster, addresses).await;
        let sync = Etcd::connect(options(cluster, &unique()).nodes(nodes)).await.unwrap();
        let guard = sync.lock("x", LockOptions::default().ttl(secs(6))).await.unwrap();
        let session = sync.session(SessionOptions::default().ttl(secs(6))).await.unwrap();
        let held = session.lock("y", LockOptions::default()).await.unwrap();
        sleep(secs(3)).await;

        proxies.iter().for_each(Proxy::silence);

        let begun = Instant::now();
        while begun.elapsed() < secs(10) {
            guard.check().unwrap();
            held.check().unwrap();
            sleep(secs(1) / 10).await;
        }
    });

    join_all(trials).await;
}

/// Both connections to the one node are open, and the spare one is idle.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_when_the_spare_connection_is_dead_too() {
    let Some(cluster) = shared().await else { return };
    let (proxies, nodes) = proxies(cluster, 1).await;
    let sync = Etcd::connect(options(cluster, &unique()).nodes(nodes)).await.unwrap();
    let guard = sync.lock("x", LockOptions::default().ttl(secs(6))).await.unwrap();
    proxies[0].set(Link::NO_REPLIES);
    let late = ["a", "b"].map(|name| {
        let sync = sync.clone();
        async move { sync.lock(name, LockOptions::default()).await.unwrap().release().await }
    });
    let [first, second] = late;
    let first = tokio::spawn(first);
    let second = async {
        sleep(secs(2) / 5).await;
        let second = tokio::spawn(second);
        sleep(secs(1) / 5).await;
        proxies[0].set(Link::default());
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    first.unwrap().unwrap();
    second.unwrap().unwrap();
    sync.lock("c", LockOptions::default()).await.unwrap().release().await.unwrap();
    sleep(secs(7)).await;

    proxies.iter().for_each(Proxy::silence);

    let begun = Instant::now();
    while begun.elapsed() < secs(10) {
        guard.check().unwrap();
        sleep(secs(1) / 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_do_not_wait_for_watches_if_a_server_limits_the_streams_of_a_connection() {
    const NAMES: usize = 40;
    let few = ["--max-concurrent-streams=20"];
    let Some(cluster) = EtcdCluster::start_with(1, &few, false).await else { return };
    let other = handle(&cluster, "").await;
    let other = other.session(SessionOptions::default().ttl(secs(60))).await.unwrap();
    let name = |number: usize| format!("lock-{number}");
    let mut others = Vec::new();
    for number in 0..NAMES {
        others.push(other.lock(&name(number), LockOptions::default()).await.unwrap());
    }
    let sync = handle(&cluster, "").await;
    let guard = sync.lock("x", LockOptions::default().ttl(secs(4))).await.unwrap();

    let waits: Vec<_> = (0..NAMES)
        .map(|number| {
            let sync = sync.clone();
            tokio::spawn(async move { sync.lock(&name(number), LockOptions::default()).await })
        })
        .collect();
    sleep(secs(6)).await;

    guard.check().unwrap();
    let another = sync.lock("y", LockOptions::default().wait(secs(3))).await.unwrap();
    another.release().await.unwrap();
    guard.release().await.unwrap();
    waits.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_reads_is_answered_by_another_node_if_the_first_one_hangs() {
    let Some(cluster) = shared().await else { return };
    let (proxies, nodes) = proxies(cluster, 2).await;
    proxies[0].set(Link::BLACK_HOLE);
    let prefix = &unique();
    // Each handle asks the node that hangs first.
    let connect =
        async || Etcd::connect(options(cluster, prefix).nodes(nodes.clone())).await.unwrap();
    let (a, b, c) = (connect().await, connect().await, connect().await);

    let calls = async {
        tokio::join!(
            a.init(),
            b.list_members(ListMembersOptions::default()),
            c.watch_elect(WatchElectOptions::default()),
        )
    };
    let (init, list, watch) = timeout(secs(8), calls).await.expect("by the other node");

    init.unwrap();
    list.unwrap();
    watch.unwrap();
}

#[test]
fn an_authentication_goes_on_if_the_runtime_that_began_it_ends() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let Some(cluster) = first.block_on(EtcdCluster::start(1)) else { return };
    let (proxies, sync) = first.block_on(async {
        cluster.require_users("shop", "secret", "/shop/").await;
        let (proxies, nodes) = proxies(&cluster, 2).await;
        let user = EtcdOptions::default().user("shop", "secret");
        let options = Options::default().nodes(nodes).prefix("/shop");
        (proxies, Etcd::connect_with(user, options).await.unwrap())
    });

    for proxy in &proxies {
        proxy.set(Link::BLACK_HOLE);
    }
    assert!(second.block_on(async { timeout(secs(1) / 10, sync.init()).await }).is_err());
    drop(second);
    for proxy in &proxies {
        proxy.set(Link::default());
    }

    first.block_on(async {
        sync.init().await.unwrap();
        sync.lock("x", LockOptions::default().try_once()).await.unwrap().release().await.unwrap();
    });
}
