//! Servers that are behind, and a store that went back.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_lagging_server_gives_nothing_away() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    // `b` is served by a replica that stands still: its reads, lists and watches never show a renewal.
    let list =
        json!({ "kind": "LeaseList", "metadata": { "resourceVersion": "1001" }, "items": [old] });
    cluster.on(When::verb("get").by("b"), Play::instead(Answer::object(200, &old)));
    cluster.on(When::verb("list").by("b"), Play::instead(Answer::object(200, &list)));
    cluster.on(When::verb("watch").by("b"), Play::watch([Feed::Silence(secs(240))]));

    let refused = b.lock("orders", wait(secs(600))).await;

    assert!(refused.is_err(), "{refused:?}");
    assert!(guard.is_held());
    let asked = cluster.verbs("b").len();
    assert!(asked <= 1500, "{asked} requests in ten minutes");
    assert!(cluster.now() <= secs(602), "{:?}", cluster.now());
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_right_before_a_takeover_takes_nothing_from_a_live_holder() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    cluster.on(When::verb("watch").by("b"), Play::watch([Feed::Silence(secs(240))]));
    cluster
        .on(When::verb("get").by("b").skip(1).times(5), Play::instead(Answer::object(200, &old)));

    let refused = b.lock("orders", wait(secs(120))).await;

    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    assert!(guard.is_held());
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_older_than_what_was_seen_is_no_news() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    sleep(secs(11)).await;
    one_stale_read(&cluster, &old);

    sleep(secs(60)).await;

    assert_eq!(guard.state(), TenureState::Held);
}

/// The last answer before a long silence is an old one: of that nobody can tell a backup.
#[tokio::test(start_paused = true)]
async fn one_stale_read_before_an_outage_bars_nobody_from_the_lock() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    sleep(secs(11)).await;
    one_stale_read(&cluster, &old);
    cluster.on(When::any(), Play::reset());
    guard.lost().await;
    drop(guard);
    sleep(secs(60)).await;
    cluster.heal();
    sleep(secs(3600)).await;

    drop(take(&a).await);
}

#[tokio::test(start_paused = true)]
async fn one_stale_read_before_an_outage_ends_no_candidacy() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let leader = a.leader("orders", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    let old = cluster.lease("orders").unwrap();
    sleep(secs(11)).await;
    one_stale_read(&cluster, &old);
    cluster.on(When::any(), Play::reset());
    guard.lost().await;
    drop(guard);
    sleep(secs(90)).await;
    cluster.heal();

    let elected = tokio::time::timeout(secs(600), leader.elected()).await.unwrap();
    assert!(elected.unwrap().is_held());
}

/// A renewal's answer is lost, and the read that is to settle it comes from a server that is behind.
fn one_stale_read(cluster: &Cluster, old: &Value) {
    cluster.on(When::verb("update").once(), Play::carried_out(Reply::Reset));
    cluster.on(When::verb("get").once(), Play::instead(Answer::object(200, old)));
}

#[tokio::test(start_paused = true)]
async fn one_stale_read_before_many_failures_is_no_backup() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let _guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    sleep(secs(11)).await;
    cluster.deny(&["watch", "list"]);
    let read = || When::verb("get").by("b").skip(1);
    cluster.on(read().once(), Play::instead(Answer::object(200, &old)));
    cluster.on(read().times(40), Play::reset());

    let refused = b.lock("orders", wait(secs(600))).await;

    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_at_the_end_of_a_wait_is_forgotten_by_the_next() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    sleep(secs(11)).await;
    b.lock("orders", LockOptions::default().try_once()).await.unwrap_err();
    cluster.on(When::verb("get").by("b"), Play::instead(Answer::object(200, &old)));
    b.lock("orders", LockOptions::default().try_once()).await.unwrap_err();
    cluster.heal();
    guard.release().await.unwrap();
    sleep(secs(3600)).await;

    drop(take(&b).await);
}

#[tokio::test(start_paused = true)]
async fn a_stale_absence_creates_nothing_beside_what_is_there() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    cluster.on(When::verb("get").by("b").once(), Play::instead(Answer::not_found("orders")));

    let refused = b.lock("orders", wait(secs(60))).await;

    assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
    assert!(guard.is_held());
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_store_is_restored_from_a_backup_ends_in_its_hold() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let backup = cluster.version();
    cluster.until(secs(60)).await;
    let sent = cluster.sent(|request| request.verb == "update");

    cluster.restore(backup);
    let (ended, _) = end_of(&cluster, &guard).await;

    assert!(ended <= sent + secs(13), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_is_a_loud_error_and_never_a_smaller_token() {
    for waits in [true, false] {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        let backup = cluster.version();
        cluster.until(secs(60)).await;
        if waits {
            drop(guard);
        } else {
            guard.release().await.unwrap();
        }
        sleep(secs(1)).await;
        cluster.restore(backup);
        let asked = cluster.now();

        let refused = a.lock("orders", wait(secs(120))).await;

        assert!(matches!(refused, Err(Error::Version { .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("backup"));
        assert!(cluster.now() - asked <= secs(40), "{:?}", cluster.now() - asked);
    }
}
