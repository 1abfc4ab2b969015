//! What operators and webhooks do to a record.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_is_deleted_has_lost_and_does_not_bring_it_back() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    sleep(secs(7)).await;

    cluster.delete("orders");
    let deleted = cluster.now();
    let (ended, loss) = end_of(&cluster, &guard).await;

    assert_eq!(loss, Loss::Deleted);
    assert!(ended - deleted <= secs(5), "at the next renewal: {:?}", ended - deleted);
    drop(guard);
    sleep(secs(60)).await;
    assert_eq!(cluster.lease("orders"), None);
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_and_created_anew_is_another_one_whatever_it_says() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    sleep(secs(7)).await;
    let copy = cluster.lease("orders").unwrap();

    cluster.delete("orders");
    cluster.put_object(copy);
    let (_, loss) = end_of(&cluster, &guard).await;

    assert_eq!(loss, Loss::Deleted);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_knew_the_record_waits_its_ttl_after_the_deletion() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    cluster.until(secs(7)).await;

    cluster.delete("orders");
    let deleted = cluster.now();
    let (ended, _) = end_of(&cluster, &guard).await;
    let (next, _b) = waiting.await.unwrap();

    assert!(cluster.now() - deleted >= secs(15), "{:?}", cluster.now() - deleted);
    assert!(cluster.now() - deleted <= secs(17), "{:?}", cluster.now() - deleted);
    assert!(ended < cluster.now());
    assert!(next.token() > guard.token(), "a new record's token is larger all the same");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_never_grants_and_its_version_is_no_token() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let first = take(&a).await;
    let token = first.token();
    first.release().await.unwrap();
    cluster.delete("orders");
    let deletion = cluster.commits().last().unwrap().number;

    let second = take(&a).await;

    assert!(second.token().get() > deletion && second.token() > token);
    let lease = cluster.lease("orders").unwrap();
    assert_eq!(lease["metadata"]["resourceVersion"], second.token().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_edited_away_has_lost() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    for (edit, wanted) in [("somebody", Loss::Taken), ("", Loss::Taken)] {
        let guard = take(&a).await;
        cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = edit.into());

        let (_, loss) = end_of(&cluster, &guard).await;

        assert_eq!(loss, wanted, "{edit:?}");
        cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "".into());
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_duration_or_mark_is_edited_is_not_its_holders_any_more() {
    let edits: [fn(&mut Value); 3] = [
        |lease| lease["spec"]["leaseDurationSeconds"] = 5.into(),
        |lease| lease["spec"]["leaseDurationSeconds"] = Value::Null,
        |lease| lease["metadata"]["annotations"] = Value::Null,
    ];
    for edit in edits {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        let acquired = cluster.now();

        cluster.edit("orders", edit);
        let (ended, loss) = end_of(&cluster, &guard).await;

        assert_eq!(loss, Loss::Altered);
        assert!(ended - acquired <= secs(6), "{:?}", ended - acquired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_added_by_hand_costs_one_read_and_stays() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let token = guard.token();
    cluster.forget();

    cluster.edit("orders", |lease| lease["metadata"]["labels"]["team"] = "blue".into());
    sleep(secs(11)).await;

    assert_eq!(guard.check().unwrap(), token);
    assert_eq!(cluster.verbs("a"), ["update", "get", "update", "update"]);
    assert_eq!(cluster.lease("orders").unwrap()["metadata"]["labels"]["team"], "blue");
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_survives_acquire_renew_and_release() {
    let cluster = Cluster::new();
    cluster.put_object(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "future": { "a": [1] },
        "metadata": {
            "name": "orders", "labels": { "app": "theirs" }, "annotations": { "note": "keep" }, "finalizers": ["x/y"],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u" }], "later": true,
        },
        "spec": { "holderIdentity": "", "strategy": "OldestEmulationVersion", "soon": { "b": null } },
    }));
    let before = cluster.lease("orders").unwrap();
    let kept = |cluster: &Cluster| {
        let now = cluster.lease("orders").unwrap();
        for path in [
            "/future",
            "/metadata/labels/app",
            "/metadata/annotations/note",
            "/metadata/finalizers",
            "/metadata/ownerReferences",
            "/metadata/later",
            "/spec/strategy",
            "/spec/soon",
            "/metadata/uid",
        ] {
            assert_eq!(now.pointer(path), before.pointer(path), "{path}");
        }
        now
    };
    let a = cluster.handle("a");

    let guard = take(&a).await;
    assert_eq!(kept(&cluster)["spec"]["holderIdentity"], "a");
    sleep(secs(11)).await;
    assert_eq!(cluster.commits().len(), 4, "acquired and renewed twice");
    kept(&cluster);
    guard.release().await.unwrap();
    assert_eq!(kept(&cluster)["spec"]["holderIdentity"], "");
}

/// What it does, in words and in deed.
type Webhook = (&'static str, fn(&mut Value));

/// What a webhook might do, and whom it would mislead.
fn webhooks() -> [Webhook; 5] {
    [
        ("a longer duration", |lease| lease["spec"]["leaseDurationSeconds"] = 60.into()),
        ("a shorter duration", |lease| lease["spec"]["leaseDurationSeconds"] = 5.into()),
        ("another holder", |lease| lease["spec"]["holderIdentity"] = "webhook".into()),
        ("no holder", |lease| lease["spec"]["holderIdentity"] = Value::Null),
        ("no annotations", |lease| lease["metadata"]["annotations"] = Value::Null),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_acquiring_write_that_admission_alters_grants_nothing_and_is_a_typed_error() {
    for fresh in [true, false] {
        for (what, edit) in webhooks() {
            let cluster = Cluster::new();
            if !fresh {
                cluster.put("orders", &json!({ "holderIdentity": "", "leaseDurationSeconds": 15 }));
            }
            cluster.on(When::write(), Play::webhook(edit));
            let a = cluster.handle("a");

            let refused = a.lock("orders", wait(secs(60))).await;

            assert!(matches!(refused, Err(Error::Rejected { .. })), "{what}: {refused:?}");
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("webhook"), "{text}");
            cluster.forget();
            sleep(secs(600)).await;
            let asked = cluster.requests().len();
            assert!(asked <= 12, "{what}: {asked} requests afterwards");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_admission_alters_ends_the_tenure_within_its_hold() {
    for (what, edit) in webhooks() {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        let sent = cluster.sent(|request| request.verb == "create");
        cluster.on(When::write(), Play::webhook(edit));

        let (ended, loss) = end_of(&cluster, &guard).await;

        assert!(ended <= sent + secs(13), "{what}: {ended:?}");
        assert!(matches!(loss, Loss::Altered | Loss::Taken), "{what}: {loss:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_only_adds_is_no_trouble() {
    let cluster = Cluster::new();
    cluster.on(
        When::write(),
        Play::webhook(|lease| lease["metadata"]["annotations"]["mesh/injected"] = "yes".into()),
    );
    let a = cluster.handle("a");

    let guard = take(&a).await;
    sleep(secs(60)).await;

    assert_eq!(guard.state(), TenureState::Held);
    guard.release().await.unwrap();
    assert_eq!(cluster.holder("orders"), "");
}
