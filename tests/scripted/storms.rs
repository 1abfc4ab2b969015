//! Requests of a waiter in an hour in which its watch fails again and again, and of a holder whose Lease is edited.

use crate::{prelude::*, server::Request};

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

/// Another program writes a label to the Lease again and again, with this pause.
fn edit_each(cluster: &Cluster, pause: Duration) -> tokio::task::JoinHandle<()> {
    let cluster = cluster.clone();
    tokio::spawn(async move {
        loop {
            sleep(pause).await;
            let version = cluster.version().to_string();
            cluster.edit("orders", |lease| lease["metadata"]["labels"]["seen"] = version.into());
        }
    })
}

/// The requests of `a` so far: writes and reads.
fn sent(cluster: &Cluster) -> [usize; 2] {
    ["update", "get"].map(|verb| cluster.count(|request| request.by == "a" && request.verb == verb))
}

#[tokio::test(start_paused = true)]
async fn a_holder_next_to_an_editor_that_never_rests_sends_few_requests() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.forget();

    let editor = edit_each(&cluster, millis(1));
    let (ended, loss) = end_of(&cluster, &guard).await;
    let [writes, reads] = sent(&cluster);

    assert_eq!(loss, Loss::Expired);
    assert!(ended >= secs(13), "{ended:?}");
    assert!((8..=20).contains(&writes) && reads <= 20, "{writes} writes, {reads} reads");
    sleep(secs(60)).await;
    let [writes, reads] = sent(&cluster);
    assert!(writes <= 60 && reads <= 60, "until it is released: {writes} writes, {reads} reads");
    editor.abort();
}

#[tokio::test(start_paused = true)]
async fn a_holder_keeps_its_lock_next_to_an_editor_that_is_slower_than_its_requests() {
    for pause in [1000, 100, 20] {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        cluster.forget();

        let editor = edit_each(&cluster, millis(pause));
        sleep(secs(300)).await;
        editor.abort();

        let [writes, reads] = sent(&cluster);
        assert!(guard.is_held(), "an edit each {pause} ms: {:?}", guard.check());
        assert!(writes <= 170 && reads <= 105, "{pause} ms: {writes} writes, {reads} reads");
    }
}

#[tokio::test(start_paused = true)]
async fn a_requested_pause_is_kept_in_full_before_the_next_list() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let _guard = take(&a).await;
    let later = Answer::failure(429, "TooManyRequests", "later").header("retry-after", "20");
    cluster.on(When::verb("list"), Play::instead(later));
    let names: Vec<String> = (0..20).map(|number| format!("b-{number}")).collect();
    let waiting: Vec<_> = names
        .iter()
        .map(|name| {
            let b = cluster.handle(name);
            tokio::spawn(async move { take(&b).await })
        })
        .collect();

    cluster.until(secs(32)).await;

    for name in &names {
        let by_name = |request: &&Request| request.by == *name && request.verb == "list";
        let lists: Vec<_> =
            cluster.requests().iter().filter(by_name).map(|request| request.at).collect();
        let [first, second] = lists[..] else { panic!("{name}: {lists:?}") };
        assert!((secs(20)..=secs(31)).contains(&(second - first)), "{name}: {lists:?}");
    }
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
