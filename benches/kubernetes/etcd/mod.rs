//! Locks and elections on etcd, compared with those of etcd's own client on the same etcd in the same run.

mod elections;
pub(crate) mod held;

use std::time::Duration;

use futures::future::join_all;
use leasehold::{Etcd, LockOptions, Options, Session, SessionOptions, Sync};
use leasehold_test_support::EtcdCluster;

use super::{
    Bench, millis, now, peers, quantile,
    sessions::{Between, PAUSE, PROCESSES, ROUND, contest, end_all, report},
    timed,
};

/// Elections of both.
pub(crate) async fn elections(bench: &mut Bench) {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    elections::all(bench, &cluster).await;
}

/// A process of each that holds thousands of locks.
pub(crate) async fn held(bench: &mut Bench) {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    held::all(bench, &cluster).await;
}

/// Locks that are free: rounds of both, in turns.
pub(crate) async fn pair(bench: &mut Bench) {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let peer = format!("http://{}", cluster.address(0));
    for _ in 0..2 {
        peers::uncontended(bench, &peer).await;
        uncontended(bench, &cluster).await;
    }
}

/// Locks that many sessions want: rounds of both, in turns.
pub(crate) async fn locks(bench: &mut Bench) {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let peer = format!("http://{}", cluster.address(0));
    for between in [Between::Nothing, Between::Pause, Between::Queue] {
        for processes in PROCESSES {
            match between {
                Between::Nothing => peers::mutex(bench, &peer, processes, Duration::ZERO).await,
                Between::Pause => peers::mutex(bench, &peer, processes, PAUSE).await,
                Between::Queue => {}
            }
            contended(bench, &cluster, processes, between).await;
        }
    }
}

async fn connect(cluster: &EtcdCluster, namespace: &str) -> Etcd {
    connect_to(cluster.addresses(), namespace).await
}

async fn connect_to(addresses: Vec<String>, namespace: &str) -> Etcd {
    let options = Options::default().nodes(addresses).namespace(namespace);
    Etcd::connect(options).await.unwrap()
}

async fn session(cluster: &EtcdCluster, namespace: &str) -> Session {
    session_of(cluster.addresses(), namespace).await
}

async fn session_of(addresses: Vec<String>, namespace: &str) -> Session {
    connect_to(addresses, namespace).await.session(SessionOptions::default()).await.unwrap()
}

/// One lock and release after the other, without a session and with one.
async fn uncontended(bench: &mut Bench, cluster: &EtcdCluster) {
    let sync = connect(cluster, "pair").await;
    pairs(bench, cluster, &sync, "acquire and release").await;
    let session = session(cluster, "pair-of-session").await;
    pairs(bench, cluster, &session, "acquire and release through a session").await;
    session.end().await.unwrap();
}

async fn pairs(bench: &mut Bench, cluster: &EtcdCluster, sync: &impl Sync, what: &str) {
    let pair = async || {
        let guard = sync.lock("pair", LockOptions::default()).await.unwrap();
        guard.release().await.unwrap();
    };
    pair().await;
    let (before, end) = (cluster.requests().await, now() + ROUND);
    let mut times = Vec::new();
    while now() < end {
        times.push(timed(pair()).await.0);
    }
    let requests = cluster.requests().await - before;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = requests as f64 / times.len() as f64;
    bench.row(
        &format!("ours on etcd, {what}, uncontended"),
        format!(
            "p50 {}, p99 {}",
            millis(quantile(&mut times, 0.5)),
            millis(quantile(&mut times, 0.99))
        ),
        format!("{each:.1} requests"),
    );
}

async fn contended(bench: &mut Bench, cluster: &EtcdCluster, processes: usize, between: Between) {
    let namespace = format!("contended-{processes}-{}", between.name().replace(' ', "-"));
    let sessions = join_all((0..processes).map(|_| session(cluster, &namespace))).await;
    let before = cluster.requests().await;
    let served = contest(&sessions, between).await;
    let requests = cluster.requests().await - before;
    let line = format!("ours on etcd: {processes} sessions want one lock, hold it for 1 ms");
    report(bench, &line, between, &served, requests);
    end_all(&sessions).await;
}
