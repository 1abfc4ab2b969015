//! Watches: a waiter is fast because of them, and correct without them.

use crate::prelude::*;

/// How long a waiter needs after a release at 20 s, with `play` applied to `when`.
async fn after_a_release(when: When, play: Play) -> (Duration, Cluster) {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    cluster.on(when, play);
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    cluster.until(secs(20)).await;
    guard.release().await.expect("released");
    let released = cluster.now();
    let (_guard, _b) = waiting.await.expect("no panic");
    cluster.assert_no_theft();
    (cluster.now() - released, cluster)
}

/// How long a waiter needs after the last renewal of a holder that is cut off at 21 s.
async fn after_a_crash(when: When, play: Play) -> (Duration, Cluster) {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    cluster.on(when, play);
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    cluster.until(secs(21)).await;
    let renewed = cluster.commits().last().expect("a renewal").at;
    cluster.on(When::any().by("a"), Play::lost());
    let (_successor, _b) = waiting.await.expect("no panic");
    assert!(!guard.is_held());
    cluster.assert_no_theft();
    (cluster.now() - renewed, cluster)
}

fn bookmark(version: u64) -> String {
    let object = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "resourceVersion": version.to_string() }, "spec": {},
    });
    format!("{}\n", json!({ "type": "BOOKMARK", "object": object }))
}

fn expired() -> String {
    let status = json!({ "kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old" });
    format!("{}\n", json!({ "type": "ERROR", "object": status }))
}

/// Faults of the first watch; later watches work.
fn first_watches() -> Vec<(&'static str, Play)> {
    let half = r#"{"type":"MODIFIED","object":{"kind":"Le"#.to_owned();
    let live = || Feed::Live(secs(9), 1);
    vec![
        ("healthy", Play::as_it_is()),
        ("ends regularly", Play::watch([live()])),
        ("ends at once", Play::watch([])),
        ("is silent", Play::watch([Feed::Silence(secs(300))])),
        ("is reset", Play::watch([live(), Feed::Reset])),
        ("is reset at once", Play::reset()),
        ("ends within a line", Play::watch([live(), Feed::Text(half.clone())])),
        ("is reset within a line", Play::watch([live(), Feed::Text(half), Feed::Reset])),
        ("sends garbage", Play::watch([live(), Feed::Text("<html>\n".into())])),
        ("sends 410", Play::watch([live(), Feed::Text(expired())])),
        ("410 at its start", Play::instead(Answer::gone())),
        ("503 at its start", Play::instead(Answer::unavailable())),
        ("429 at its start", Play::instead(Answer::failure(429, "TooManyRequests", "later"))),
        ("sends every event twice", Play::watch([Feed::Live(secs(200), 2)])),
        ("sends a bookmark", Play::watch([Feed::Text(bookmark(1001)), live()])),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_release_is_seen_at_once_after_any_fault_of_an_earlier_watch() {
    for (what, play) in first_watches() {
        let (took, _) = after_a_release(When::verb("watch").once(), play).await;

        assert!(took <= millis(50), "{what}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_holder_is_replaced_after_one_ttl_after_any_fault_of_an_earlier_watch() {
    // A silent watch is excluded: it is detected one TTL later.
    for (what, play) in first_watches().into_iter().filter(|(what, _)| *what != "is silent") {
        let (took, _) = after_a_crash(When::verb("watch").once(), play).await;

        assert!((secs(15)..secs(17)).contains(&took), "{what}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_and_a_crash_are_noticed_although_no_watch_sends_an_event() {
    let silent = || Play::watch([Feed::Silence(secs(300))]);
    let marked = || {
        Play::watch(
            (0..10)
                .flat_map(|n| [Feed::Text(bookmark(5000 + n)), Feed::Silence(secs(30))])
                .collect::<Vec<_>>(),
        )
    };
    for (what, play) in [("silent", silent()), ("bookmarks only", marked())] {
        let (took, cluster) = after_a_release(When::verb("watch"), play.clone()).await;
        assert!(took <= secs(17), "{what}: {took:?}");
        assert!(cluster.verbs("b").len() <= 20, "{what}: {:?}", cluster.verbs("b"));

        let (took, _) = after_a_crash(When::verb("watch"), play).await;
        assert!((secs(15)..secs(32)).contains(&took), "{what}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_or_watch_without_an_answer_delays_a_takeover_by_at_most_one_ttl() {
    let (took, _) = after_a_release(When::verb("watch"), Play::lost()).await;
    assert!(took <= secs(17), "{took:?}");
    let (took, _) = after_a_release(When::verb("list"), Play::lost()).await;
    assert!(took <= secs(17), "{took:?}");
    let (took, _) = after_a_crash(When::verb("list"), Play::lost()).await;
    assert!((secs(15)..secs(32)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_permission_to_list_or_watch_a_waiter_polls_with_bounded_requests() {
    for verb in ["list", "watch"] {
        let refused = Play::instead(Answer::forbidden(verb, ""));
        let (took, _) = after_a_release(When::verb(verb), refused.clone()).await;
        assert!(took <= secs(6), "{verb}: {took:?}");
        let (took, _) = after_a_crash(When::verb(verb), refused.clone()).await;
        assert!((secs(15)..secs(22)).contains(&took), "{verb}: {took:?}");

        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let _guard = take(&a).await;
        cluster.on(When::verb(verb), refused);
        let waiting = tokio::spawn(async move { take(&b).await });
        sleep(secs(3600)).await;
        let asked = cluster.verbs("b");
        assert!(asked.len() <= 1200, "{verb}: {} requests in an hour", asked.len());
        let watching = asked.iter().filter(|verb| **verb != "get").count();
        assert!(watching <= 250, "{verb}: {watching} lists and watches in an hour");
        waiting.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_watch_missed_a_deletion_waits_a_full_ttl_for_the_new_record() {
    let cluster = Cluster::new();
    let b = cluster.handle("b");
    cluster.put("orders", &json!({ "holderIdentity": "x", "leaseDurationSeconds": 15 }));
    cluster.on(
        When::verb("watch").once(),
        Play::watch([Feed::Live(secs(5), 1), Feed::Silence(secs(5)), Feed::Text(expired())]),
    );
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    cluster.until(secs(6)).await;

    cluster.delete("orders");
    cluster.put("orders", &json!({ "holderIdentity": "y", "leaseDurationSeconds": 15 }));
    let created = cluster.now();
    let (_guard, _b) = waiting.await.unwrap();

    let took = cluster.now() - created;
    assert!((secs(15)..secs(25)).contains(&took), "{took:?}");
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_a_watch_sends_twice_is_waited_out_once() {
    let cluster = Cluster::new();
    let b = cluster.handle("b");
    cluster.put("orders", &json!({ "holderIdentity": "x", "leaseDurationSeconds": 15 }));
    cluster.on(When::verb("watch"), Play::watch([Feed::Live(secs(240), 3)]));
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    cluster.until(secs(6)).await;

    cluster.delete("orders");
    let (_guard, _b) = waiting.await.unwrap();

    assert!((secs(21)..secs(23)).contains(&cluster.now()), "{:?}", cluster.now());
}
