//! The field managers of Leases: `metadata.managedFields`.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use leasehold::{LockOptions, Sync as _};
use serde_json::json;

use super::{Place, brief};

/// The names of the managers of the Lease `orders`.
async fn managers(place: &Place) -> Vec<String> {
    let lease = place.leases().get("orders").await.unwrap();
    let entries = lease.metadata.managed_fields.into_iter().flatten();
    entries.map(|entry| entry.manager.unwrap_or_default()).collect()
}

async fn lock_and_release(place: &Place) {
    let sync = place.handle();
    sync.lock("orders", LockOptions::default()).await.unwrap().release().await.unwrap();
    sync.close().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_the_library_created_has_no_field_managers_after_its_second_write() {
    let place = Place::new().await;

    lock_and_release(&place).await;
    let after_two = managers(&place).await;
    lock_and_release(&place).await;

    assert_eq!(after_two, [""; 0]);
    assert_eq!(managers(&place).await, [""; 0]);
}

#[tokio::test]
async fn the_field_managers_of_a_lease_of_another_program_are_kept() {
    let place = Place::new().await;
    let patch = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "orders", "labels": { "team": "shop" } },
        "spec": { "leaseDurationSeconds": 15 },
    });
    let theirs = PatchParams::apply("their-program");
    place.leases().patch("orders", &theirs, &Patch::Apply(patch)).await.unwrap();

    lock_and_release(&place).await;
    lock_and_release(&place).await;

    assert!(managers(&place).await.contains(&"their-program".to_owned()));
}

#[tokio::test]
async fn the_field_managers_are_kept_if_another_program_wrote_before_the_second_write() {
    let place = Place::new().await;
    let sync = place.handle();
    let guard = sync.lock("orders", brief()).await.unwrap();

    let patch = json!({ "metadata": { "labels": { "team": "shop" } } });
    let theirs =
        PatchParams { field_manager: Some("their-program".into()), ..PatchParams::default() };
    let patched: Lease =
        place.leases().patch("orders", &theirs, &Patch::Merge(patch)).await.unwrap();
    guard.release().await.unwrap();

    assert!(patched.metadata.managed_fields.is_some_and(|managers| !managers.is_empty()));
    assert!(managers(&place).await.contains(&"their-program".to_owned()));
}

#[tokio::test]
async fn server_side_apply_works_on_a_lease_without_field_managers_and_is_tracked_again() {
    let place = Place::new().await;
    lock_and_release(&place).await;
    let apply = async |patch| {
        let theirs = PatchParams::apply("their-program");
        place.leases().patch("orders", &theirs, &Patch::Apply(patch)).await.unwrap()
    };
    let labelled = |labels| json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "labels": labels } });

    apply(labelled(json!({ "team": "shop", "tier": "a" }))).await;
    lock_and_release(&place).await;
    let kept = managers(&place).await;
    let lease = apply(labelled(json!({ "team": "shop" }))).await;

    assert!(kept.contains(&"their-program".to_owned()), "{kept:?}");
    let labels = lease.metadata.labels.unwrap();
    assert_eq!(labels.get("team").map(String::as_str), Some("shop"));
    assert!(!labels.contains_key("tier"), "a field that was applied can be removed by apply");
    lock_and_release(&place).await;
}
