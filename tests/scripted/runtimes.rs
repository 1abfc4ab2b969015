//! Several Tokio runtimes in one process: what one of them started does not depend on it. Time is not paused, because
//! each runtime has a clock of its own.

use futures::StreamExt as _;
use leasehold::{Leader, WatchElectOptions};
use tokio::{runtime::Runtime, time::timeout};

use crate::{prelude::*, server::Request};

/// Longer than a hand-over by a watch, and shorter than the TTL, after which a waiter reads.
const SOON: Duration = Duration::from_secs(5);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn candidate(id: &str) -> LeaderOptions {
    LeaderOptions::default().candidate_id(id)
}

/// A candidate of `handle`, once it follows another leader.
async fn follower(handle: Kubernetes, id: &'static str) -> Leader {
    let leader = handle.leader("orders", candidate(id)).await.expect("a candidate");
    let mut seen = leader.watch();
    while seen.next().await.expect("a state").primary.is_none() {}
    leader
}

#[test]
fn a_watch_goes_on_when_the_runtime_of_its_first_follower_ends() {
    let (first, second) = (runtime(), runtime());
    second.block_on(async {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let lead = a.leader("orders", candidate("a")).await.unwrap();
        let _guard = lead.elected().await.unwrap();
        let early = first.spawn(follower(b.clone(), "early")).await.unwrap();
        let late = follower(b, "late").await;

        first.shutdown_background();
        drop(early);
        lead.resign().await.unwrap();

        let elected = timeout(SOON, late.elected()).await;
        assert!(elected.expect("heard of by the watch").unwrap().is_held());
    });
}

#[test]
fn a_watch_on_a_runtime_that_is_not_polled_is_started_again_on_another() {
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let second = runtime();
    let brief = |id| candidate(id).ttl(secs(2));
    let (cluster, a, b) = second.block_on(async {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        (cluster, a, b)
    });
    let lead = second.block_on(a.leader("orders", brief("a"))).unwrap();
    let _guard = second.block_on(lead.elected()).unwrap();
    let _early = first.block_on(follower(b.clone(), "early"));

    second.block_on(async {
        let _late = b.leader("orders", brief("late")).await.unwrap();
        let watched = |request: &Request| request.by == "b" && request.verb == "watch";
        let restarted = async {
            while cluster.count(watched) < 2 {
                sleep(millis(50)).await;
            }
        };
        timeout(secs(30), restarted).await.expect("a second watch");
    });
}

#[test]
fn events_go_on_when_the_runtime_of_their_first_subscriber_ends() {
    let (first, second) = (runtime(), runtime());
    second.block_on(async {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let begun = b.clone();
        let early = first.spawn(async move {
            let mut events = begun.watch_elect(WatchElectOptions::default()).await.unwrap();
            tokio::spawn(async move { while events.next().await.is_some() {} });
        });
        early.await.unwrap();
        let mut events = b.watch_elect(WatchElectOptions::default()).await.unwrap();

        first.shutdown_background();
        let lead = a.leader("orders", candidate("a")).await.unwrap();

        let event = timeout(SOON, events.next()).await;
        assert!(event.expect("heard of by the watch").is_some());
        lead.resign().await.unwrap();
    });
}

#[test]
fn a_handle_outside_a_runtime_is_an_error() {
    let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());

    let outside = Kubernetes::from_config(config, leasehold::Options::default());

    let Err(Error::Config { reason, .. }) = outside else { panic!("{outside:?}") };
    assert!(reason.contains("Tokio runtime"), "{reason}");
}

#[test]
fn a_handle_from_a_client_works_outside_the_runtime_of_the_client() {
    let runtime = runtime();
    let client = runtime.block_on(async { Cluster::new().client("a") });

    let handle = Kubernetes::new(client, leasehold::Options::default()).unwrap();

    let guard = runtime.block_on(take(&handle));
    assert!(guard.is_held());
}
