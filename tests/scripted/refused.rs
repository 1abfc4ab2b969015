//! 401 Unauthorized, 403 Forbidden, and namespaces that are missing or being deleted.

use leasehold::{ListMembersOptions, WatchElectOptions};

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_forbidden_acquire_fails_at_once_with_verb_resource_and_namespace() {
    for denied in ["get", "create", "update"] {
        let cluster = Cluster::new();
        if denied == "update" {
            cluster.put("orders", &json!({ "holderIdentity": "" }));
        }
        cluster.deny(&[denied]);
        let a = cluster.handle("a");

        let refused = a.lock("orders", LockOptions::default()).await;

        match refused {
            Err(Error::PermissionDenied { verb, resource, namespace, reason }) => {
                assert_eq!(verb, denied);
                assert_eq!(resource, "leases.coordination.k8s.io/orders");
                assert_eq!(namespace, "default");
                assert!(
                    reason.contains("cannot"),
                    "the reason is the message of the server: {reason}"
                );
            }
            other => panic!("{denied}: {other:?}"),
        }
        assert!(cluster.now() < secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unauthorized_request_fails_with_a_hint_about_the_token() {
    let cluster = Cluster::new();
    cluster.on(When::any(), Play::instead(Answer::unauthorized()));
    let a = cluster.handle("a");

    let refused = a.lock("orders", LockOptions::default()).await.unwrap_err();

    assert!(matches!(refused, Error::PermissionDenied { verb: "get", .. }), "{refused:?}");
    assert!(refused.to_string().contains("token"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_may_not_renew_loses_at_the_end_of_its_hold_and_not_before() {
    for answer in [Answer::forbidden("update", "orders"), Answer::unauthorized()] {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        let sent = cluster.sent(|request| request.verb == "create");
        cluster.on(When::verb("update"), Play::instead(answer));

        cluster.until(sent + secs(13) - millis(1)).await;
        assert!(guard.is_held());
        let (ended, loss) = end_of(&cluster, &guard).await;

        assert_eq!((ended, loss), (sent + secs(13), Loss::Expired));
        sleep(secs(60)).await;
        assert!(cluster.requests().len() <= 16, "{:?}", cluster.verbs("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn one_unauthorized_renewal_does_not_end_a_tenure() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.on(When::verb("update").once(), Play::instead(Answer::unauthorized()));

    sleep(secs(60)).await;

    assert_eq!(guard.state(), TenureState::Held);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_without_permission_retries_slowly_reports_the_error_and_leads_once_permitted()
{
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let first = a.leader("orders", LeaderOptions::default()).await.unwrap();
    let lead = first.elected().await.unwrap();
    let second = b.leader("orders", LeaderOptions::default()).await.unwrap();
    cluster.until(secs(10)).await;
    cluster.deny(&["get", "update", "create", "list", "watch"]);
    lead.lost().await;
    cluster.forget();

    sleep(secs(3600)).await;
    let error = second.last_error().expect("an error").to_string();
    assert!(error.contains("not allowed to"), "{error}");
    for who in ["a", "b"] {
        let asked = cluster.verbs(who).len();
        assert!(asked <= 2000, "{who}: {asked} requests in an hour");
    }
    cluster.grant_all();
    let healed = cluster.now();
    let guard = tokio::select! {
        guard = first.elected() => guard.unwrap(),
        guard = second.elected() => guard.unwrap(),
    };

    assert!(guard.is_held() && guard.token() > lead.token());
    assert!(cluster.now() - healed <= secs(30), "{:?}", cluster.now() - healed);
}

#[tokio::test(start_paused = true)]
async fn a_missing_namespace_is_an_error_that_names_it() {
    let cluster = Cluster::new();
    cluster.namespace("default", None);
    let a = cluster.handle("a");

    let refused = a.lock("orders", LockOptions::default()).await;

    match refused {
        Err(Error::Namespace { namespace, reason }) => {
            assert_eq!(namespace, "default");
            assert!(reason.contains("does not exist"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_being_deleted_is_an_error_that_names_it() {
    let cluster = Cluster::new();
    cluster.namespace("default", Some(Phase::Terminating));
    let a = cluster.handle("a");

    let refused = a.lock("orders", LockOptions::default()).await;

    match refused {
        Err(Error::Namespace { namespace, reason }) => {
            assert_eq!(namespace, "default");
            assert!(reason.contains("being deleted"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn deleting_the_namespace_ends_the_tenure_and_the_candidate_retries_slowly() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let leader = a.leader("orders", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    cluster.until(secs(2)).await;
    cluster.namespace("default", Some(Phase::Terminating));
    cluster.delete("orders");

    let (ended, loss) = end_of(&cluster, &guard).await;
    assert_eq!(loss, Loss::Deleted);
    assert!(ended <= secs(6), "{ended:?}");
    cluster.forget();
    sleep(secs(600)).await;
    let asked = cluster.requests().len();
    assert!(asked <= 300, "{asked} requests in ten minutes");
    let error = leader.last_error().expect("an error").to_string();
    assert!(error.contains("being deleted"), "{error}");
    cluster.namespace("default", Some(Phase::Active));

    assert!(leader.elected().await.unwrap().token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn init_succeeds_with_all_permissions_and_stores_nothing() {
    let cluster = Cluster::new();

    cluster.handle("a").init().await.unwrap();

    assert!(cluster.commits().is_empty());
}

#[tokio::test(start_paused = true)]
async fn init_names_the_missing_verb_and_its_resource() {
    for denied in ["get", "create", "update"] {
        let cluster = Cluster::new();
        cluster.deny(&[denied]);

        let refused = cluster.handle("a").init().await;

        match refused {
            Err(Error::PermissionDenied { verb, resource, namespace, .. }) => assert_eq!(
                (verb, resource.as_str(), namespace.as_str()),
                (denied, "leases.coordination.k8s.io", "default")
            ),
            other => panic!("{denied}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn init_succeeds_without_the_optional_permissions() {
    let cluster = Cluster::new();
    cluster.deny(&["list", "watch", "delete"]);

    cluster.handle("a").init().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn init_fails_if_the_namespace_is_missing_or_being_deleted() {
    for phase in [None, Some(Phase::Terminating)] {
        let cluster = Cluster::new();
        cluster.namespace("default", phase);

        let refused = cluster.handle("a").init().await;

        assert!(matches!(refused, Err(Error::Namespace { .. })), "{phase:?}: {refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn init_without_a_server_fails_within_a_minute() {
    for play in [Play::reset(), Play::instead(Answer::unavailable()), Play::lost()] {
        let cluster = Cluster::new();
        cluster.on(When::any(), play);

        let refused = tokio::time::timeout(secs(60), cluster.handle("a").init())
            .await
            .expect("the call must end");

        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn listing_and_watching_members_without_an_answer_fails_within_a_minute() {
    let cluster = Cluster::new();
    cluster.on(When::any(), Play::lost());
    let a = cluster.handle("a");

    let listed = tokio::time::timeout(secs(60), a.list_members(ListMembersOptions::default()));
    let watched = tokio::time::timeout(secs(60), a.watch_elect(WatchElectOptions::default()));

    assert!(matches!(listed.await.expect("the call must end"), Err(Error::Unavailable { .. })));
    assert!(matches!(watched.await.expect("the call must end"), Err(Error::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_release_fails_at_once_and_is_retried_in_the_background() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.deny(&["update"]);

    let released = guard.release().await;

    assert!(
        matches!(released, Err(Error::PermissionDenied { verb: "update", .. })),
        "{released:?}"
    );
    assert!(cluster.now() < secs(1), "{:?}", cluster.now());
    cluster.grant_all();
    cluster.until(secs(6)).await;
    assert_eq!(cluster.holder("orders"), "");
}

#[tokio::test(start_paused = true)]
async fn resign_fails_at_once_if_the_candidate_may_not_delete_its_record() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let _leads = a.leader("billing", LeaderOptions::default()).await.unwrap();
    let follows = b.leader("billing", LeaderOptions::default()).await.unwrap();
    cluster.deny(&["delete"]);
    let sent = cluster.now();

    let resigned = follows.resign().await;

    assert!(
        matches!(resigned, Err(Error::PermissionDenied { verb: "delete", .. })),
        "{resigned:?}"
    );
    assert!(cluster.now() - sent < secs(1), "{:?}", cluster.now() - sent);
}
