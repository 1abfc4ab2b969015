//! The records of candidates that died: who deletes them, when, and what that costs.

use leasehold::Leader;

use crate::prelude::*;

/// A candidate's record as its writer left it.
fn dead_record(cluster: &Cluster, name: &str, election: &str, ttl: u64) {
    cluster.put_object(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": "default",
            "labels": { "leasehold.dev/kind": "candidate", "leasehold.dev/election": election },
            "annotations": { "leasehold.dev/candidate-of": election },
        },
        // A time far in the future, which must not matter.
        "spec": { "holderIdentity": name, "leaseDurationSeconds": ttl, "renewTime": "2999-01-01T00:00:00.000000Z" },
    }));
}

async fn leading(handle: &Kubernetes) -> (Leader, Guard) {
    let leader = handle.leader("orders", LeaderOptions::default()).await.expect("a candidate");
    let lead = leader.elected().await.expect("the lead");
    (leader, lead)
}

fn lists(cluster: &Cluster, who: &str) -> usize {
    cluster.count(|request| request.by == who && request.verb == "list")
}

#[tokio::test(start_paused = true)]
async fn the_leader_deletes_records_that_it_has_seen_unchanged_for_long_and_no_others() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    for n in 0..20 {
        dead_record(&cluster, &format!("orders-dead-{n}"), "orders", 60);
    }
    dead_record(&cluster, "orders-patient", "orders", 3600);
    dead_record(&cluster, "billing-dead", "billing", 60);
    let _leading = leading(&a).await;
    let _follower = b.leader("orders", LeaderOptions::default()).await.unwrap();
    let live = cluster.commits().last().unwrap().after.clone().unwrap();
    let live = live["metadata"]["name"].as_str().unwrap().to_owned();

    sleep(secs(15 * 60)).await;
    assert!(cluster.lease("orders-dead-0").is_some(), "one list cannot tell how old a record is");
    sleep(secs(15 * 60)).await;

    assert!((0..20).all(|n| cluster.lease(&format!("orders-dead-{n}")).is_none()));
    assert!(cluster.lease(&live).is_some(), "it was renewed");
    assert!(cluster.lease("orders-patient").is_some(), "unchanged for less than its own ttl");
    assert!(cluster.lease("billing-dead").is_some(), "of another election");
    let deletions = cluster.count(|request| request.verb == "delete");
    let conditional = cluster.count(|request| {
        let of = |field| request.body["preconditions"][field].is_string();
        request.verb == "delete" && of("uid") && of("resourceVersion")
    });
    assert_eq!((deletions, conditional), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn only_a_leader_lists_for_dead_records_and_at_most_eight_times_an_hour() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let _leading = leading(&a).await;
    let _follower = b.leader("orders", LeaderOptions::default()).await.unwrap();
    sleep(secs(60)).await;
    cluster.forget();

    sleep(secs(3600)).await;

    let updates = cluster.count(|request| request.by == "a" && request.verb == "update");
    assert_eq!(cluster.verbs("a").len() - updates, lists(&cluster, "a"));
    assert!((5..=8).contains(&lists(&cluster, "a")), "{} lists in an hour", lists(&cluster, "a"));
    assert_eq!(lists(&cluster, "b"), 0, "a follower has its watch");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_renewed_between_the_list_and_the_deletion_stays() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    dead_record(&cluster, "orders-late", "orders", 60);
    cluster.on(When::verb("delete"), Play::as_it_is().delayed(secs(2)));
    let _leading = leading(&a).await;

    while cluster.count(|request| request.verb == "delete") == 0 {
        assert!(cluster.now() < secs(3600), "no deletion within an hour");
        sleep(secs(1)).await;
    }
    cluster.edit("orders-late", |lease| lease["spec"]["leaseTransitions"] = json!(7));
    sleep(secs(10)).await;

    assert!(cluster.lease("orders-late").is_some(), "the deletion names the version that was seen");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_may_not_list_or_delete_leads_on_and_hardly_ever_tries() {
    for verb in ["list", "delete"] {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        dead_record(&cluster, "orders-dead", "orders", 60);
        cluster.deny(&[verb]);
        let (leader, lead) = leading(&a).await;
        cluster.forget();

        sleep(secs(3 * 3600)).await;

        assert!(lead.is_held() && leader.last_error().is_none(), "{verb}");
        assert!(cluster.lease("orders-dead").is_some());
        let tries = cluster.count(|request| request.verb == verb);
        assert!((1..=3).contains(&tries), "{tries} refused requests in three hours");
    }
}

#[tokio::test(start_paused = true)]
async fn a_candidate_whose_record_was_deleted_while_it_was_cut_off_is_listed_again() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let _leading = leading(&a).await;
    let _follower = b.leader("orders", LeaderOptions::default()).await.unwrap();
    let live = cluster.commits().last().unwrap().after.clone().unwrap();
    let live = live["metadata"]["name"].as_str().unwrap().to_owned();

    cluster.on(When::any().by("b"), Play::lost());
    sleep(secs(30 * 60)).await;
    assert!(cluster.lease(&live).is_none(), "unchanged for long: deleted");
    cluster.heal();
    sleep(secs(60)).await;

    assert_eq!(cluster.holder(&live), "b");
    sleep(secs(3600)).await;
    assert_eq!(cluster.holder(&live), "b", "it is renewed again, and stays");
}

#[tokio::test(start_paused = true)]
async fn candidates_that_lead_in_turn_remember_what_they_have_seen() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    dead_record(&cluster, "orders-dead", "orders", 60);
    let leaders = [
        a.leader("orders", LeaderOptions::default()).await.unwrap(),
        b.leader("orders", LeaderOptions::default()).await.unwrap(),
    ];

    for turn in 0..40 {
        let lead = leaders[turn % 2].elected().await.unwrap();
        sleep(secs(3 * 60)).await;
        lead.release().await.unwrap();
    }

    assert!(cluster.lease("orders-dead").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_record_with_a_ttl_that_is_too_large_does_not_end_the_leader() {
    for ttl in [i64::MAX as u64, u64::MAX] {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        dead_record(&cluster, "orders-dead", "orders", 60);
        dead_record(&cluster, "orders-strange", "orders", ttl);
        let (leader, lead) = leading(&a).await;
        let _follower = b.leader("orders", LeaderOptions::default()).await.unwrap();

        sleep(secs(3600)).await;

        assert!(lead.is_held() && leader.last_error().is_none(), "{ttl}: {:?}", lead.state());
        assert_eq!(cluster.holder("orders"), "a");
        assert!(cluster.lease("orders-dead").is_none(), "{ttl}: the leader deletes it");
        assert!(cluster.lease("orders-strange").is_some(), "unchanged for less than its own ttl");
    }
}
