//! The time before which no other tenure may begin, in Leases of a real server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use leasehold::{
    Error, Inspect as _, Kubernetes, LockOptions, PruneOptions, RecordOptions, Sync as _,
};
use serde_json::{Value, json};

use super::{Place, brief};

const NOT_BEFORE: &str = "leasehold.dev/not-before";

fn spaced() -> LockOptions {
    brief().at_least(Duration::from_secs(600))
}

async fn run_briefly(sync: &Kubernetes) {
    sync.lock("orders", spaced()).await.unwrap().release().await.unwrap();
}

async fn try_lock(sync: &Kubernetes) -> Result<(), Error> {
    let guard = sync.lock("orders", brief().try_once()).await?;
    guard.release().await
}

fn annotation(lease: &Lease) -> Option<&String> {
    lease.metadata.annotations.as_ref()?.get(NOT_BEFORE)
}

impl Place {
    /// Writes this value as the annotation.
    async fn state(&self, value: &str) {
        self.edit("orders", |lease| {
            let annotations = lease.metadata.annotations.get_or_insert_default();
            annotations.insert(NOT_BEFORE.into(), value.to_owned());
        })
        .await;
    }
}

#[tokio::test]
async fn an_edit_by_another_program_keeps_the_lock_closed_and_a_removed_annotation_opens_it() {
    let place = Place::new().await;
    let (a, b) = (place.handle(), place.handle());
    run_briefly(&a).await;
    place
        .edit("orders", |lease| {
            lease.metadata.labels.get_or_insert_default().insert("team".into(), "shop".into());
        })
        .await;

    let [early, again] = [try_lock(&b).await.unwrap_err(), try_lock(&a).await.unwrap_err()];
    place
        .edit("orders", |lease| {
            lease.metadata.annotations.as_mut().unwrap().remove(NOT_BEFORE).unwrap();
        })
        .await;
    let open = try_lock(&b).await;

    for error in [early, again] {
        assert!(matches!(error, Error::TooEarly { .. }), "{error}");
    }
    open.unwrap();
}

#[tokio::test]
async fn a_value_that_cannot_be_right_delays_no_process() {
    let place = Place::new().await;
    let text = |time: &str, length: &str| {
        json!({ "time": time, "length": length, "holder": "x" }).to_string()
    };
    for value in [
        "soon",
        "{}",
        &text("2999-01-01T00:00:00Z", "10m"),
        &text("2999-01-01T00:00:00Z", "999999h"),
        &text("2001-01-01T00:00:00Z", "10m"),
    ] {
        run_briefly(&place.handle()).await;
        place.state(value).await;

        try_lock(&place.handle()).await.unwrap_or_else(|error| panic!("{value}: {error}"));

        let lease = place.leases().get("orders").await.unwrap();
        assert_eq!(annotation(&lease), None, "the next holder removes {value}");
    }
}

#[tokio::test]
async fn a_crashed_holder_is_covered_and_a_wait_ends_at_the_time() {
    let place = Place::new().await;
    let length = Duration::from_secs(6);
    let start = jiff::Timestamp::now();
    let guard = place.handle().lock("orders", brief().at_least(length)).await.unwrap();
    let lease = place.leases().get("orders").await.unwrap();
    let stated: Value = serde_json::from_str(annotation(&lease).unwrap()).unwrap();
    assert_eq!((&stated["length"], &stated["holder"]), (&json!("6s"), &json!(guard.holder())));
    // An edit ends the tenure without a release: the record stays as after a crash.
    place.edit("orders", |lease| lease.spec.as_mut().unwrap().renew_time = None).await;
    guard.lost().await;

    let next = place.handle().lock("orders", brief()).await.unwrap();

    let waited = Duration::try_from(jiff::Timestamp::now().duration_since(start)).unwrap();
    assert!(waited >= length && waited < length * 2, "{waited:?}");
    next.release().await.unwrap();
}

#[tokio::test]
async fn records_show_the_time_a_forced_release_removes_it_and_prune_keeps_the_record() {
    let place = Place::new().await;
    let sync = place.handle();
    run_briefly(&sync).await;
    let all = PruneOptions::default().older_than(Duration::ZERO);

    let records = sync.list_records(RecordOptions::default()).await.unwrap();
    let kept = sync.prune(all.clone()).await.unwrap();
    let forced = sync.force_release(&records[0]).await.unwrap();
    let after = sync.list_records(RecordOptions::default()).await.unwrap();
    let open = try_lock(&place.handle()).await;
    let pruned = sync.prune(all).await.unwrap();

    let stated = records[0].not_before.as_ref().unwrap();
    assert_eq!((records[0].holder.as_ref(), stated.length), (None, Duration::from_secs(600)));
    assert!(kept.is_empty() && forced, "{kept:?}");
    assert_eq!(after[0].not_before, None);
    open.unwrap();
    assert_eq!(pruned.len(), 1);
}
