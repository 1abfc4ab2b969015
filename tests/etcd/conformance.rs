//! The conformance suite on etcd: all checks in parallel, each with its own prefix of keys.

use futures::future::join_all;
use leasehold::{Etcd, SessionOptions, conformance};
use leasehold_test_support::{EtcdCluster, Link, Proxy};

use super::{handle, options, secs, shared, unique};

#[tokio::test(flavor = "multi_thread")]
async fn the_etcd_backend_passes_every_conformance_check() {
    let Some(cluster) = shared().await else { return };
    join_all(conformance::CHECKS.iter().map(|each| check(each, cluster))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etcd_backend_passes_every_conformance_check_on_three_nodes() {
    let Some(cluster) = EtcdCluster::start(3).await else { return };
    join_all(conformance::CHECKS.iter().map(|each| check(each, &cluster))).await;
}

async fn check(check: &conformance::Check, cluster: &EtcdCluster) {
    let prefix = unique();
    let proxies = proxies(cluster).await;
    let nodes = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port()));
    let a = Etcd::connect(options(cluster, &prefix).nodes(nodes)).await.unwrap();
    let b = handle(cluster, &prefix).await;
    let cut = |cut| set(&proxies, cut);
    check.run(conformance::Pair::new(&a, &b).other("other").cut(&cut)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_on_etcd_passes_every_conformance_check() {
    let Some(cluster) = shared().await else { return };
    join_all(conformance::CHECKS.iter().map(|each| check_session(each, cluster))).await;
}

async fn check_session(check: &conformance::Check, cluster: &EtcdCluster) {
    // All checks run at once: a session outlasts what the servers then need for a heartbeat.
    let ttl = secs(10);
    let (prefix, session) = (unique(), SessionOptions::default().ttl(ttl));
    let proxies = proxies(cluster).await;
    let nodes = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port()));
    let a = Etcd::connect(options(cluster, &prefix).nodes(nodes)).await.unwrap();
    let (a, b) =
        (a.session(session.clone()).await, handle(cluster, &prefix).await.session(session).await);
    let (a, b) = (a.unwrap(), b.unwrap());
    let cut = |cut| set(&proxies, cut);
    check.run(conformance::Pair::new(&a, &b).other("other").cut(&cut).session(ttl)).await;
}

/// A proxy in front of each node.
async fn proxies(cluster: &EtcdCluster) -> Vec<Proxy> {
    let nodes = 0..cluster.addresses().len();
    join_all(nodes.map(|node| Proxy::start(cluster.address(node)))).await
}

fn set(proxies: &[Proxy], cut: bool) {
    let link = if cut { Link::BLACK_HOLE } else { Link::default() };
    for proxy in proxies {
        proxy.set(link);
    }
}
