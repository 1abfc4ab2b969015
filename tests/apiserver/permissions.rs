//! Permissions: the RBAC rules that are enough, and the errors when one is missing.

use std::time::Duration;

use kube::api::DeleteParams;
use leasehold::{
    Error, Inspect as _, LeaderOptions, LockOptions, RecordEventKind, RecordOptions, Sync as _,
};
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
async fn get_and_update_on_its_lease_are_enough_to_read_one_record_and_to_release_it() {
    let place = Place::new().await;
    let rules = [Rule::leases(&["get", "update"]).named(&["orders"])];
    place.plane.allow("alice", &place.namespace, &rules).await;
    let (alice, other) = (place.handle_of("alice", place.options()), place.handle());
    let guard = other.lock("orders", brief()).await.unwrap();
    let _billing = other.lock("billing", brief()).await.unwrap();
    let one = |name| RecordOptions::default().lease(name);

    let all = alice.list_records(RecordOptions::default()).await.unwrap_err();
    let billing = alice.list_records(one("billing")).await.unwrap_err();
    let mut watch = alice.watch_records(one("orders")).await.unwrap();
    let acquired = watch.take_events();
    let released = loop {
        // The holder may renew the record between the list and the release.
        let records = alice.list_records(one("orders")).await.unwrap();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!(record.holder.as_deref(), Some(guard.holder()));
        if alice.force_release(record).await.unwrap() {
            break alice.list_records(one("orders")).await.unwrap();
        }
    };
    let lost = loop {
        // It may not list or watch the Lease, so it gets it every 5 s.
        watch.changed().await;
        let events = watch.take_events();
        if let Some(lost) = events.into_iter().next() {
            break lost;
        }
    };

    assert!(matches!(all, Error::PermissionDenied { verb: "list", .. }), "{all:?}");
    let Error::PermissionDenied { verb: "get", resource, .. } = &billing else {
        panic!("{billing:?}")
    };
    assert_eq!(resource, "leases.coordination.k8s.io/billing");
    assert_eq!(
        acquired.iter().map(|event| event.event).collect::<Vec<_>>(),
        [RecordEventKind::Acquired]
    );
    assert_eq!(released[0].holder, None);
    assert_eq!((lost.event, &*lost.holder), (RecordEventKind::Lost, guard.holder()));
    let named = |request: &leasehold_test_support::Audited| {
        request.namespace == place.namespace && request.user == "alice" && request.name == "orders"
    };
    assert!(place.plane.audit_of(named).contains_key("get"));
}

#[tokio::test]
async fn a_watch_of_one_election_reports_its_leaders_but_no_candidates() {
    let place = Place::new().await;
    let verbs = ["get", "list", "watch"];
    let rules = [Rule::leases(&verbs).named(&["billing"])];
    place.plane.allow("alice", &place.namespace, &rules).await;
    let (alice, other) = (place.handle_of("alice", place.options()), place.handle());
    let candidate = |id| LeaderOptions::default().ttl(super::BRIEF).candidate_id(id);
    let first = other.leader("billing", candidate("first")).await.unwrap();
    let lead = first.elected().await.unwrap();
    let second = other.leader("billing", candidate("second")).await.unwrap();

    let one = RecordOptions::default().lease(alice.lease_name("billing").unwrap());
    let mut watch = alice.watch_records(one).await.unwrap();
    let mut events = watch.take_events();
    place.until_audited("alice", "watch").await;
    drop(lead);
    first.resign().await.unwrap();
    let _lead = second.elected().await.unwrap();
    while events.len() < 3 {
        tokio::time::timeout(Duration::from_secs(4), watch.changed()).await.expect("no polling");
        events.extend(watch.take_events());
    }

    let seen: Vec<_> = events.iter().map(|event| (event.event, &*event.holder)).collect();
    let (elected, lost) = (RecordEventKind::Elected, RecordEventKind::Lost);
    assert_eq!(seen, [(elected, "first"), (lost, "first"), (elected, "second")]);
    assert_eq!(watch.last_error(), None);
}

#[tokio::test]
async fn one_lease_cannot_be_selected_with_labels_in_all_namespaces_or_by_another_name() {
    let place = Place::new().await;
    let sync = place.handle();
    let one = || RecordOptions::default().lease("orders");

    for options in [
        one().all_namespaces(),
        one().label_selector("team=shop"),
        RecordOptions::default().lease("jobs/nightly"),
    ] {
        let error = sync.list_records(options).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert!(sync.list_records(one()).await.unwrap().is_empty(), "there is no such Lease");
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
