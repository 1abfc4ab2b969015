//! Requests of a waiter in an hour in which its watch fails again and again.

use crate::prelude::*;

/// One waiter during one hour, with `play` applied to its watches.
async fn an_hour_of(play: Play) -> Cluster {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    cluster.on(When::verb("watch"), play);
    let waiting = tokio::spawn(async move { take(&b).await });
    sleep(secs(3600)).await;
    assert!(guard.is_held() && !waiting.is_finished());
    cluster
}

#[track_caller]
fn assert_calm(what: &str, cluster: &Cluster) {
    let count = |verb| cluster.count(|request| request.by == "b" && request.verb == verb);
    let (lists, watches, gets) = (count("list"), count("watch"), count("get"));
    // After the first few attempts the pause is 15 s to 30 s.
    assert!(watches <= 300, "{what}: {watches} watches, {lists} lists, {gets} reads");
    assert!(lists <= 300, "{what}: {watches} watches, {lists} lists, {gets} reads");
    assert!(gets <= 1000, "{what}: {watches} watches, {lists} lists, {gets} reads");
}

#[tokio::test(start_paused = true)]
async fn a_watch_answered_with_410_starts_again_from_a_new_list_with_pauses() {
    let cluster = an_hour_of(Play::instead(Answer::gone())).await;

    assert_calm("410 at its start", &cluster);
    let lists = cluster.count(|request| request.by == "b" && request.verb == "list");
    assert!(lists > 20, "only {lists} lists: the version must not stay the same");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_always_sends_a_410_event_is_restarted_with_pauses() {
    let status = json!({ "kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old" });
    let line = format!("{}\n", json!({ "type": "ERROR", "object": status }));

    assert_calm("410 as an event", &an_hour_of(Play::watch([Feed::Text(line)])).await);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_always_ends_at_once_is_restarted_with_pauses() {
    assert_calm("ends at once", &an_hour_of(Play::watch([])).await);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_always_reset_is_restarted_with_pauses() {
    assert_calm("reset before", &an_hour_of(Play::reset()).await);
    assert_calm("reset at once", &an_hour_of(Play::watch([Feed::Reset])).await);
    let half = Feed::Text(r#"{"type":"MODI"#.into());
    assert_calm("reset in a line", &an_hour_of(Play::watch([half, Feed::Reset])).await);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_always_sends_garbage_is_restarted_with_pauses() {
    let garbage = Feed::Text("<html>\n<body>\n".repeat(3));

    assert_calm("garbage", &an_hour_of(Play::watch([garbage])).await);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_server_is_restarted_with_pauses() {
    assert_calm("503", &an_hour_of(Play::instead(Answer::unavailable())).await);
    assert_calm("500", &an_hour_of(Play::instead(Answer::leader_changed())).await);
}
