//! No records, processes or connections remain.

use std::{fs, time::Duration};

use leasehold::Sync as _;
use leasehold_test_support::{Link, Way};
use rustix::process::Signal;

use crate::{Fixture, program::left_behind};

#[tokio::test]
async fn a_hundred_locks_in_a_row_leave_one_free_lease_only() {
    locks_in_a_row(100).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn a_thousand_locks_in_a_row_leave_one_free_lease_only() {
    locks_in_a_row(1000).await;
}

async fn locks_in_a_row(runs: i32) {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    // A separate proxy, so that its connections can be counted.
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;

    for _ in 0..runs {
        let ended = fixture.leasehold_of(&kubeconfig, ["lock", "orders", "true"]).end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    let leases = fixture.leases().list(&kube::api::ListParams::default()).await.unwrap().items;
    let lease = leases[0].spec.clone().unwrap();
    assert_eq!((leases.len(), lease.lease_transitions), (1, Some(runs - 1)));
    assert_eq!(fixture.holder("orders").await, None);
    assert_eq!(left_behind(&fixture.namespace), Vec::<String>::new());
    assert_eq!(connections(proxy.port()), 0);
}

/// The number of connections to this port that are established or half closed.
fn connections(port: u16) -> usize {
    const LISTEN: &str = "0A";
    const TIME_WAIT: &str = "06";
    let wanted = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let open = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[2].ends_with(&wanted) && ![LISTEN, TIME_WAIT].contains(&fields[3])
    };
    table.lines().skip(1).filter(open).count()
}

#[tokio::test]
async fn a_signal_during_the_write_of_the_lock_leaves_the_lock_free() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    // The answer takes longer than it takes to see that the request has arrived.
    let late = Way::Slow(Duration::from_millis(300));
    proxy.set(Link { replies: late, ..Link::default() });
    let program = fixture.leasehold_of(&kubeconfig, ["lock", "orders", "echo", "in"]).start();
    fixture.until_requested("create", 1).await;

    program.signal(Signal::TERM);
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(143), ""), "{ended:?}");
    assert!(fixture.leases().get_opt("orders").await.unwrap().is_some(), "the record was written");
    assert_eq!(fixture.holder("orders").await, None);
    let sync = fixture.handle();
    let next = sync.lock("orders", leasehold::LockOptions::default().try_once()).await.unwrap();
    next.release().await.unwrap();
}
