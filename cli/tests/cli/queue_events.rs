//! `leasehold watch` and the queue of a lock or an election: who joins, who leaves, and who holds.

use leasehold::{LeaderOptions, LockOptions, Sync as _};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Fixture, program::Running};

/// The next line of `watch -o json`: event, holder, place, holders and reason.
async fn event(watch: &mut Running) -> [Value; 5] {
    let mut line: Value = serde_json::from_str(&watch.line().await).unwrap();
    ["event", "holder", "place", "holders", "why"].map(|key| line[key].take())
}

#[tokio::test]
async fn watch_reports_who_joins_and_leaves_the_queue_of_a_lock_and_who_holds_it() {
    let fixture = Fixture::new().await;
    let (session, other) = (fixture.session().await, fixture.session().await);
    let (holder, next) = (session.id(), other.id());
    let guard = session.lock("orders", LockOptions::default()).await.unwrap();
    let mut watch = fixture.leasehold(["watch", "-o", "json", "orders"]).start();
    let mut text = fixture.leasehold(["watch", "orders"]).start();
    let begun = event(&mut watch).await;
    text.line().await;

    let waiting = tokio::spawn(async move {
        let guard = other.lock("orders", LockOptions::default()).await.unwrap();
        guard.release().await.unwrap();
        other.end().await.unwrap();
    });
    let joined = event(&mut watch).await;
    let last = fixture.leasehold(["lock", "--queue", "orders", "true"]).start();
    let behind = event(&mut watch).await;
    last.signal(Signal::TERM);
    let left = event(&mut watch).await;
    guard.release().await.unwrap();
    waiting.await.unwrap();
    let mut after = Vec::new();
    for _ in 0..3 {
        after.push(event(&mut watch).await);
    }

    assert_eq!(json!(begun), json!(["acquired", holder, null, [holder], null]));
    assert_eq!(json!(joined), json!(["joined", next, 1, [holder], null]));
    let last = behind[1].as_str().unwrap();
    assert_eq!(json!(behind), json!(["joined", last, 2, [holder], null]));
    assert_eq!(json!(left), json!(["left", last, 2, [holder], null]));
    let handed_over = json!([
        ["lost", holder, null, [next], "succeeded"],
        ["acquired", next, null, [next], null],
        ["lost", next, null, [], "released"],
    ]);
    assert_eq!(json!(after), handed_over);
    let lines = [text.line().await, text.line().await, text.line().await];
    assert!(lines[0].ends_with(&format!("orders: {next}, place 1, held by {holder}")), "{lines:?}");
    for (line, event) in lines[1..].iter().zip(["joined", "left"]) {
        let end = format!("lock      orders: {last}, place 2, held by {holder}");
        assert!(line.contains(event) && line.ends_with(&end), "{line}");
    }
    let end = text.line().await;
    assert!(end.ends_with(&format!("{holder} (another holder followed)")), "{end}");
    session.end().await.unwrap();
}

#[tokio::test]
async fn watch_reports_who_joins_and_leaves_the_queue_of_an_election() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let candidate = |id: &str| {
        let options = LeaderOptions::default().candidate_id(id);
        let session = session.clone();
        async move { session.leader("billing", options).await.unwrap() }
    };
    let first = candidate("first").await;
    let guard = first.elected().await.unwrap();
    let mut watch = fixture.leasehold(["watch", "-o", "json", "billing"]).start();
    let begun = [event(&mut watch).await, event(&mut watch).await];

    let second = candidate("second").await;
    let joined = event(&mut watch).await;
    second.resign().await.unwrap();
    let left = event(&mut watch).await;

    let first = |event: &str| json!([event, "first", null, ["first"], null]);
    assert_eq!(begun.map(|event| json!(event)), [first("joined"), first("elected")]);
    let second = |event: &str| json!([event, "second", 1, ["first"], null]);
    assert_eq!([json!(joined), json!(left)], [second("joined"), second("left")]);
    drop(guard);
    session.end().await.unwrap();
}
