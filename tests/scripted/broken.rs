//! Broken connections and unreadable answers.

use crate::prelude::*;

/// Every way to carry out a request and to answer it with something unusable.
fn broken_answers() -> [(&'static str, Reply); 7] {
    [
        ("reset before the answer", Reply::Reset),
        ("reset in the middle of the body", Reply::ResetMidBody),
        ("a body that ends early", Reply::Truncated),
        ("a body that is not JSON", Reply::Is(Answer::text(200, "<html>welcome</html>"))),
        ("no body", Reply::Is(Answer::text(200, ""))),
        ("504 after it was carried out", Reply::Is(Answer::timed_out())),
        ("500 after it was carried out", Reply::Is(Answer::leader_changed())),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_acquiring_write_with_a_broken_answer_is_recognised_by_a_read() {
    for (what, reply) in broken_answers() {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        cluster.on(When::verb("create").once(), Play::carried_out(reply));

        let guard = take(&a).await;

        let sent = cluster.sent(|request| request.verb == "create");
        assert_eq!(cluster.now() + guard.remaining(), sent + secs(13), "{what}");
        assert_eq!(guard.token().get(), cluster.commits()[0].number, "{what}");
        assert_eq!(cluster.verbs("a"), ["get", "create", "get"], "{what}");
        assert!(cluster.now() < secs(1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_with_broken_answers_are_recognised_by_reads() {
    for (what, reply) in broken_answers() {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        cluster.on(When::verb("update"), Play::carried_out(reply));

        sleep(secs(120)).await;

        assert!(guard.is_held(), "{what}");
        let stored = cluster.commits().last().unwrap().at;
        assert!(cluster.now() + guard.remaining() <= stored + secs(13), "{what}");
        assert!(cluster.requests().len() <= 60, "{what}: {} requests", cluster.requests().len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_with_a_broken_answer_is_recognised_by_a_read() {
    for (what, reply) in broken_answers() {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        cluster.on(When::verb("update").once(), Play::carried_out(reply));

        guard.release().await.unwrap();

        assert_eq!(cluster.holder("orders"), "", "{what}");
        assert_eq!(cluster.verbs("a"), ["get", "create", "update", "get"], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_answer_to_a_read_is_never_taken_as_a_missing_record() {
    for (what, reply) in broken_answers() {
        let cluster = Cluster::new();
        let (a, b) = (cluster.handle("a"), cluster.handle("b"));
        let guard = take(&a).await;
        cluster.on(When::verb("get").by("b").times(3), Play::carried_out(reply));

        let refused = b.lock("orders", wait(secs(3))).await;

        assert!(matches!(refused, Err(Error::Timeout { .. })), "{what}: {refused:?}");
        assert!(guard.is_held());
        assert_eq!(cluster.count(|request| request.by == "b" && request.is_write()), 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_reset_on_the_way_are_repeated() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    for verb in ["get", "create", "update"] {
        cluster.on(When::verb(verb).once(), Play::reset());
    }

    let guard = take(&a).await;
    sleep(secs(8)).await;
    assert_eq!(guard.state(), TenureState::Held, "the renewal must have been repeated");
    cluster.on(When::verb("update").once(), Play::reset());
    guard.release().await.unwrap();

    assert_eq!(cluster.holder("orders"), "");
}

#[tokio::test(start_paused = true)]
async fn without_a_server_a_lock_fails_at_the_end_of_its_wait_and_slows_down() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    cluster.on(When::any(), Play::reset());

    let refused = a.lock("orders", wait(secs(600))).await;

    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!((secs(600)..secs(602)).contains(&cluster.now()), "{:?}", cluster.now());
    let sent = cluster.requests().len();
    assert!(sent <= 260, "{sent} requests in ten minutes");
}
