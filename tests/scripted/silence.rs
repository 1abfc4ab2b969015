//! Requests without an answer, and requests that are carried out after their sender has given up.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn an_acquire_without_an_answer_fails_at_the_end_of_its_wait() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    cluster.on(When::any(), Play::lost());

    let refused = a.lock("orders", wait(secs(5))).await;

    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(cluster.now() >= secs(5) && cluster.now() <= secs(7), "{:?}", cluster.now());
    assert!(cluster.requests().len() <= 5, "{:?}", cluster.verbs("a"));
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_answers_loses_exactly_at_its_deadline() {
    for play in [Play::lost(), Play::carried_out(Reply::Never)] {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        cluster.until(secs(12)).await;
        let sent = cluster.sent(|request| request.verb == "update");
        cluster.on(When::any(), play);

        cluster.until(sent + secs(13) - millis(1)).await;
        assert_eq!(guard.state(), TenureState::InDoubt);
        let (ended, loss) = end_of(&cluster, &guard).await;

        assert_eq!((ended, loss), (sent + secs(13), Loss::Expired));
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_lost_at_its_deadline_although_its_background_task_did_not_run() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let sent = cluster.sent(|request| request.verb == "create");

    // Like a blocked executor or a stopped process: time passes before any timer runs.
    tokio::time::advance(sent + secs(13) - cluster.now()).await;
    assert!(!guard.is_held());

    sleep(secs(60)).await;
    assert!(!guard.is_held(), "a lost guard stays lost");
    assert_eq!(cluster.holder("orders"), "");
}

#[tokio::test(start_paused = true)]
async fn renewals_without_an_answer_are_recognised_by_reads() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let token = guard.token();
    cluster.on(When::verb("update"), Play::carried_out(Reply::Never));

    for _ in 0..600 {
        sleep(secs(1)).await;
        assert_eq!(guard.check().unwrap(), token);
        // The hold starts when a stored write was sent, never at the read that showed it.
        let stored = cluster.commits().last().unwrap().at;
        assert!(cluster.now() + guard.remaining() <= stored + secs(13));
    }
}

#[tokio::test(start_paused = true)]
async fn the_hold_of_an_acquiring_write_without_an_answer_starts_at_its_sending() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    cluster.on(When::verb("create").once(), Play::carried_out(Reply::Never));

    let guard = take(&a).await;

    let sent = cluster.sent(|request| request.verb == "create");
    assert!(cluster.now() >= sent + millis(1500), "the write was given up first");
    assert_eq!(cluster.now() + guard.remaining(), sent + secs(13));
    assert_eq!(guard.token().get(), cluster.commits()[0].number);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_shortens_the_tenure() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    cluster
        .on(When::verb("create").once(), Play::as_it_is().delayed(millis(700)).late(millis(700)));

    let guard = take(&a).await;

    let sent = cluster.sent(|request| request.verb == "create");
    assert_eq!(cluster.now() + guard.remaining(), sent + secs(13));
}

#[tokio::test(start_paused = true)]
async fn a_release_without_an_answer_ends_the_tenure_at_once_and_fails_within_the_ttl_and_one_attempt()
 {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let tenure = guard.tenure();
    cluster.on(When::any(), Play::lost());
    let begun = cluster.now();

    let release = guard.release();
    assert!(!tenure.is_held(), "the tenure ends before the release is sent");
    let released = release.await;

    assert!(matches!(released, Err(Error::Unavailable { .. })), "{released:?}");
    // At most the TTL, one pause and one attempt.
    assert!(cluster.now() - begun <= secs(15 + 5 + 2), "{:?}", cluster.now() - begun);
    let sent = cluster.requests().len();
    sleep(secs(600)).await;
    assert_eq!(cluster.requests().len(), sent, "no request follows");
}

#[tokio::test(start_paused = true)]
async fn a_release_without_an_answer_is_recognised() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.on(When::verb("update").once(), Play::carried_out(Reply::Never));

    guard.release().await.unwrap();

    assert_eq!(cluster.holder("orders"), "");
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_stored_after_its_future_was_dropped_is_released() {
    for delay in [500, 1400, 3000, 10_000] {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        cluster.on(When::verb("create").once(), Play::as_it_is().delayed(millis(delay)));

        let dropped = tokio::time::timeout(millis(400), take(&a)).await;
        assert!(dropped.is_err());
        cluster.until(millis(delay) + secs(6)).await;

        let held = cluster.lease("orders").map(|_| cluster.holder("orders"));
        assert_eq!(held.unwrap_or_default(), "", "commits after {delay} ms");
        let guard = b.lock("orders", wait(secs(1))).await.unwrap();
        assert!(guard.is_held());
        cluster.assert_no_theft();
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_arrives_after_its_future_was_dropped_conflicts_or_is_released() {
    for delay in [500, 3000, 10_000] {
        let cluster = Cluster::new();
        cluster.put("orders", &json!({ "holderIdentity": "" }));
        let a = cluster.handle("a");
        cluster.on(When::verb("update").once(), Play::as_it_is().delayed(millis(delay)));

        let dropped = tokio::time::timeout(millis(400), take(&a)).await;
        assert!(dropped.is_err());
        cluster.until(secs(20)).await;

        assert_eq!(cluster.holder("orders"), "", "commits after {delay} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_created_late_by_a_disconnected_process_expires_after_its_ttl() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    cluster.on(When::verb("create").by("a").once(), Play::as_it_is().delayed(secs(5)));
    cluster.on(When::any().by("a").skip(1), Play::lost());
    let dropped = tokio::time::timeout(millis(400), take(&a)).await;
    assert!(dropped.is_err());
    cluster.until(secs(4)).await;
    let early = take(&b).await;
    early.release().await.unwrap();
    cluster.delete("orders");
    cluster.until(secs(6)).await;

    let guard = take(&b).await;

    assert!(guard.is_held());
    assert!(cluster.now() <= secs(5) + secs(15) + secs(2), "{:?}", cluster.now());
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_renewal_stored_after_the_loss_does_not_revive_the_guard_and_delays_waiters_by_one_ttl() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    // The first renewal, sent at 5 s, is stored at 14 s: after the hold, before the expiry. Later requests are lost.
    cluster.on(When::verb("update").by("a").once(), Play::as_it_is().delayed(secs(9)));
    cluster.on(When::any().by("a"), Play::lost());
    let (ended, _) = end_of(&cluster, &guard).await;
    let waiting = tokio::spawn(async move { (take(&b).await, b) });
    cluster.until(secs(14) + millis(100)).await;
    let committed = cluster.commits().last().unwrap().at;
    assert!(committed > ended);

    let (successor, _b) = waiting.await.unwrap();

    assert!(!guard.is_held(), "a lost guard stays lost");
    assert!(successor.is_held() && successor.token() > guard.token());
    assert!(cluster.now() >= committed + secs(15) && cluster.now() <= committed + secs(17));
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_arrives_after_the_release_of_a_lost_lock_conflicts() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    // It would be stored at 30 s: long after the holder has stepped down and has a connection again.
    cluster.on(When::verb("update").once(), Play::as_it_is().delayed(secs(25)));
    cluster.on(When::is(|request| request.at < secs(14)), Play::lost());
    guard.lost().await;

    cluster.until(secs(60)).await;

    assert_eq!(cluster.holder("orders"), "");
    assert!(!guard.is_held());
}
