//! 409 Conflict, caused by a write of another client or by an earlier write of the same client.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn after_a_conflict_on_acquire_the_waiter_waits_a_full_ttl_for_the_new_holder() {
    let cluster = Cluster::new();
    cluster.put("orders", &json!({ "holderIdentity": "", "leaseDurationSeconds": 15 }));
    let a = cluster.handle("a");
    cluster.on(When::verb("update").once(), Play::as_it_is().delayed(millis(100)));
    let waiting = tokio::spawn(async move { take(&a).await });
    sleep(millis(50)).await;

    cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "other".into());
    let edited = cluster.now();
    let guard = waiting.await.unwrap();

    assert!(cluster.now() - edited >= secs(15), "waited {:?}", cluster.now() - edited);
    assert!(cluster.now() - edited < secs(17), "waited {:?}", cluster.now() - edited);
    assert!(guard.is_held());
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_another_holder_on_renewal_ends_the_tenure_and_changes_nothing() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let acquired = cluster.now();
    sleep(secs(1)).await;

    cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "other".into());
    let (ended, loss) = end_of(&cluster, &guard).await;

    assert_eq!(loss, Loss::Taken);
    assert!(
        ended - acquired <= secs(5) + millis(10),
        "the next renewal finds the other holder, not at {ended:?}"
    );
    drop(guard);
    sleep(secs(60)).await;
    assert_eq!(cluster.holder("orders"), "other");
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_ones_own_create_is_recognised_and_the_hold_starts_at_its_sending() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let answer = Reply::Is(Answer::already_exists("orders"));
    cluster.on(When::verb("create").once(), Play::carried_out(answer).late(millis(700)));

    let guard = take(&a).await;

    let sent = cluster.sent(|request| request.verb == "create");
    assert_eq!(guard.remaining(), sent + secs(13) - cluster.now());
    assert_eq!(guard.token().get(), cluster.commits()[0].number);
    assert_eq!(cluster.commits().len(), 1, "the record was written once");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_ones_own_takeover_is_recognised() {
    let cluster = Cluster::new();
    cluster.put("orders", &json!({ "holderIdentity": "" }));
    let a = cluster.handle("a");
    let answer = Reply::Is(Answer::conflict("orders"));
    cluster.on(When::verb("update").once(), Play::carried_out(answer));

    let guard = take(&a).await;

    assert_eq!(guard.token().get(), cluster.commits()[1].number);
    assert_eq!(cluster.commits().len(), 2, "one takeover was written");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_ones_own_renewal_does_not_end_the_tenure() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let token = guard.token();
    let answer = Reply::Is(Answer::conflict("orders"));
    cluster.on(When::verb("update"), Play::carried_out(answer));

    sleep(secs(600)).await;

    assert_eq!(guard.check().unwrap(), token);
    assert_eq!(guard.state(), TenureState::Held);
    assert!(cluster.count(|request| request.verb == "get") <= 151, "one read for each renewal");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_ones_own_release_is_no_error() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let answer = Reply::Is(Answer::conflict("orders"));
    cluster.on(When::verb("update").once(), Play::carried_out(answer));

    guard.release().await.unwrap();

    assert_eq!(cluster.holder("orders"), "");
    assert_eq!(cluster.commits().len(), 2, "the record was freed once");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_another_holder_on_release_changes_nothing() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "other".into());

    guard.release().await.unwrap();
    sleep(secs(60)).await;

    assert_eq!(cluster.holder("orders"), "other");
    assert_eq!(cluster.commits().len(), 2, "the only other write is the edit");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_a_new_label_does_not_prevent_a_release() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.edit("orders", |lease| lease["metadata"]["labels"]["team"] = "blue".into());

    guard.release().await.unwrap();

    assert_eq!(cluster.holder("orders"), "");
    assert_eq!(cluster.lease("orders").unwrap()["metadata"]["labels"]["team"], "blue");
}

#[tokio::test(start_paused = true)]
async fn of_two_clients_that_create_at_once_one_holds_and_the_other_waits() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));

    let (first, second) =
        tokio::join!(a.lock("orders", wait(secs(30))), b.lock("orders", wait(secs(30))));

    assert_eq!(cluster.count(|request| request.verb == "create"), 2);
    let (held, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    let held = held.unwrap();
    assert!(held.is_held());
    match refused {
        Err(Error::Timeout { holder, .. }) => assert_eq!(holder, held.holder()),
        other => panic!("both hold the lock: {other:?}"),
    }
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_gets_only_conflicts_loses_at_the_end_of_its_hold() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    let sent = cluster.sent(|request| request.verb == "create");
    cluster.forget();
    cluster.on(When::verb("update"), Play::instead(Answer::conflict("orders")));

    let (ended, loss) = end_of(&cluster, &guard).await;

    assert_eq!((ended, loss), (sent + secs(13), Loss::Expired));
    assert!(cluster.requests().len() <= 40, "{} requests in 8 s", cluster.requests().len());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_although_every_answer_is_a_conflict() {
    for wait_for in [Duration::ZERO, secs(2), secs(60)] {
        let cluster = Cluster::new();
        cluster.put("orders", &json!({ "holderIdentity": "" }));
        cluster.on(When::verb("update"), Play::instead(Answer::conflict("orders")));
        let a = cluster.handle("a");

        let refused = tokio::time::timeout(secs(600), a.lock("orders", wait(wait_for))).await;

        let refused = refused.expect("the call must end");
        assert!(matches!(refused, Err(Error::Held { .. } | Error::Timeout { .. })), "{refused:?}");
        assert!(cluster.now() <= wait_for + secs(7), "{wait_for:?}: {:?}", cluster.now());
        assert!(cluster.requests().len() <= 150, "{} requests", cluster.requests().len());
    }
}
