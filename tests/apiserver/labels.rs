//! Labels and annotations for the Leases that a handle creates.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use leasehold::{Error, LeaderOptions, LockOptions, Options, Sync as _};
use serde_json::json;

use super::{Place, brief};
use crate::ADMIN;

fn labelled(options: Options) -> Options {
    options
        .labels([("team", "shop"), ("app.kubernetes.io/name", "orders")])
        .annotations([("example.org/note", "made by \"shop\",\n not by hand")])
}

#[track_caller]
fn assert_labelled(lease: &Lease, kind: &str) {
    let labels = lease.metadata.labels.clone().unwrap_or_default();
    let annotations = lease.metadata.annotations.clone().unwrap_or_default();
    assert_eq!(labels.get("team").map(String::as_str), Some("shop"), "{labels:?}");
    assert_eq!(labels.get("app.kubernetes.io/name").map(String::as_str), Some("orders"));
    assert_eq!(labels.get("leasehold.dev/kind").map(String::as_str), Some(kind), "{labels:?}");
    assert_eq!(annotations["example.org/note"], "made by \"shop\",\n not by hand");
}

#[tokio::test]
async fn locks_elections_and_candidates_get_the_labels_and_annotations_of_the_handle() {
    let place = Place::new().await;
    let sync = place.handle_of(ADMIN, labelled(place.options()));

    sync.lock("orders", brief()).await.unwrap().release().await.unwrap();
    let leader = sync.leader("billing", LeaderOptions::default()).await.unwrap();
    let _lead = leader.elected().await.unwrap();
    let second = LeaderOptions::default().candidate_id("second");
    let _follower = sync.leader("billing", second).await.unwrap();

    let leases = place.leases().list(&kube::api::ListParams::default()).await.unwrap().items;
    let kind =
        |lease: &Lease| lease.metadata.labels.as_ref().unwrap()["leasehold.dev/kind"].clone();
    let mut kinds: Vec<_> = leases.iter().map(kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["candidate", "election", "lock"], "one candidate leads");
    for lease in &leases {
        assert_labelled(lease, &kind(lease));
    }
}

#[tokio::test]
async fn a_lease_that_exists_is_not_labelled_again() {
    let place = Place::new().await;
    place.handle().lock("plain", brief()).await.unwrap().release().await.unwrap();
    let sync = place.handle_of(ADMIN, labelled(place.options()));
    let guard = sync.lock("orders", brief()).await.unwrap();
    place
        .edit("orders", |lease| {
            let labels = lease.metadata.labels.as_mut().unwrap();
            labels.insert("team".into(), "another".into());
            labels.remove("app.kubernetes.io/name");
        })
        .await;

    guard.release().await.unwrap();
    sync.lock("plain", brief()).await.unwrap().release().await.unwrap();

    let labels = |lease: Lease| {
        let labels = lease.metadata.labels.unwrap_or_default().into_iter();
        labels.filter(|(key, _)| key != "leasehold.dev/kind").collect::<BTreeMap<_, _>>()
    };
    let orders = labels(place.leases().get("orders").await.unwrap());
    let plain = labels(place.leases().get("plain").await.unwrap());
    assert_eq!(orders, BTreeMap::from([("team".into(), "another".into())]));
    assert_eq!(plain, BTreeMap::new());
}

/// Refuses Leases of this namespace that have no label `team`, as policies of clusters do.
async fn require_team(place: &Place) {
    let validation = json!({
        "expression": "has(object.metadata.labels) && 'team' in object.metadata.labels",
        "message": "the label `team` is missing",
    });
    place.plane.require(&place.namespace, &validation).await;
}

#[tokio::test]
async fn a_policy_that_requires_a_label_is_satisfied() {
    let place = Place::new().await;
    require_team(&place).await;
    let (plain, sync) = (place.handle(), place.handle_of(ADMIN, labelled(place.options())));

    let checked = plain.init().await.unwrap_err();
    let refused = plain.lock("orders", LockOptions::default()).await.unwrap_err();
    sync.init().await.unwrap();
    let guard = sync.lock("orders", LockOptions::default()).await.unwrap();

    for error in [checked, refused] {
        assert!(
            matches!(&error, Error::Rejected { reason, .. } if reason.contains("`team`")),
            "{error:?}"
        );
    }
    assert!(guard.is_held());
}

#[tokio::test]
async fn an_invalid_label_is_an_error_before_any_request() {
    let place = Place::new().await;
    let config = || place.plane.config(ADMIN);

    for options in [
        place.options().labels([("leasehold.dev/kind", "lock")]),
        place.options().labels([("team", "not a value")]),
        place.options().annotations([("no key", "x")]),
    ] {
        let error = leasehold::Kubernetes::from_config(config(), options).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
}
