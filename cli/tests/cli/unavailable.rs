//! No server, no permission, no configuration: reported on one line.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use leasehold_test_support::{ADMIN, Rule};
use serde_json::json;

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
        for ended in [&waiting, &trying] {
            assert_eq!((ended.code, ended.text()), (Some(69), ""), "{ended:?}");
            let lines: Vec<_> = ended.stderr.lines().collect();
            let (error, waits) = lines.split_last().unwrap();
            assert!(error.contains(&address) && error.contains("orders"), "{ended:?}");
            let one = |line: &&str| line.contains("waits for the API server");
            assert!(waits.len() <= 1 && waits.iter().all(one), "{ended:?}");
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
async fn a_policy_is_reported_without_the_advice_to_grant_a_verb_and_its_text_is_escaped() {
    for reason in ["Forbidden", "Invalid"] {
        let fixture = Fixture::new().await;
        let message = "\u{1b}[31mnot on Sunday";
        let validation = json!({ "expression": "false", "message": message, "reason": reason });
        fixture.plane.require(&fixture.namespace, &validation).await;

        let ended = fixture.leasehold(["lock", "orders", "true"]).end().await;

        assert_eq!(ended.code, Some(69), "{ended:?}");
        let line = ended.stderr_line();
        let policy = format!("ValidatingAdmissionPolicy 'policy-{}'", fixture.namespace);
        for text in
            ["lock `orders`", "create", &policy, "\\u{1b}[31mnot on Sunday", "policy changed"]
        {
            assert!(line.contains(text), "{reason}: {text}: {line}");
        }
        assert!(!line.contains('\x1b') && !line.contains("Role"), "{reason}: {line}");
    }
}

#[tokio::test]
async fn a_full_quota_is_reported_at_once_while_the_wait_for_the_lock_goes_on() {
    let fixture = Fixture::new().await;
    fixture.plane.limit(&fixture.namespace, 0).await;

    let tried = fixture.leasehold(["lock", "--try", "orders", "true"]).end().await;
    let short = fixture.leasehold(["lock", "-q", "--wait", "1s", "orders", "true"]).end().await;
    let mut waiting = fixture.leasehold(["lock", "orders", "echo", "in"]).start();
    let mut elect = fixture.leasehold(["elect", "billing", "echo", "in"]).start();
    let warnings = [waiting.stderr_line().await, elect.stderr_line().await];
    fixture.plane.limit(&fixture.namespace, 9).await;
    let inside = [waiting.line().await, elect.line().await];

    assert_eq!((tried.code, short.code), (Some(69), Some(69)), "{tried:?} {short:?}");
    assert_eq!(short.stderr, "");
    let tried = tried.stderr_line();
    for line in [tried, &warnings[0], &warnings[1]] {
        for text in ["exceeded quota: few", "quota raised", &fixture.namespace] {
            assert!(line.contains(text), "{text}: {line}");
        }
        assert!(!line.contains("Role"), "{line}");
    }
    assert!(tried.contains("lock `orders`"), "{tried}");
    assert!(warnings[1].contains("election `billing`"), "{warnings:?}");
    assert_eq!(inside, ["in", "in"]);
    assert_eq!(waiting.end().await.code, Some(0));
    assert_eq!(elect.end().await.code, Some(0));
}

#[tokio::test]
async fn a_full_quota_ends_a_single_try_and_a_limited_wait_in_the_queue() {
    let fixture = Fixture::new().await;
    fixture.plane.limit(&fixture.namespace, 0).await;
    let lock = |limit: &'static [&str]| {
        let lock = ["lock", "--queue"].iter().chain(limit).copied();
        fixture.leasehold(lock.chain(["orders", "true"])).end()
    };

    let (tried, waited) = tokio::join!(lock(&["--try"]), lock(&["--wait", "2s"]));

    for ended in [tried, waited] {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        let line = ended.stderr.lines().last().unwrap();
        assert!(line.contains("lock `orders`") && line.contains("exceeded quota: few"), "{line}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_reported() {
    let fixture = Fixture::new().await;
    let namespaces: Api<Namespace> = Api::all(fixture.plane.client(ADMIN));
    // No controller empties the namespace here, so it stays in the phase Terminating.
    namespaces.delete(&fixture.namespace, &DeleteParams::default()).await.unwrap();

    let ended = fixture.leasehold(["lock", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(69), "{ended:?}");
    let line = ended.stderr_line();
    assert!(line.contains(&fixture.namespace) && line.contains("being deleted"), "{line}");
    assert!(!line.contains("Role"), "{line}");
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
    for text in ["`leasehold-nowhere`", "--namespace (-n) selects it"] {
        assert!(unknown.stderr_line().contains(text), "{unknown:?}");
    }
    let option = ["--queue", "--session-namespace", "leasehold-nowhere"];
    let sessions = fixture.leasehold([&["lock"], &option[..], &["orders", "true"]].concat());
    let sessions = sessions.end().await;
    assert!(sessions.stderr_line().contains("--session-namespace selects it"), "{sessions:?}");
}

#[tokio::test]
async fn quiet_prints_no_error() {
    let fixture = Fixture::new().await;
    let args = ["lock", "-q", "-n", "leasehold-nowhere", "orders", "true"];

    let ended = fixture.leasehold(args).end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(69), ""));
}
