//! Servers that lag behind, and a store that was restored from a backup.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_waiter_with_a_server_that_lags_behind_takes_nothing_from_a_live_holder() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    // A replica without updates serves `b`: its reads, lists and watches never show a renewal.
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
async fn a_stale_read_right_before_a_takeover_does_not_evict_a_live_holder() {
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
async fn a_read_older_than_the_known_version_is_ignored() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let old = cluster.lease("orders").unwrap();
    sleep(secs(11)).await;
    one_stale_read(&cluster, &old);

    sleep(secs(60)).await;

    assert_eq!(guard.state(), TenureState::Held);
}

/// The last answer before a long outage is an old one. That is no evidence of a restored backup.
#[tokio::test(start_paused = true)]
async fn one_stale_read_before_an_outage_does_not_prevent_locking_afterwards() {
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
async fn one_stale_read_before_an_outage_does_not_end_a_candidate() {
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

/// The answer to a renewal is lost, and the read that follows is answered by a server that lags behind.
fn one_stale_read(cluster: &Cluster, old: &Value) {
    cluster.on(When::verb("update").once(), Play::carried_out(Reply::Reset));
    cluster.on(When::verb("get").once(), Play::instead(Answer::object(200, old)));
}

#[tokio::test(start_paused = true)]
async fn one_stale_read_before_many_failures_is_not_taken_as_a_restored_backup() {
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
async fn a_stale_read_at_the_end_of_a_wait_does_not_affect_the_next_lock() {
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
async fn a_stale_404_does_not_lead_to_a_second_holder() {
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
async fn a_holder_loses_within_its_hold_when_the_store_is_restored_from_a_backup() {
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
async fn a_restored_backup_is_an_error_and_never_a_smaller_token() {
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
        let begun = cluster.now();

        let refused = a.lock("orders", wait(secs(120))).await;

        assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("backup"));
        assert!(cluster.now() - begun <= secs(40), "{:?}", cluster.now() - begun);
    }
}

/// The read of the first try was sent before the second call, and shows a holder that has left by then.
#[tokio::test(start_paused = true)]
async fn a_single_try_is_not_answered_by_a_read_from_before_its_call() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    cluster.on(When::verb("get").by("b").once(), Play::as_it_is().late(millis(800)));
    let again = async {
        sleep(millis(100)).await;
        guard.release().await.unwrap();
        b.lock("orders", LockOptions::default().try_once()).await
    };

    let (first, second) = tokio::join!(b.lock("orders", LockOptions::default().try_once()), again);

    assert!(matches!(first, Err(Error::Held { .. })), "{first:?}");
    second.unwrap().check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn single_tries_that_never_end_do_not_keep_one_from_its_answer() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    cluster.on(When::verb("get").by("b"), Play::as_it_is().late(millis(200)));
    let begun = cluster.now();

    let tries = (0..60).map(|number| {
        let (b, cluster) = (&b, &cluster);
        async move {
            sleep(millis(50) * number).await;
            let called = cluster.now();
            let tried = b.lock("orders", LockOptions::default().try_once()).await;
            assert!(matches!(tried, Err(Error::Held { .. })), "{tried:?}");
            cluster.now() - called
        }
    });
    let waits = futures::future::join_all(tries).await;

    let longest = waits.into_iter().max().unwrap();
    assert!(longest < millis(600), "{longest:?}, which is more than two reads");
    let reads = cluster.verbs("b").into_iter().filter(|verb| *verb == "get").count();
    assert!(reads <= 25, "{reads} reads in {:?}", cluster.now() - begun);
    guard.check().unwrap();
}
