//! Nothing is left behind.

use std::{fs, time::Duration};

use leasehold::Sync as _;
use leasehold_test_support::{Link, Way};
use rustix::process::Signal;

use crate::{Place, program::left_behind};

#[tokio::test]
async fn a_hundred_locks_in_a_row_leave_one_free_lease_and_nothing_else() {
    locks_in_a_row(100).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn a_thousand_locks_in_a_row_leave_one_free_lease_and_nothing_else() {
    locks_in_a_row(1000).await;
}

async fn locks_in_a_row(runs: i32) {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    // A way of its own to the server, so that its connections can be told from those of others.
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;

    for _ in 0..runs {
        let ended = place.leasehold_of(&kubeconfig, ["lock", "orders", "true"]).end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    let leases = place.leases().list(&kube::api::ListParams::default()).await.unwrap().items;
    let lease = leases[0].spec.clone().unwrap();
    assert_eq!((leases.len(), lease.lease_transitions), (1, Some(runs - 1)));
    assert_eq!(place.holder("orders").await, None);
    assert_eq!(left_behind(&place.namespace), Vec::<String>::new());
    assert_eq!(connections(proxy.port()), 0);
}

/// How many connections to this port there are: established, or with one end closed and the other not.
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
async fn a_signal_while_the_lock_is_being_written_leaves_nobody_in_it() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    // The answer is on its way for longer than it takes to see that the request has arrived.
    let late = Way::Slow(Duration::from_millis(300));
    proxy.set(Link { replies: late, ..Link::default() });
    let program = place.leasehold_of(&kubeconfig, ["lock", "orders", "echo", "in"]).start();
    place.until_requested("create", 1).await;

    program.signal(Signal::TERM);
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(143), ""), "{ended:?}");
    assert!(place.leases().get_opt("orders").await.unwrap().is_some(), "it had been written");
    assert_eq!(place.holder("orders").await, None);
    let sync = place.handle();
    let next = sync.lock("orders", leasehold::LockOptions::default().try_once()).await.unwrap();
    next.release().await.unwrap();
}
