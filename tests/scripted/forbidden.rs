//! 403 Forbidden and other refusals that no Role causes: quotas, webhooks, proxies, and a server that starts.

use leasehold::SessionOptions;

use crate::prelude::*;

fn forbidden(text: &str) -> Answer {
    let message = format!("leases.coordination.k8s.io \"orders\" is forbidden: {text}");
    Answer::failure(403, "Forbidden", &message)
}

fn quota() -> Answer {
    let key = "count/leases.coordination.k8s.io";
    forbidden(&format!("exceeded quota: few, requested: {key}=1, used: {key}=9, limited: {key}=9"))
}

#[tokio::test(start_paused = true)]
async fn a_waiter_tries_a_full_quota_slowly_and_takes_the_lock_when_there_is_room() {
    let cluster = Cluster::new();
    cluster.on(When::verb("create"), Play::instead(quota()));
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let waiting = tokio::spawn(async move { (take(&a).await, a) });
    let leader = tokio::spawn(async move {
        let leader = b.leader("billing", LeaderOptions::default()).await.unwrap();
        (leader.elected().await.unwrap(), leader, b)
    });

    sleep(secs(3600)).await;
    assert!(!waiting.is_finished() && !leader.is_finished());
    for who in ["a", "b"] {
        let asked = cluster.verbs(who).len();
        assert!(asked <= 2000, "{who}: {asked} requests in an hour");
    }
    cluster.heal();
    let healed = cluster.now();
    let ((guard, _a), (lead, ..)) = (waiting.await.unwrap(), leader.await.unwrap());

    assert!(guard.is_held() && lead.is_held());
    assert!(cluster.now() - healed <= secs(30), "{:?}", cluster.now() - healed);
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_ends_a_wait_at_its_deadline_and_a_single_try_at_once() {
    for long in [secs(0), secs(7)] {
        let cluster = Cluster::new();
        cluster.on(When::verb("create"), Play::instead(quota()));

        let refused = cluster.handle("a").lock("orders", wait(long)).await.unwrap_err();

        assert!(matches!(refused, Error::QuotaExceeded { verb: "create", .. }), "{refused:?}");
        let waited = cluster.now();
        assert!(waited >= long && waited < long + secs(1), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_refuses_is_named_whatever_code_it_answers_with() {
    for code in [400, 401, 403, 404, 409, 410, 413, 422] {
        for verb in ["create", "update"] {
            let cluster = Cluster::new();
            if verb == "update" {
                cluster.put("orders", &json!({ "holderIdentity": "" }));
            }
            let message = "admission webhook \"w.example\" denied the request: not on Sunday";
            cluster.on(When::verb(verb), Play::instead(Answer::failure(code, "", message)));

            let refused = cluster.handle("a").lock("orders", LockOptions::default()).await;

            let refused = refused.unwrap_err();
            let Error::Rejected { reason, .. } = &refused else { panic!("{code}: {refused:?}") };
            assert!(reason.contains("w.example") && reason.contains("not on Sunday"), "{reason}");
            assert!(!reason.contains("Role") && !reason.contains("credentials"), "{reason}");
            assert!(cluster.now() < secs(1), "{code}: {:?}", cluster.now());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_answers_403_is_no_missing_role() {
    let cluster = Cluster::new();
    let page = "<html>Blocked by policy of example.org</html>";
    cluster.on(When::any(), Play::instead(Answer::text(403, page)));

    let refused = cluster.handle("a").lock("orders", LockOptions::default()).await.unwrap_err();

    let text = refused.to_string();
    assert!(matches!(refused, Error::PermissionDenied { verb: "get", .. }), "{refused:?}");
    assert!(text.contains("proxy") && text.contains("Blocked by policy"), "{text}");
    assert!(!text.contains("RoleBinding"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_refusal_is_quoted_without_the_advice_to_grant_a_verb() {
    let cluster = Cluster::new();
    let text = "can only access node lease with the same name as the requesting node";
    cluster.on(When::verb("create"), Play::instead(forbidden(text)));

    let refused = cluster.handle("a").lock("orders", LockOptions::default()).await.unwrap_err();

    assert!(matches!(refused, Error::PermissionDenied { verb: "create", .. }), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains(text) && !said.contains("Grant"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_just_started_is_tried_again() {
    let cluster = Cluster::new();
    let starts = forbidden("not yet ready to handle request");
    cluster.on(When::verb("create").times(3), Play::instead(starts));

    let guard = take(&cluster.handle("a")).await;

    assert!(guard.is_held());
    assert!(cluster.now() < secs(30), "{:?}", cluster.now());
}

/// The server names one verb at a time, so all are in the first refusal.
#[tokio::test(start_paused = true)]
async fn the_refusal_of_a_session_names_all_verbs_that_it_needs() {
    for verb in ["create", "list"] {
        let cluster = Cluster::new();
        cluster.deny(&[verb]);

        let opened = cluster.handle("a").session(SessionOptions::default()).await;

        let refused = opened.expect_err(verb).to_string();
        assert!(refused.contains("create, get, list, watch, update and delete"), "{refused}");
    }
}
