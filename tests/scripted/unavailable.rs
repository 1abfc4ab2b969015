//! A server that is overloaded or down: 429, 500, 503, 504.

use leasehold::{Inspect as _, RecordOptions};

use crate::prelude::*;

/// The two ways to ask a client to wait: a header, or a field of the `Status`.
fn throttled(seconds: u32) -> [Answer; 2] {
    let details = json!({ "retryAfterSeconds": seconds });
    let busy = "too many requests, please try again later";
    [
        Answer::failure(429, "TooManyRequests", busy).header("retry-after", seconds.to_string()),
        Answer::detailed(429, "TooManyRequests", busy, details),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_renewal_honours_retry_after_if_the_hold_allows_it() {
    for answer in throttled(4) {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        cluster.forget();
        cluster.on(When::verb("update").once(), Play::instead(answer));

        cluster.until(secs(14)).await;

        assert!(guard.is_held());
        let sent: Vec<_> = cluster.requests().iter().map(|request| request.at).collect();
        assert!(sent[1] - sent[0] >= secs(4), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_does_not_wait_past_its_hold_for_a_long_retry_after() {
    for answer in throttled(60) {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        let guard = take(&a).await;
        cluster.forget();
        cluster.on(When::verb("update").once(), Play::instead(answer));

        cluster.until(secs(600)).await;

        assert!(guard.is_held());
        let sent: Vec<_> = cluster.requests().iter().map(|request| request.at).collect();
        assert!(
            sent[1] - sent[0] >= secs(4),
            "the renewal waits as long as the hold allows: {sent:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_honours_retry_after() {
    for answer in throttled(30) {
        let cluster = Cluster::new();
        let a = cluster.handle("a");
        cluster.on(When::verb("get").once(), Play::instead(answer));

        let guard = take(&a).await;

        assert!(guard.is_held());
        assert!(cluster.requests()[1].at >= secs(30), "{:?}", cluster.requests());
        assert!(cluster.requests()[1].at <= secs(31), "{:?}", cluster.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn acquire_renew_and_release_survive_a_change_of_the_etcd_leader() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    for verb in ["get", "create", "update"] {
        cluster.on(When::verb(verb).times(2), Play::instead(Answer::leader_changed()));
    }
    let guard = take(&a).await;
    assert!(cluster.now() < secs(2), "{:?}", cluster.now());

    sleep(secs(9)).await;
    assert_eq!(guard.state(), TenureState::Held);
    cluster.on(When::verb("update").times(2), Play::instead(Answer::leader_changed()));
    guard.release().await.unwrap();

    assert_eq!(cluster.holder("orders"), "");
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_a_server_loses_at_the_end_of_its_hold_and_can_lock_again_afterwards() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.until(secs(60)).await;
    let sent = cluster.sent(|request| request.verb == "update");
    cluster.forget();
    cluster.on(When::any(), Play::instead(Answer::unavailable()));

    let (ended, loss) = end_of(&cluster, &guard).await;
    assert_eq!((ended, loss), (sent + secs(13), Loss::Expired));
    let again = tokio::spawn(async move { (take(&a).await, a) });
    cluster.until(secs(360)).await;
    let asked = cluster.requests().len();
    cluster.heal();
    let (second, _a) = again.await.unwrap();

    assert!(asked <= 150, "{asked} requests in five minutes");
    assert!(cluster.now() <= secs(366), "{:?}", cluster.now());
    assert!(second.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_server_reports_the_error_and_leads_again_afterwards() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let leader = a.leader("orders", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    cluster.on(When::any(), Play::instead(Answer::unavailable()));
    guard.lost().await;

    sleep(secs(120)).await;
    let error = leader.last_error().expect("an error").to_string();
    assert!(error.contains("unavailable"), "{error}");
    cluster.forget();
    sleep(secs(600)).await;
    let asked = cluster.requests().len();
    cluster.heal();
    let second = leader.elected().await.unwrap();

    assert!(asked <= 300, "{asked} requests in ten minutes");
    assert!(second.token() > guard.token());
    assert!(leader.last_error().is_none());
}

#[tokio::test(start_paused = true)]
async fn after_a_minute_without_quorum_one_of_ten_waiters_gets_the_lock() {
    let cluster = Cluster::new();
    let first = cluster.handle("first");
    let guard = take(&first).await;
    let waiting: Vec<_> = (0..10)
        .map(|n| {
            let handle = cluster.handle(&format!("waiter-{n}"));
            tokio::spawn(async move { (take(&handle).await, handle) })
        })
        .collect();
    cluster.until(secs(20)).await;
    cluster.on(When::any(), Play::instead(Answer::leader_changed()).delayed(secs(1)));
    cluster.until(secs(80)).await;
    assert!(!guard.is_held());
    cluster.heal();

    cluster.until(secs(120)).await;

    assert_eq!(waiting.iter().filter(|waiter| waiter.is_finished()).count(), 1);
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn failing_writes_slow_a_waiter_down_although_its_reads_succeed() {
    let cluster = Cluster::new();
    cluster.put("orders", &json!({ "holderIdentity": "" }));
    cluster.on(When::write(), Play::instead(Answer::unavailable()));
    let a = cluster.handle("a");

    let refused = a.lock("orders", wait(secs(600))).await;

    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    let asked = cluster.requests().len();
    assert!(asked <= 500, "{asked} requests in ten minutes");
}

/// The failed watch and the failed lists that replace it are reported in turns.
#[tokio::test(start_paused = true)]
async fn a_watch_of_records_always_names_the_cause_of_its_interruption() {
    let cluster = Cluster::new();
    let operator = cluster.handle("operator");
    cluster.on(When::verb("watch"), Play::instead(Answer::unavailable()));
    let mut watch = operator.watch_records(RecordOptions::default()).await.unwrap();
    cluster.on(When::any(), Play::instead(Answer::unavailable()));

    let mut reported = 0;
    while cluster.now() < secs(60) {
        watch.changed().await;
        if let Some(error) = watch.last_error() {
            assert!(error.contains("apiserver is shutting down"), "{error}");
            reported += 1;
        }
    }

    assert!(reported > 5, "{reported}");
}
