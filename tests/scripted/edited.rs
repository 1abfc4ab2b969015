//! Changes of a record by hand and by admission webhooks.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_holder_loses_when_its_lease_is_deleted_and_does_not_create_it_again() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    sleep(secs(7)).await;

    cluster.delete("orders");
    let deleted = cluster.now();
    let (ended, loss) = end_of(&cluster, &guard).await;

    assert_eq!(loss, Loss::Deleted);
    assert!(
        ended - deleted <= secs(5),
        "the next renewal finds the deletion, not after {:?}",
        ended - deleted
    );
    drop(guard);
    sleep(secs(60)).await;
    assert_eq!(cluster.lease("orders"), None);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_and_created_again_is_another_lease_even_with_the_same_content() {
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
async fn a_waiter_that_knew_the_record_waits_a_full_ttl_after_its_deletion() {
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
    assert!(next.token() > guard.token(), "the token of a new record is larger too");
}

#[tokio::test(start_paused = true)]
async fn after_a_deletion_the_token_is_the_version_of_the_new_record() {
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
async fn a_holder_loses_when_the_holder_field_is_edited() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    for (edit, wanted) in [("other", Loss::Taken), ("", Loss::Taken)] {
        let guard = take(&a).await;
        cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = edit.into());

        let (_, loss) = end_of(&cluster, &guard).await;

        assert_eq!(loss, wanted, "{edit:?}");
        cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "".into());
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_loses_when_the_duration_or_the_annotations_are_edited() {
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
async fn a_label_added_by_hand_is_kept_and_causes_one_read() {
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
async fn fields_written_by_others_are_kept_on_acquire_renew_and_release() {
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
    assert_eq!(cluster.commits().len(), 4, "one acquisition and two renewals");
    kept(&cluster);
    guard.release().await.unwrap();
    assert_eq!(kept(&cluster)["spec"]["holderIdentity"], "");
}

/// A description, and the change.
type Webhook = (&'static str, fn(&mut Value));

/// Changes by a webhook that would mislead the holder or the waiters.
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
async fn an_acquiring_write_that_a_webhook_changes_fails_with_rejected() {
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
async fn a_renewal_that_a_webhook_changes_ends_the_tenure_within_the_hold() {
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
async fn a_webhook_that_only_adds_an_annotation_does_no_harm() {
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
