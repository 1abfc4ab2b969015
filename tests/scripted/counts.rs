//! How many requests of which kind the default options send.

use crate::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_steady_holder_sends_one_put_every_four_to_five_seconds_and_nothing_else() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    let guard = take(&a).await;
    cluster.forget();

    sleep(secs(3600)).await;

    assert!(guard.is_held());
    let sent = cluster.requests().len();
    assert_eq!(sent, cluster.count(|request| request.verb == "update"));
    assert!((720..=900).contains(&sent), "{sent} requests in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_follower_sends_its_watches_and_few_other_requests() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let guard = take(&a).await;
    let waiting = tokio::spawn(async move { take(&b).await });
    sleep(secs(1)).await;
    cluster.forget();

    sleep(secs(3600)).await;

    assert!(guard.is_held() && !waiting.is_finished());
    let watches = cluster.count(|request| request.by == "b" && request.verb == "watch");
    let others = cluster.verbs("b").len() - watches;
    assert!(watches <= 16, "{watches} watches in an hour");
    assert!(others <= 180, "{others} requests in an hour, {:?}", cluster.verbs("b"));
}

#[tokio::test(start_paused = true)]
async fn locking_a_free_known_record_takes_two_writes_and_no_read() {
    let cluster = Cluster::new();
    let a = cluster.handle("a");
    take(&a).await.release().await.unwrap();
    sleep(secs(1)).await;
    cluster.forget();

    take(&a).await.release().await.unwrap();

    sleep(secs(60)).await;
    assert_eq!(cluster.verbs("a"), ["update", "update"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_costs_the_next_holder_two_requests_and_every_other_waiter_one_put() {
    let cluster = Cluster::new();
    let holder = cluster.handle("holder");
    let guard = take(&holder).await;
    let names: Vec<String> = (0..20).map(|n| format!("waiter-{n}")).collect();
    let waiting: Vec<_> = names
        .iter()
        .map(|name| {
            let handle = cluster.handle(name);
            tokio::spawn(async move {
                let guard = take(&handle).await;
                (handle, guard)
            })
        })
        .collect();
    cluster.until(secs(12)).await;
    cluster.forget();
    let released = cluster.now();

    guard.release().await.unwrap();
    sleep(secs(4)).await;

    let winner = cluster.holder("orders");
    assert!(names.contains(&winner));
    assert!(cluster.verbs(&winner).len() <= 2, "{:?}", cluster.verbs(&winner));
    for loser in names.iter().filter(|name| **name != winner) {
        let verbs = cluster.verbs(loser);
        assert!(verbs.is_empty() || verbs == ["update"], "{loser}: {verbs:?}");
    }
    let taken = cluster.commits().iter().rev().find(|commit| commit.by == winner).unwrap().at;
    assert!(taken - released < millis(100), "handed over in {:?}", taken - released);
    assert_eq!(waiting.iter().filter(|waiter| waiter.is_finished()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_a_record_expires_one_of_two_hundred_waiters_wins_and_others_send_at_most_three_requests()
 {
    let cluster = Cluster::new();
    cluster.put("orders", &json!({ "holderIdentity": "dead", "leaseDurationSeconds": 15 }));
    let names: Vec<String> = (0..200).map(|n| format!("contender-{n}")).collect();
    let waiting: Vec<_> = names
        .iter()
        .map(|name| {
            let handle = cluster.handle(name);
            tokio::spawn(async move {
                let guard = take(&handle).await;
                (handle, guard)
            })
        })
        .collect();
    cluster.until(secs(10)).await;
    assert_eq!(waiting.iter().filter(|waiter| waiter.is_finished()).count(), 0);
    cluster.forget();

    cluster.until(secs(25)).await;

    let winners: Vec<_> = waiting.iter().filter(|waiter| waiter.is_finished()).collect();
    assert_eq!(winners.len(), 1);
    let winner = cluster.holder("orders");
    let most = names.iter().filter(|name| **name != winner).map(|name| cluster.verbs(name).len());
    let most = most.max().unwrap();
    assert!(most <= 3, "{most} requests by one loser");
    cluster.assert_no_theft();
}

#[tokio::test(start_paused = true)]
async fn a_follower_stays_listed_with_one_request_in_25_seconds() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let first = a.leader("orders", LeaderOptions::default()).await.unwrap();
    let lead = first.elected().await.unwrap();
    let _second = b.leader("orders", LeaderOptions::default()).await.unwrap();
    sleep(secs(60)).await;
    cluster.forget();

    sleep(secs(3600)).await;

    assert!(lead.is_held());
    let watches = cluster.count(|request| request.by == "b" && request.verb == "watch");
    let others = cluster.verbs("b").len() - watches;
    assert!(watches <= 16, "{watches} watches in an hour");
    assert!(others <= 180, "{others} requests in an hour");
}
