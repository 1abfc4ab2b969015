//! Complete, well-formed answers that do not fit the request.

use leasehold::{Inspect as _, ListMembersOptions, RecordOptions, WatchElectOptions};
use tokio::time::timeout;

use super::sessions::{lock, session, waiting};
use crate::prelude::*;

/// JSON, but not an object of the expected shape.
const SHAPES: [&str; 6] = [
    "[]",
    "17",
    "\"ok\"",
    "null",
    r#"{"items":17,"metadata":[]}"#,
    r#"{"metadata":"x","status":[]}"#,
];

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_shape_causes_no_panic() {
    for shape in SHAPES {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        cluster.on(When::any(), Play::carried_out(Reply::Is(Answer::text(200, shape))));

        let _ = a.list_members(ListMembersOptions::default()).await;
        let _ = a.list_records(RecordOptions::default()).await;
        let _ = a.init().await;
        let _ = a.lock("orders", wait(secs(20))).await;
        let watching = a.watch_elect(WatchElectOptions::default()).await;
        sleep(secs(60)).await;

        drop(watching);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_sees_a_release_although_its_first_list_was_malformed() {
    for shape in SHAPES {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let guard = take(&a).await;
        let strange = Play::carried_out(Reply::Is(Answer::text(200, shape)));
        cluster.on(When::verb("list").once(), strange);
        let waiting = tokio::spawn(async move { (take(&b).await, b) });
        cluster.until(secs(17)).await;

        guard.release().await.unwrap();

        let released = cluster.now();
        let (_guard, _b) = waiting.await.unwrap();
        assert!(cluster.now() - released < secs(1), "{shape}: {:?}", cluster.now() - released);
    }
}

#[tokio::test(start_paused = true)]
async fn freeing_a_lease_with_a_malformed_spec_causes_no_panic() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let _guard = take(&a).await;
    cluster.on(When::verb("list"), Play::carried_out(Reply::Is(listed_with_spec(&json!([1])))));

    let records = a.list_records(RecordOptions::default()).await.unwrap();

    assert_eq!(records.len(), 1);
    let _ = a.force_release(&records[0]).await;
}

fn listed_with_spec(spec: &Value) -> Answer {
    let item = json!({
        "metadata": {
            "name": "orders", "uid": "u", "resourceVersion": "7",
            "labels": { "leasehold.dev/kind": "lock" },
        },
        "spec": spec,
    });
    Answer::object(200, &json!({ "metadata": {}, "items": [item] }))
}

/// Another object: free, and much newer than every stored one.
fn other(namespace: &str, name: &str) -> Answer {
    Answer::object(
        200,
        &json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": namespace, "uid": "x", "resourceVersion": "900000" },
            "spec": { "holderIdentity": "" },
        }),
    )
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_another_object_is_ignored_on_acquire() {
    for (namespace, name) in [("default", "others"), ("elsewhere", "orders")] {
        for verb in ["get", "create"] {
            let cluster = Cluster::new();
            let a = cluster.handle("a");
            let play = Play::carried_out(Reply::Is(other(namespace, name)));
            cluster.on(When::verb(verb).once(), play);

            let guard = a.lock("orders", wait(secs(60))).await;

            assert!(guard.as_ref().is_ok_and(|guard| guard.is_held()), "{verb}: {guard:?}");
            assert!(cluster.now() < secs(5), "{verb}: {:?}", cluster.now());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_answered_with_another_object_does_not_end_the_tenure() {
    let cluster = Cluster::new();
    let guard = take(&cluster.handle("a")).await;
    let play = Play::carried_out(Reply::Is(other("default", "others")));
    cluster.on(When::verb("update").once(), play);

    sleep(secs(60)).await;

    assert!(guard.is_held(), "{:?}", guard.state());
}

#[tokio::test(start_paused = true)]
async fn listing_and_releasing_records_without_an_answer_fails_within_a_minute() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let _guard = take(&a).await;
    let records = a.list_records(RecordOptions::default()).await.unwrap();
    cluster.on(When::any(), Play::lost());

    let listed = timeout(secs(60), a.list_records(RecordOptions::default()))
        .await
        .expect("the call must end");
    let freed = timeout(secs(60), a.force_release(&records[0])).await.expect("the call must end");

    assert!(matches!(listed, Err(Error::Unavailable { .. })), "{listed:?}");
    assert!(matches!(freed, Err(Error::Unavailable { .. })), "{freed:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_a_release_is_seen_within_6_seconds_even_with_a_ttl_of_a_day() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    cluster.deny(&["list", "watch"]);
    let day = LockOptions::default().ttl(secs(86_400));
    let guard = a.lock("orders", day).await.unwrap();
    let waiting = tokio::spawn(async move { (b.lock("orders", day).await, b) });
    cluster.until(secs(30)).await;
    guard.release().await.unwrap();
    let released = cluster.now();

    let (taken, _b) = waiting.await.unwrap();

    assert!(taken.unwrap().is_held());
    assert!(cluster.now() - released <= secs(6), "{:?}", cluster.now() - released);
}

#[tokio::test(start_paused = true)]
async fn a_404_from_a_proxy_is_not_taken_as_a_deleted_record() {
    let cluster = Cluster::new();
    let guard = take(&cluster.handle("a")).await;
    let proxy = Play::instead(Answer::text(404, "<html>default backend - 404</html>"));
    cluster.on(When::any().times(2), proxy);

    sleep(secs(60)).await;

    assert!(guard.is_held(), "{:?}", guard.state());
}

#[tokio::test(start_paused = true)]
async fn a_404_from_a_proxy_is_not_taken_as_a_missing_namespace() {
    let cluster = Cluster::new();
    let proxy = Play::instead(Answer::text(404, "<html>default backend - 404</html>"));
    cluster.on(When::verb("create").once(), proxy);

    assert!(take(&cluster.handle("a")).await.is_held());
}

/// Answers with the code 404 in the form of an API server. None of them says that a Lease is missing.
fn strange_404s() -> [Answer; 4] {
    let text = "the server could not find the requested resource";
    let of = |details| Answer::detailed(404, "NotFound", text, details);
    let lease = json!({ "name": "other", "group": "coordination.k8s.io", "kind": "leases" });
    [
        Answer::failure(404, "NotFound", text),
        of(json!({})),
        of(json!({ "name": "orders", "group": "coordination.k8s.io" })),
        of(lease),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_404_that_does_not_name_the_lease_ends_neither_a_session_nor_a_tenure() {
    for (number, answer) in strange_404s().into_iter().enumerate() {
        let cluster = Cluster::new();
        let session = session(&cluster, "a").await;
        let (id, held) = (session.id(), lock(&session, "jobs").await);
        let guard = take(&cluster.handle("b")).await;
        let handle = cluster.handle("c");
        let waiter = tokio::spawn(async move { (take(&handle).await, handle) });
        let queued = waiting(&session, "jobs");
        cluster.until(secs(3)).await;
        cluster.on(When::any(), Play::instead(answer));
        sleep(secs(5)).await;
        cluster.heal();

        sleep(secs(60)).await;

        assert!(held.is_held(), "{:?}: answer {number}", held.state());
        assert_eq!(session.id(), id, "the session goes on: answer {number}");
        assert!(guard.is_held(), "{:?}: answer {number}", guard.state());
        assert!(!waiter.is_finished() && !queued.is_finished(), "both wait on: answer {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_that_names_no_namespace_is_not_taken_as_a_missing_namespace() {
    for answer in strange_404s() {
        let cluster = Cluster::new();
        cluster.on(When::verb("create").once(), Play::instead(answer));

        assert!(take(&cluster.handle("a")).await.is_held());
    }
}
