//! No server, no permission, no configuration: tried, and told on one line.

use std::time::{Duration, Instant};

use leasehold_test_support::Rule;

use crate::Place;

#[tokio::test]
async fn a_server_that_was_never_there_is_69_within_ten_seconds() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    // Nobody listens on this port: connections are refused. Nobody answers on the other: they are silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in ["127.0.0.1:1".to_owned(), silent.local_addr().unwrap().to_string()] {
        let kubeconfig = place.kubeconfig_for(&format!("https://{address}"), directory.path());

        let begun = Instant::now();
        let waiting = place.leasehold_of(&kubeconfig, ["lock", "orders", "echo", "in"]).end();
        let trying = place.leasehold_of(&kubeconfig, ["lock", "--try", "orders", "true"]).end();
        let (waiting, trying) = tokio::join!(waiting, trying);

        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        for ended in [waiting, trying] {
            assert_eq!((ended.code, ended.text()), (Some(69), ""), "{ended:?}");
            assert!(
                ended.said().contains(&address) && ended.said().contains("orders"),
                "{ended:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_missing_permission_is_told_with_verb_resource_and_namespace() {
    let place = Place::new().await;
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&["get"])]).await;
    let kubeconfig = place.plane.kubeconfig("alice");

    let ended = place.leasehold_of(&kubeconfig, ["lock", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(69));
    for told in ["create", "leases.coordination.k8s.io/orders", &place.namespace, "Role"] {
        assert!(ended.said().contains(told), "{told}: {ended:?}");
    }
}

#[tokio::test]
async fn no_configuration_and_no_namespace_are_told() {
    let place = Place::new().await;
    let nowhere = place
        .leasehold_of("/nowhere/kubeconfig".as_ref(), ["lock", "orders", "true"])
        .env("HOME", "/nowhere");
    let args = ["lock", "-n", "leasehold-nowhere", "orders", "true"];

    let (nowhere, unknown) = (nowhere.end().await, place.leasehold(args).end().await);

    assert_eq!(nowhere.code, Some(69), "{nowhere:?}");
    assert!(nowhere.said().contains("--kubeconfig"), "{nowhere:?}");
    assert_eq!(unknown.code, Some(69), "{unknown:?}");
    assert!(unknown.said().contains("`leasehold-nowhere`"), "{unknown:?}");
}

#[tokio::test]
async fn quiet_says_nothing() {
    let place = Place::new().await;
    let args = ["lock", "-q", "-n", "leasehold-nowhere", "orders", "true"];

    let ended = place.leasehold(args).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(69), ""));
}
