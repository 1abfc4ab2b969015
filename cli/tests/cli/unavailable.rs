//! No server, no permission, no configuration: reported on one line.

use std::time::{Duration, Instant};

use leasehold_test_support::Rule;

use crate::Fixture;

#[tokio::test]
async fn an_unreachable_server_ends_with_69_within_ten_seconds() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    // The first port refuses connections. The second one accepts them and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in ["127.0.0.1:1".to_owned(), silent.local_addr().unwrap().to_string()] {
        let kubeconfig = fixture.kubeconfig_for(&format!("https://{address}"), directory.path());

        let begun = Instant::now();
        let waiting = fixture.leasehold_of(&kubeconfig, ["lock", "orders", "echo", "in"]).end();
        let trying = fixture.leasehold_of(&kubeconfig, ["lock", "--try", "orders", "true"]).end();
        let (waiting, trying) = tokio::join!(waiting, trying);

        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        for ended in [waiting, trying] {
            assert_eq!((ended.code, ended.text()), (Some(69), ""), "{ended:?}");
            assert!(
                ended.stderr_line().contains(&address) && ended.stderr_line().contains("orders"),
                "{ended:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_missing_permission_is_reported_with_verb_resource_and_namespace() {
    let fixture = Fixture::new().await;
    fixture.plane.allow("alice", &fixture.namespace, &[Rule::leases(&["get"])]).await;
    let kubeconfig = fixture.plane.kubeconfig("alice");

    let ended = fixture.leasehold_of(&kubeconfig, ["lock", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(69));
    for text in ["create", "leases.coordination.k8s.io/orders", &fixture.namespace, "Role"] {
        assert!(ended.stderr_line().contains(text), "{text}: {ended:?}");
    }
}

#[tokio::test]
async fn a_missing_configuration_or_namespace_is_reported() {
    let fixture = Fixture::new().await;
    let nowhere = fixture
        .leasehold_of("/nowhere/kubeconfig".as_ref(), ["lock", "orders", "true"])
        .env("HOME", "/nowhere");
    let args = ["lock", "-n", "leasehold-nowhere", "orders", "true"];

    let (nowhere, unknown) = (nowhere.end().await, fixture.leasehold(args).end().await);

    assert_eq!(nowhere.code, Some(69), "{nowhere:?}");
    assert!(nowhere.stderr_line().contains("--kubeconfig"), "{nowhere:?}");
    assert_eq!(unknown.code, Some(69), "{unknown:?}");
    assert!(unknown.stderr_line().contains("`leasehold-nowhere`"), "{unknown:?}");
}

#[tokio::test]
async fn quiet_prints_no_error() {
    let fixture = Fixture::new().await;
    let args = ["lock", "-q", "-n", "leasehold-nowhere", "orders", "true"];

    let ended = fixture.leasehold(args).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(69), ""));
}
