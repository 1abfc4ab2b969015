//! Refusals that no Role causes: by a quota, and by a policy.

use std::time::Duration;

use leasehold::{Error, Inspect as _, LeaderOptions, LockOptions, Sync as _};
use leasehold_test_support::Rule;
use serde_json::json;
use tokio::time::timeout;

use super::{Place, brief};

#[tokio::test]
async fn a_full_quota_is_an_error_of_its_own_and_a_wait_for_a_lock_outlasts_it() {
    let place = Place::new().await;
    place.plane.limit(&place.namespace, 0).await;
    let sync = place.handle();
    let wait = |wait| brief().wait(wait);

    sync.init().await.expect("Leases that exist can be used");
    let tried = sync.lock("orders", wait(Duration::ZERO)).await.unwrap_err();
    let waited = sync.lock("orders", wait(Duration::from_millis(500))).await.unwrap_err();
    let waiting = tokio::spawn({
        let sync = sync.clone();
        async move { sync.lock("orders", brief()).await }
    });
    let leader = tokio::spawn({
        let sync = sync.clone();
        async move {
            let leader = sync.leader("billing", LeaderOptions::default().ttl(super::BRIEF)).await?;
            Ok::<_, Error>((leader.elected().await?, leader))
        }
    });
    let before = place.requests()["create"];
    while place.requests()["create"] < before + 2 {
        tokio::time::sleep(super::POLL).await;
    }
    assert!(!waiting.is_finished() && !leader.is_finished());
    place.plane.limit(&place.namespace, 2).await;
    let guard = timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    let (lead, _leader) = timeout(Duration::from_secs(10), leader).await.unwrap().unwrap().unwrap();

    assert!(guard.is_held() && lead.is_held());
    for error in [tried, waited] {
        let Error::QuotaExceeded { verb, resource, namespace, reason } = &error else {
            panic!("{error:?}")
        };
        let object = (*verb, resource.as_str(), namespace);
        assert_eq!(object, ("create", "leases.coordination.k8s.io/orders", &place.namespace));
        assert!(reason.contains("exceeded quota: few") && !reason.contains("Role"), "{reason}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_policy_is_named_whatever_code_it_answers_with() {
    for reason in ["Forbidden", "Invalid", "RequestEntityTooLarge"] {
        let place = Place::new().await;
        let validation =
            json!({ "expression": "false", "message": "no Leases on Sunday", "reason": reason });
        place.plane.require(&place.namespace, &validation).await;
        let sync = place.handle();

        let checked = sync.init().await.unwrap_err();
        let refused = sync.lock("orders", LockOptions::default()).await.unwrap_err();

        for error in [checked, refused] {
            let Error::Rejected { reason: text, .. } = &error else {
                panic!("{reason}: {error:?}")
            };
            for part in ["create", "ValidatingAdmissionPolicy", "no Leases on Sunday"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!text.contains("Role") && !text.contains("credentials"), "{text}");
            assert!(!error.is_transient());
        }
    }
}

#[tokio::test]
async fn a_verb_is_to_be_granted_where_the_request_needs_it() {
    let place = Place::new().await;
    let rules = [Rule::leases(&["get", "list"]).named(&["orders"])];
    place.plane.allow("carol", &place.namespace, &rules).await;
    let carol = place.handle_of("carol", place.options());
    let list = |options| carol.list_records(options);

    let lock = carol.lock("billing", LockOptions::default()).await.unwrap_err().to_string();
    let all = list(leasehold::RecordOptions::default()).await.unwrap_err().to_string();
    let everywhere = leasehold::RecordOptions::default().all_namespaces();
    let everywhere = list(everywhere).await.unwrap_err().to_string();

    assert!(lock.contains("cannot get") && lock.ends_with("in this namespace"), "{lock}");
    assert!(all.contains("no resourceNames"), "{all}");
    assert!(everywhere.contains("ClusterRoleBinding"), "{everywhere}");
}
