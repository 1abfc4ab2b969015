//! Permissions: the RBAC rules that are enough, and the errors when one is missing.

use kube::api::DeleteParams;
use leasehold::{Error, LeaderOptions, LockOptions, Sync as _};
use leasehold_test_support::Rule;

use super::{Place, brief};

#[tokio::test]
async fn a_missing_permission_is_an_error_with_verb_resource_and_namespace() {
    let place = Place::new().await;
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&["get"])]).await;
    let alice = place.handle_of("alice", place.options());

    let init = alice.init().await.unwrap_err();
    let lock = alice.lock("orders", LockOptions::default()).await.unwrap_err();

    let Error::PermissionDenied { verb, resource, namespace, .. } = init else {
        panic!("{init:?}")
    };
    assert_eq!(
        (verb, resource.as_str(), namespace.as_str()),
        ("create", "leases.coordination.k8s.io", &*place.namespace)
    );
    let Error::PermissionDenied { verb, resource, namespace, .. } = &lock else {
        panic!("{lock:?}")
    };
    assert_eq!(
        (*verb, resource.as_str(), &**namespace),
        ("create", "leases.coordination.k8s.io/orders", &*place.namespace)
    );
    assert!(!lock.is_transient());
}

#[tokio::test]
async fn create_and_four_verbs_on_its_own_lease_are_enough_for_a_lock() {
    let place = Place::new().await;
    let named = ["get", "update", "list", "watch"];
    let rules = [Rule::leases(&["create"]), Rule::leases(&named).named(&["orders"])];
    place.plane.allow("bob", &place.namespace, &rules).await;
    let (bob, other) = (place.handle_of("bob", place.options()), place.handle());

    bob.init().await.unwrap();
    let held = other.lock("orders", brief()).await.unwrap();
    let waiting =
        tokio::spawn(async move { bob.lock("orders", brief()).await.map(|guard| (guard, bob)) });
    place.until_audited("bob", "watch").await;
    held.release().await.unwrap();
    let (guard, _bob) = waiting.await.unwrap().unwrap();

    assert!(guard.is_held());
}

#[tokio::test]
async fn without_list_and_watch_a_waiter_polls() {
    let place = Place::new().await;
    place
        .plane
        .allow("carol", &place.namespace, &[Rule::leases(&["get", "create", "update"])])
        .await;
    let (carol, other) = (place.handle_of("carol", place.options()), place.handle());

    let held = other.lock("orders", LockOptions::default()).await.unwrap();
    let waiting =
        tokio::spawn(
            async move { carol.lock("orders", brief()).await.map(|guard| (guard, carol)) },
        );
    place.until_audited("carol", "list").await;
    held.release().await.unwrap();
    let (guard, _carol) = waiting.await.unwrap().unwrap();

    assert!(guard.is_held());
}

#[tokio::test]
async fn a_candidate_that_may_not_write_its_member_record_can_lead() {
    let place = Place::new().await;
    let named = ["get", "update", "list", "watch"];
    let rules = [Rule::leases(&["create"]), Rule::leases(&named).named(&["billing"])];
    place.plane.allow("alice", &place.namespace, &rules).await;
    let (alice, other) = (place.handle_of("alice", place.options()), place.handle());

    let first = other.leader("billing", LeaderOptions::default().ttl(super::BRIEF)).await.unwrap();
    let second = alice.leader("billing", LeaderOptions::default().ttl(super::BRIEF)).await.unwrap();
    first.resign().await.unwrap();

    assert!(second.elected().await.unwrap().is_held());
}

#[tokio::test]
async fn a_missing_namespace_is_an_error_with_its_name() {
    let place = Place::new().await;
    let nowhere =
        place.handle_of(crate::ADMIN, leasehold::Options::default().namespace("leasehold-nowhere"));

    for error in [
        nowhere.init().await.unwrap_err(),
        nowhere.lock("orders", LockOptions::default()).await.unwrap_err(),
        nowhere.leader("billing", LeaderOptions::default()).await.unwrap_err(),
    ] {
        let Error::Namespace { namespace, reason } = &error else { panic!("{error:?}") };
        assert_eq!(namespace, "leasehold-nowhere");
        assert!(reason.contains("does not exist"), "{reason}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_an_error() {
    let place = Place::new().await;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(place.plane.client(crate::ADMIN));
    // No controller empties the namespace here, so it stays in the phase Terminating.
    namespaces.delete(&place.namespace, &DeleteParams::default()).await.unwrap();

    let error = place.handle().lock("orders", LockOptions::default()).await.unwrap_err();

    let Error::Namespace { reason, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains("being deleted"), "{reason}");
}

#[tokio::test]
async fn an_expired_token_is_a_permission_error() {
    let place = Place::new().await;
    let mut config = place.plane.config(crate::ADMIN);
    config.auth_info.token = Some("expired-long-ago".to_owned().into());
    let handle = leasehold::Kubernetes::from_config(config, place.options()).unwrap();

    let error = handle.lock("orders", LockOptions::default()).await.unwrap_err();

    assert!(matches!(error, Error::PermissionDenied { verb: "get", .. }), "{error:?}");
    assert!(error.to_string().contains("expired"), "{error}");
}
