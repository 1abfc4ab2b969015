//! A lock that is lost while its command runs.

use std::path::Path;

use leasehold::Sync as _;
use leasehold_test_support::Link;
use rustix::process::Signal;

use crate::{
    Place, brief,
    program::{Running, runs},
};

/// Ignores TERM, has a grandchild that does too, says both numbers.
const STUBBORN: &str = "trap 'echo told' TERM; (trap '' TERM; exec sh -c 'echo $$; while :; do sleep 1; done') & \
                        echo $$; while :; do sleep 0.1; done";

async fn stubborn(place: &Place, kubeconfig: &Path) -> (Running, [String; 2]) {
    let args = ["lock", "--ttl", "2s", "orders", "sh", "-c", STUBBORN];
    let mut program = place.leasehold_of(kubeconfig, args).start();
    let pids = [program.line().await, program.line().await];
    (program, pids)
}

#[tokio::test]
async fn behind_a_black_hole_the_group_is_dead_before_a_successor_holds() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let (program, pids) = stubborn(&place, &kubeconfig).await;

    proxy.set(Link::BLACK_HOLE);
    let successor = place.handle();
    let guard = successor.lock("orders", brief()).await.unwrap();
    let alive: Vec<_> = pids.iter().filter(|pid| runs(pid)).collect();
    let ended = program.end().await;

    assert!(alive.is_empty(), "{alive:?} of {pids:?} ran when the successor held");
    assert!(ended.text().contains("told"), "TERM comes before KILL: {ended:?}");
    assert_eq!(ended.code, Some(79));
    assert!(ended.stderr.contains("lock `orders`") && ended.stderr.contains("lost"), "{ended:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn stopped_for_longer_than_the_ttl_its_command_is_dead_before_a_successor_holds() {
    let place = Place::new().await;
    let (program, pids) = stubborn(&place, &place.kubeconfig).await;

    program.signal(Signal::STOP);
    let successor = place.handle();
    let guard = successor.lock("orders", brief()).await.unwrap();
    let alive: Vec<_> = pids.iter().filter(|pid| runs(pid)).collect();
    program.signal(Signal::CONT);
    let ended = program.end().await;

    assert!(alive.is_empty(), "{alive:?} of {pids:?} ran when the successor held");
    assert_eq!(ended.code, Some(79));
    assert_eq!(place.holder("orders").await.as_deref(), Some(guard.holder()), "not touched");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_given_to_somebody_else_by_hand_stops_the_command() {
    let place = Place::new().await;
    let (program, pids) = stubborn(&place, &place.kubeconfig).await;

    place
        .edit("orders", |lease| {
            lease.spec.as_mut().unwrap().holder_identity = Some("operator".into());
        })
        .await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(79));
    assert!(ended.said().contains("lost"), "{ended:?}");
    assert!(pids.iter().all(|pid| !runs(pid)), "{pids:?}");
    assert_eq!(place.holder("orders").await.as_deref(), Some("operator"), "not touched");
}

#[tokio::test]
async fn an_outage_shorter_than_the_hold_is_not_noticed() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let args = ["lock", "--ttl", "6s", "orders", "sh", "-c", "echo ready; read -r line; exit 5"];
    let mut program = place.leasehold_of(&kubeconfig, args).piped().start();
    assert_eq!(program.line().await, "ready");

    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    proxy.set(Link::default());
    place.until_requested("update", place.requests("update") + 2).await;
    program.say("enough\n").await;

    assert_eq!(program.end().await.code, Some(5));
}
