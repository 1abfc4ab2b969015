//! `leasehold prune`.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ListParams;
use leasehold_test_support::Rule;
use serde_json::{Value, json};

use leasehold::Sync as _;

use crate::{Fixture, brief};

/// Locks and releases `name`, and makes the record look as if that was `days` ago.
async fn used(fixture: &Fixture, name: &str, days: u64) {
    fixture.handle().lock(name, brief()).await.unwrap().release().await.unwrap();
    let then = jiff::Timestamp::now() - Duration::from_secs(days * 86_400 + 7200);
    fixture
        .edit(name, |lease| lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(then)))
        .await;
}

async fn names(fixture: &Fixture) -> Vec<String> {
    let leases = fixture.leases().list(&ListParams::default()).await.unwrap().items;
    leases.into_iter().filter_map(|lease| lease.metadata.name).collect()
}

#[tokio::test]
async fn unused_locks_are_deleted_with_a_line_for_each_and_a_summary() {
    let fixture = Fixture::new().await;
    used(&fixture, "old", 9).await;
    used(&fixture, "young", 5).await;
    used(&fixture, "held", 9).await;
    let _held = fixture.handle().lock("held", brief()).await.unwrap();

    let shown = fixture.leasehold(["prune", "--dry-run"]).end().await;
    let left = names(&fixture).await;
    let deleted = fixture.leasehold(["prune"]).end().await;
    let again = fixture.leasehold(["prune"]).end().await;

    let namespace = &fixture.namespace;
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""));
    let lines = [
        format!("would delete lock `old` in namespace `{namespace}`, unused for 9d2h"),
        format!(
            "would delete 1 of 1 locks and elections in namespace `{namespace}` unused for 7d0h"
        ),
    ];
    assert_eq!(shown.text().lines().collect::<Vec<_>>(), lines);
    assert_eq!(left.len(), 3, "a dry run deletes nothing");
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(deleted.text().starts_with("deleted lock `old` "), "{deleted:?}");
    assert!(deleted.text().contains("\ndeleted 1 of 1 "), "{deleted:?}");
    assert_eq!(names(&fixture).await, ["held", "young"]);
    assert_eq!(again.code, Some(0), "nothing to delete is no error: {again:?}");
    assert!(again.text().starts_with("no lock or election in namespace "), "{again:?}");
}

#[tokio::test]
async fn json_has_one_object_for_each_lease_and_options_select() {
    let fixture = Fixture::new().await;
    for (name, days) in [("a", 2), ("b", 40), ("c", 0)] {
        used(&fixture, name, days).await;
    }
    fixture
        .edit("a", |lease| {
            lease.metadata.labels.get_or_insert_default().insert("team".into(), "shop".into());
        })
        .await;
    let prune = async |args: &[&'static str]| {
        let ended =
            fixture.leasehold(["prune", "-o", "json"].iter().chain(args).copied()).end().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        let lines = ended.text().lines();
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };

    let shop = prune(&["-l", "team=shop", "--older-than", "36h", "--dry-run"]).await;
    let month = prune(&["--older-than", "30d"]).await;
    let all = prune(&["--older-than", "0"]).await;

    let line = |name, outcome, secs| {
        json!({ "name": name, "namespace": fixture.namespace, "lease": name, "kind": "lock",
                "outcome": outcome, "unused_seconds": secs, "error": null })
    };
    let timeless = |line: &Value| {
        let mut line = line.clone();
        line["unused_seconds"] = (line["unused_seconds"].as_u64().unwrap() / 3600).into();
        line
    };
    assert_eq!(shop.iter().map(timeless).collect::<Vec<_>>(), [line("a", "unused", 50)]);
    assert_eq!(month.iter().map(timeless).collect::<Vec<_>>(), [line("b", "deleted", 962)]);
    let rest = [line("a", "deleted", 50), line("c", "deleted", 2)];
    assert_eq!(all.iter().map(timeless).collect::<Vec<_>>(), rest);
}

#[tokio::test]
async fn all_namespaces_need_a_flag() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    used(&fixture, "orders", 3650).await;
    used(&other, "orders", 3650).await;

    let everywhere = ["prune", "-A", "--older-than", "3600d", "-o", "json"];
    let program = fixture.leasehold(["prune", "--older-than", "3600d"]);
    let deleted = program.env("LEASEHOLD_ALL_NAMESPACES", "true").end().await;
    assert_eq!((deleted.code, names(&other).await.len()), (Some(0), 1));
    let deleted = fixture.leasehold(everywhere).end().await;

    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(deleted.text().contains(&other.namespace), "{deleted:?}");
    assert!(names(&other).await.is_empty());
}

#[tokio::test]
async fn a_missing_permission_and_a_missing_server_end_with_69() {
    let fixture = Fixture::new().await;
    used(&fixture, "orders", 9).await;
    fixture.plane.allow("bob", &fixture.namespace, &[Rule::leases(&["list"])]).await;
    let directory = tempfile::tempdir().unwrap();
    let nowhere = fixture.kubeconfig_for("https://127.0.0.1:1", directory.path());

    let denied = fixture.leasehold_of(&fixture.plane.kubeconfig("bob"), ["prune"]).end().await;
    let no_list = fixture.leasehold_of(&fixture.plane.kubeconfig("alice"), ["prune"]).end().await;
    let away = fixture.leasehold_of(&nowhere, ["prune"]).end().await;

    assert_eq!((denied.code, no_list.code, away.code), (Some(69), Some(69), Some(69)));
    assert!(denied.text().starts_with("could not delete lock `orders`"), "{denied:?}");
    let line = denied.stderr_line();
    assert!(line.contains("lock `orders`") && line.contains("delete"), "{denied:?}");
    assert!(no_list.stderr_line().contains("list"), "{no_list:?}");
    assert!(away.stderr_line().contains("127.0.0.1:1"), "{away:?}");
    assert_eq!(names(&fixture).await, ["orders"]);
}

#[tokio::test]
async fn a_wrong_age_is_a_usage_error() {
    let fixture = Fixture::new().await;
    let ended = fixture.leasehold(["prune", "--older-than", "soon"]).end().await;
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("write it like"), "{ended:?}");
}
