//! The token that other processes are shown.

use futures::StreamExt as _;
use leasehold::{
    ElectEvent, Inspect as _, Leader, RecordEventKind, RecordOptions, RecordWatch, Token,
    WatchElectOptions,
};
use tokio::time::timeout;

use crate::{
    prelude::*,
    sessions::{lock, session},
};

async fn join(handle: &Kubernetes) -> Leader {
    handle.leader("orders", LeaderOptions::default()).await.expect("a candidate")
}

/// Another program changes the Lease, as a tool does that labels everything.
fn label(cluster: &Cluster) {
    let version = cluster.version().to_string();
    cluster.edit("orders", |lease| lease["metadata"]["labels"]["seen"] = version.into());
}

async fn listed(handle: &Kubernetes) -> Option<Token> {
    let records = handle.list_records(RecordOptions::default()).await.expect("a list");
    records.iter().find(|record| record.lease == "orders").expect("the record").token
}

/// Follows the records for a second.
async fn follow(watch: &mut RecordWatch) {
    let changes = async {
        loop {
            watch.changed().await;
        }
    };
    let _ = timeout(secs(1), changes).await;
}

fn shown(follower: &Leader) -> Option<Token> {
    follower.primary().expect("a primary").token
}

#[tokio::test(start_paused = true)]
async fn an_edit_before_the_first_renewal_shows_no_wrong_token() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let leader = join(&a).await;
    let guard = leader.elected().await.unwrap();
    let follower = join(&b).await;
    sleep(secs(1)).await;

    for _ in 0..3 {
        label(&cluster);
        sleep(millis(100)).await;
        for token in [listed(&b).await, shown(&follower)] {
            assert!(token.is_none_or(|token| token == guard.token()), "{token:?}");
        }
    }
    sleep(secs(5)).await;

    assert_eq!(listed(&b).await, Some(guard.token()), "the first renewal states it");
    assert_eq!(shown(&follower), Some(guard.token()));
}

#[tokio::test(start_paused = true)]
async fn one_election_is_reported_once_whatever_is_edited() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.handle("a"), cluster.handle("b"));
    let leader = join(&a).await;
    let guard = leader.elected().await.unwrap();
    label(&cluster);
    let events = b.watch_elect(WatchElectOptions::default()).await.unwrap();
    let events = tokio::spawn(events.take_until(sleep(secs(12))).collect::<Vec<_>>());

    for _ in 0..10 {
        sleep(secs(1)).await;
        label(&cluster);
    }

    let events = events.await.unwrap();
    let elected: Vec<_> =
        events.iter().filter(|event| matches!(event, ElectEvent::Elected(_))).collect();
    assert_eq!(elected.len(), 1, "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, ElectEvent::Lost(_))), "{events:?}");
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_follower_knows_the_token_of_the_next_leader_from_its_claim_on() {
    let cluster = Cluster::new();
    let handles = ["a", "b", "c"].map(|who| cluster.handle(who));
    let [first, b, c] = [join(&handles[0]).await, join(&handles[1]).await, join(&handles[2]).await];
    let guard = first.elected().await.unwrap();
    cluster.until(secs(6)).await;
    assert_eq!(shown(&b), Some(guard.token()));

    first.resign().await.unwrap();
    sleep(millis(500)).await;
    let (leader, follower) = if b.tenure().is_some() { (b, c) } else { (c, b) };
    let token = leader.tenure().expect("one of the two leads").token();

    assert_eq!(shown(&follower), Some(token), "it saw the claim");
    label(&cluster);
    sleep(millis(500)).await;
    assert_eq!(shown(&follower), Some(token), "an edit does not change it");
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_records_reports_each_tenure_with_its_token() {
    let cluster = Cluster::new();
    let (a, operator) = (cluster.handle("a"), cluster.handle("operator"));
    take(&a).await.release().await.unwrap();
    let mut watch = operator.watch_records(RecordOptions::default()).await.unwrap();
    follow(&mut watch).await;
    assert!(watch.take_events().is_empty());

    let guard = take(&a).await;
    label(&cluster);
    follow(&mut watch).await;
    let begun = watch.take_events();

    assert_eq!(begun.len(), 1, "{begun:?}");
    assert_eq!((begun[0].event, begun[0].token), (RecordEventKind::Acquired, Some(guard.token())));
    assert_eq!(watch.current()[0].token, Some(guard.token()));
}

/// An edit before that makes a later version, which is not the token.
#[tokio::test(start_paused = true)]
async fn the_token_of_a_session_s_lock_is_listed_once_its_holder_has_stated_it() {
    let cluster = Cluster::new();
    let (a, reader) = (session(&cluster, "a").await, cluster.handle("reader"));
    let held = lock(&a, "orders").await;
    assert_eq!(listed(&reader).await, None);
    label(&cluster);

    sleep(secs(11)).await;

    assert_eq!(listed(&reader).await, Some(held.token()));
    let queue = a.queue("orders").await.unwrap();
    assert_eq!(queue.holders[0].token, Some(held.token()));
    let writes = |one: &Request| one.is_write() && one.name == "orders";
    assert_eq!(cluster.count(writes), 2, "one to acquire it, and one to state the token");
    sleep(secs(60)).await;
    assert_eq!(cluster.count(writes), 2);
    held.release().await.unwrap();
    assert_eq!(listed(&reader).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_reports_the_token_of_a_session_s_tenure_at_its_end() {
    let cluster = Cluster::new();
    let (a, reader) = (session(&cluster, "a").await, cluster.handle("reader"));
    let mut watch = reader.watch_records(RecordOptions::default()).await.unwrap();
    let events = |watch: &mut RecordWatch| {
        let events = watch.take_events().into_iter();
        events.map(|event| (event.event, event.token)).collect::<Vec<_>>()
    };
    follow(&mut watch).await;
    let held = lock(&a, "orders").await;
    follow(&mut watch).await;
    assert_eq!(events(&mut watch), [(RecordEventKind::Acquired, None)]);

    sleep(secs(11)).await;
    follow(&mut watch).await;
    assert_eq!(events(&mut watch), [], "a token that becomes known is no event");
    assert_eq!(watch.current()[0].token, Some(held.token()));

    let token = held.token();
    held.release().await.unwrap();
    follow(&mut watch).await;
    assert_eq!(events(&mut watch), [(RecordEventKind::Lost, Some(token))]);
}
