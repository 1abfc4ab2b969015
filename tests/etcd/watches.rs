//! How many watches the subscribers of one process cost.

use futures::{FutureExt as _, StreamExt as _, future::join_all};
use leasehold::{ElectEvent, LeaderOptions, Sync as _, WatchElectOptions};
use leasehold_test_support::EtcdCluster;

use super::{handle, secs, until};

const MANY: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn many_waiters_for_one_name_in_one_process_cost_one_watch() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let sync = handle(&cluster, "").await;
    let options =
        |id: usize| LeaderOptions::default().candidate_id(format!("web-{id}")).ttl(secs(15));
    let first = sync.leader("billing", options(0)).await.unwrap();
    let guard = first.elected().await.unwrap();
    assert_eq!(cluster.watches().await, 0, "a holder watches nothing");

    let joined = (1..=MANY).map(|id| sync.leader("billing", options(id)));
    let waiters: Vec<_> = join_all(joined).await.into_iter().map(Result::unwrap).collect();

    until("a watch of the record", || cluster.watches().map(|watches| watches > 0)).await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(cluster.watches().await, 1);

    drop(guard);
    first.resign().await.unwrap();
    let elections = waiters.iter().map(|waiter| waiter.elected().boxed());
    let (elected, ..) = futures::future::select_all(elections).await;
    drop(elected.unwrap());
    drop(waiters);
    sync.close().await.unwrap();
    until("the end of the watch", || cluster.watches().map(|watches| watches == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_one_election_cost_one_watch_and_each_gets_every_event() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let sync = handle(&cluster, "").await;
    let options = || WatchElectOptions::default().election("billing");
    let watchers = (0..MANY).map(|_| sync.watch_elect(options()));
    let mut watchers: Vec<_> = join_all(watchers).await.into_iter().map(Result::unwrap).collect();
    let leader = sync.leader("billing", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();

    for watcher in &mut watchers {
        let elected =
            async { while !matches!(watcher.next().await, Some(ElectEvent::Elected(_))) {} };
        tokio::time::timeout(secs(30), elected).await.expect("the event");
    }

    assert_eq!(cluster.watches().await, 1);
    let late = sync.watch_elect(options()).await.unwrap().next().await;
    assert!(matches!(late, Some(ElectEvent::Joined(_) | ElectEvent::Elected(_))), "{late:?}");
    drop(guard);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_an_idle_cluster_goes_on_without_another_read() {
    let Some(cluster) = EtcdCluster::start(1).await else { return };
    let sync = handle(&cluster, "").await;
    let mut watcher = sync.watch_elect(WatchElectOptions::default()).await.unwrap();
    let watching = tokio::spawn(async move { watcher.next().await });
    until("a watch", || cluster.watches().map(|watches| watches > 0)).await;
    let before = cluster.requests().await;

    // Longer than the silence after which the node is asked, and the time that it has for an answer.
    tokio::time::sleep(secs(45)).await;

    let sent = cluster.requests().await - before;
    assert_eq!(sent, 2, "the beginning and the end of one probe");
    let leader = sync.leader("billing", LeaderOptions::default()).await.unwrap();
    let event = tokio::time::timeout(secs(30), watching).await.expect("still watched").unwrap();
    assert!(matches!(event, Some(ElectEvent::Joined(_) | ElectEvent::Elected(_))), "{event:?}");
    drop(leader);
}
