//! A lock that is lost while its command runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use leasehold::Sync as _;
use leasehold_test_support::Link;
use rustix::process::Signal;

use crate::{
    Fixture, brief,
    program::{Running, runs},
};

/// Ignores TERM, starts a grandchild that also ignores TERM, and prints both process ids.
const STUBBORN: &str = "trap 'echo got TERM' TERM; (trap '' TERM; exec sh -c 'echo $$; while :; do sleep 1; done') & \
                        echo $$; while :; do sleep 0.1; done";

async fn stubborn(fixture: &Fixture, kubeconfig: &Path) -> (Running, [String; 2]) {
    let args = ["lock", "--ttl", "2s", "orders", "sh", "-c", STUBBORN];
    let mut program = fixture.leasehold_of(kubeconfig, args).start();
    let pids = [program.line().await, program.line().await];
    (program, pids)
}

#[tokio::test]
async fn the_group_of_a_holder_without_network_is_dead_before_a_successor_holds() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let (program, pids) = stubborn(&fixture, &kubeconfig).await;

    proxy.set(Link::BLACK_HOLE);
    let successor = fixture.handle();
    let guard = successor.lock("orders", brief()).await.unwrap();
    let alive: Vec<_> = pids.iter().filter(|pid| runs(pid)).collect();
    let ended = program.end().await;

    assert!(alive.is_empty(), "{alive:?} of {pids:?} ran when the successor held");
    assert!(ended.text().contains("got TERM"), "TERM comes before KILL: {ended:?}");
    assert_eq!(ended.code, Some(79));
    assert!(ended.stderr.contains("lock `orders`") && ended.stderr.contains("lost"), "{ended:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn the_command_of_a_stopped_program_is_dead_before_a_successor_holds() {
    let fixture = Fixture::new().await;
    let (program, pids) = stubborn(&fixture, &fixture.kubeconfig).await;

    program.signal(Signal::STOP);
    let successor = fixture.handle();
    let guard = successor.lock("orders", brief()).await.unwrap();
    let alive: Vec<_> = pids.iter().filter(|pid| runs(pid)).collect();
    program.signal(Signal::CONT);
    let ended = program.end().await;

    assert!(alive.is_empty(), "{alive:?} of {pids:?} ran when the successor held");
    assert_eq!(ended.code, Some(79));
    assert_eq!(fixture.holder("orders").await.as_deref(), Some(guard.holder()), "not changed");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_given_away_by_hand_stops_the_command() {
    let fixture = Fixture::new().await;
    let (program, pids) = stubborn(&fixture, &fixture.kubeconfig).await;

    fixture
        .edit("orders", |lease| {
            lease.spec.as_mut().unwrap().holder_identity = Some("operator".into());
        })
        .await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(79));
    assert!(ended.stderr_line().contains("lost"), "{ended:?}");
    assert!(pids.iter().all(|pid| !runs(pid)), "{pids:?}");
    assert_eq!(fixture.holder("orders").await.as_deref(), Some("operator"), "not changed");
}

#[tokio::test]
async fn a_command_is_stopped_at_once_when_its_lock_is_given_away() {
    let fixture = Fixture::new().await;
    let lock = ["lock", "--queue", "orders", "sh", "-c", "echo $$; exec sleep 60"];
    let mut program = fixture.leasehold(lock).start();
    let pid = program.line().await;
    // The program looks at the clock now, and again half a second later.
    program.signal(Signal::CONT);

    fixture
        .edit("orders", |lease| {
            lease.spec.as_mut().unwrap().holder_identity = Some("operator".into());
        })
        .await;
    let edited = Instant::now();
    while runs(&pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = edited.elapsed();

    assert!(took < Duration::from_millis(350), "{took:?}");
    assert_eq!(program.end().await.code, Some(79));
}

#[tokio::test]
async fn a_short_outage_does_not_stop_the_command() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let args = ["lock", "--ttl", "6s", "orders", "sh", "-c", "echo ready; read -r line; exit 5"];
    let mut program = fixture.leasehold_of(&kubeconfig, args).piped().start();
    assert_eq!(program.line().await, "ready");

    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    proxy.set(Link::default());
    fixture.until_requested("update", fixture.requests("update") + 2).await;
    program.write_line("enough\n").await;

    assert_eq!(program.end().await.code, Some(5));
}
