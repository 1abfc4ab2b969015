//! What etcd stores, and what this crate makes of values that others wrote.

use leasehold::{
    Error, Etcd, Inspect as _, LeaderOptions, LockOptions, Loss, RecordOptions, Sync as _,
};
use serde_json::Value;

use super::{handle, options, secs, shared, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_json_and_keeps_the_fields_of_other_programs() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let key = format!("{prefix}/default/x");
    cluster.put(&key, r#"{"v":1,"team":"shop"}"#).await;
    let sync = handle(cluster, &prefix).await;

    let guard = sync.lock("x", LockOptions::default().try_once()).await.unwrap();

    let value: Value = serde_json::from_str(&cluster.get(&key).await.unwrap()).unwrap();
    assert_eq!((&value["kind"], &value["name"]), (&"lock".into(), &"x".into()), "{value}");
    assert_eq!((&value["holder"], &value["ttl"]), (&guard.holder().into(), &15.into()), "{value}");
    assert_eq!((&value["v"], &value["team"]), (&1.into(), &"shop".into()), "{value}");
    guard.release().await.unwrap();
    let value: Value = serde_json::from_str(&cluster.get(&key).await.unwrap()).unwrap();
    assert_eq!((&value["holder"], &value["team"]), (&Value::Null, &"shop".into()), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_no_record_is_reported_and_not_overwritten() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let sync = handle(cluster, &prefix).await;
    for (name, value, words) in [
        ("text", "hello", "not a record of this crate"),
        ("json", r#"{"a":1}"#, "has format 0"),
        ("later", r#"{"v":2}"#, "has format 2"),
    ] {
        let key = format!("{prefix}/default/{name}");
        cluster.put(&key, value).await;

        let refused = sync.lock(name, LockOptions::default().try_once()).await.unwrap_err();

        assert!(matches!(refused, Error::InvalidRecord { .. }), "{refused:?}");
        assert!(refused.to_string().contains(words), "{refused}");
        let named = format!("the record of `{key}` cannot be used: ");
        assert!(refused.to_string().starts_with(&named), "{refused}");
        assert_eq!(cluster.get(&key).await.unwrap(), value);
    }
}

/// etcd accepts requests of 1.5 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_for_etcd_is_named_with_the_next_step() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let key = format!("{prefix}/default/x");
    let team = "x".repeat(1_572_864 - 200);
    cluster.put(&key, &format!(r#"{{"v":1,"team":"{team}"}}"#)).await;

    let sync = handle(cluster, &prefix).await;
    let refused = sync.lock("x", LockOptions::default().try_once()).await.unwrap_err();

    assert!(matches!(refused, Error::Rejected { .. }), "{refused:?}");
    for words in [&*key, "request is too large", "--max-request-bytes"] {
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_deleted_and_created_again_ends_the_tenure() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let (a, b) = (handle(cluster, &prefix).await, handle(cluster, &prefix).await);
    let guard = a.lock("x", LockOptions::default().ttl(secs(3))).await.unwrap();
    let key = format!("{prefix}/default/x");
    let value = cluster.get(&key).await.unwrap();

    cluster.delete(&key).await;
    cluster.put(&key, &value).await;

    assert_eq!(guard.lost().await, Loss::Deleted);
    let next = b.lock("x", LockOptions::default().ttl(secs(3))).await.unwrap();
    assert!(next.token() > guard.token(), "{next:?} {guard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_the_name_as_its_caller_wrote_it_and_a_candidate_that_of_its_election() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let sync = Etcd::connect(options(cluster, &prefix).namespace("Shop 2")).await.unwrap();
    let names = ["Orders v2", "jobs/nightly", "~sessions", "50%", "é"];

    for name in names {
        let guard = sync.lock(name, LockOptions::default().try_once()).await.unwrap();
        guard.release().await.unwrap();
    }
    let [leads, waits] = ["a/1", "b~2"].map(|id| LeaderOptions::default().candidate_id(id));
    let leader = sync.leader("billing", leads).await.unwrap();
    let _guard = leader.elected().await.unwrap();
    let _waits = sync.leader("billing", waits).await.unwrap();
    let mut records: Vec<_> = sync
        .list_records(RecordOptions::default())
        .await
        .unwrap()
        .into_iter()
        .map(|record| (record.lease, record.name, record.namespace))
        .collect();
    records.sort();

    let expected = [
        ("%7Esessions", "~sessions"),
        ("%C3%A9", "é"),
        ("50%25", "50%"),
        ("Orders v2", "Orders v2"),
        ("billing", "billing"),
        ("billing~b%7E2", "billing"),
        ("jobs%2Fnightly", "jobs/nightly"),
    ];
    let expected: [(String, String, String); 7] =
        expected.map(|(lease, name)| (lease.into(), name.into(), "Shop 2".into()));
    assert_eq!(records, expected);
    let mut keys = cluster.keys(&format!("{prefix}/")).await;
    keys.sort();
    assert_eq!(keys, expected.map(|(lease, ..)| format!("{prefix}/Shop 2/{lease}")));
}
