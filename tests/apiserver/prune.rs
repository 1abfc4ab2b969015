//! The deletion of unused records.

use std::{sync::Arc, time::Duration};

use leasehold::{
    Error, Inspect as _, Kubernetes, LeaderOptions, PruneOptions, PruneOutcome, Pruned,
    RecordOptions, Sync as _,
};
use leasehold_test_support::{Rule, since};
use serde_json::json;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use super::{Place, brief};

/// The name of each record, and what became of it.
fn outcomes(pruned: &[Pruned]) -> Vec<(&str, &PruneOutcome)> {
    pruned.iter().map(|pruned| (pruned.record.name.as_str(), &pruned.outcome)).collect()
}

fn all() -> PruneOptions {
    PruneOptions::default().older_than(Duration::ZERO)
}

async fn use_once(sync: &Kubernetes, name: &str) -> u64 {
    let guard = sync.lock(name, brief()).await.unwrap();
    let token = guard.token().get();
    guard.release().await.unwrap();
    token
}

/// Makes the record look as if it had not been used for this long.
async fn age(place: &Place, name: &str, age: Duration) {
    let then = jiff::Timestamp::now() - age;
    place
        .edit(name, |lease| {
            let spec = lease.spec.as_mut().unwrap();
            spec.renew_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(then));
        })
        .await;
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn only_free_records_of_this_crate_that_are_old_are_deleted() {
    let place = Place::new().await;
    let sync = place.handle();
    for name in ["old", "young", "jobs/nightly"] {
        use_once(&sync, name).await;
    }
    let _held = sync.lock("held", brief()).await.unwrap();
    let leader = sync.leader("election", LeaderOptions::default()).await.unwrap();
    drop(leader.elected().await.unwrap());
    leader.resign().await.unwrap();
    place.foreign("foreign", json!({ "holderIdentity": "" })).await;
    let nightly = place.names().await.into_iter().find(|name| name.starts_with("jobs-")).unwrap();
    for name in ["old", "election", "held", "foreign", &*nightly] {
        age(&place, name, 8 * DAY).await;
    }
    age(&place, "young", 6 * DAY).await;

    let shown = sync.prune(PruneOptions::default().dry_run()).await.unwrap();
    let before = place.names().await.len();
    let pruned = sync.prune(PruneOptions::default()).await.unwrap();

    let unused = |(_, outcome): &(_, &PruneOutcome)| matches!(outcome, PruneOutcome::Unused);
    assert!(outcomes(&shown).iter().all(unused) && shown.len() == 3, "{:?}", outcomes(&shown));
    assert_eq!(before, 6, "a dry run deletes nothing");
    let deleted = |(_, outcome): &(_, &PruneOutcome)| matches!(outcome, PruneOutcome::Deleted);
    assert!(outcomes(&pruned).iter().all(deleted), "{:?}", outcomes(&pruned));
    let names: Vec<_> = outcomes(&pruned).iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, ["election", "jobs/nightly", "old"]);
    assert!(pruned[0].record.renewed_ago.unwrap() >= 8 * DAY);
    let mut left = place.names().await;
    left.sort();
    assert_eq!(left, ["foreign", "held", "young"]);
}

#[tokio::test]
async fn namespaces_and_labels_select_the_records() {
    let (place, other) = (Place::new().await, Place::new().await);
    let labelled = place.handle_of(crate::ADMIN, place.options().labels([("team", "shop")]));
    use_once(&labelled, "labelled").await;
    for place in [&place, &other] {
        use_once(&place.handle(), "plain").await;
    }
    let select = |records| all().records(records);

    let shop = RecordOptions::default().label_selector("team=shop");
    let pruned = labelled.prune(select(shop)).await.unwrap();
    assert_eq!(pruned.len(), 1, "{:?}", outcomes(&pruned));
    assert_eq!(place.names().await, ["plain"]);
    let pruned = labelled.prune(select(RecordOptions::default().namespace(&other.namespace)));
    assert_eq!(pruned.await.unwrap().len(), 1);
    assert_eq!((place.names().await.len(), other.names().await.len()), (1, 0));
}

#[tokio::test]
async fn a_lock_can_be_used_again_at_once_and_its_token_grows() {
    let place = Place::new().await;
    let (sync, other) = (place.handle(), place.handle());
    let first = use_once(&sync, "orders").await;
    let second = use_once(&other, "orders").await;
    assert_eq!(sync.prune(all()).await.unwrap().len(), 1);
    let before = place.requests();

    let third = use_once(&sync, "orders").await;

    let sent = since(&before, &place.requests());
    let claim = [("create", 1), ("get", 1), ("update", 2)].map(|(verb, n)| (verb.to_owned(), n));
    assert_eq!(sent, claim.into(), "the claim of the deleted record is refused, then a create");
    assert_eq!(other.prune(all()).await.unwrap().len(), 1);
    let fourth = use_once(&other, "orders").await;
    assert!(first < second && second < third && third < fourth);
}

#[tokio::test]
async fn missing_permissions_are_reported() {
    let place = Place::new().await;
    use_once(&place.handle(), "orders").await;
    use_once(&place.handle(), "billing").await;
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&["get"])]).await;
    place.plane.allow("bob", &place.namespace, &[Rule::leases(&["list"])]).await;

    let no_list = place.handle_of("alice", place.options()).prune(all()).await.unwrap_err();
    let no_delete = place.handle_of("bob", place.options()).prune(all()).await.unwrap();

    assert!(matches!(no_list, Error::PermissionDenied { verb: "list", .. }), "{no_list:?}");
    let denied = |pruned: &Pruned| {
        let PruneOutcome::Failed(error) = &pruned.outcome else { return false };
        matches!(error, Error::PermissionDenied { verb: "delete", .. })
    };
    assert!(no_delete.len() == 2 && no_delete.iter().all(denied), "{:?}", outcomes(&no_delete));
    assert_eq!(place.names().await.len(), 2);
}

/// Holds the lock `orders` several times. Every fifth time it then waits until the free records were deleted once more.
async fn work(place: Arc<Place>, highest: Arc<Mutex<u64>>, mut rounds: watch::Receiver<u64>) {
    let sync = place.handle();
    for turn in 1..=EACH {
        let guard = sync.lock("orders", brief()).await.unwrap();
        {
            let mut highest = highest.try_lock().expect("no other holder");
            let token = guard.token().get();
            assert!(*highest < token, "a token that does not grow");
            *highest = token;
            tokio::task::yield_now().await;
        }
        guard.release().await.unwrap();
        if turn % 5 == 0 {
            let next = *rounds.borrow() + 2;
            rounds.wait_for(|round| *round >= next).await.unwrap();
        }
    }
}

/// How often each contender holds the lock.
const EACH: usize = 25;

#[tokio::test]
async fn contenders_exclude_each_other_while_every_free_record_is_deleted() {
    let place = Arc::new(Place::new().await);
    let (round, rounds) = watch::channel(0);
    let highest = Arc::new(Mutex::new(0));
    let work = |_| tokio::spawn(work(Arc::clone(&place), Arc::clone(&highest), rounds.clone()));
    let workers: Vec<_> = (0..4).map(work).collect();

    let operator = place.handle();
    let mut deleted = 0;
    while !workers.iter().all(JoinHandle::is_finished) {
        let pruned = operator.prune(all()).await.unwrap();
        let gone = |pruned: &&Pruned| matches!(pruned.outcome, PruneOutcome::Deleted);
        deleted += pruned.iter().filter(gone).count();
        round.send_modify(|round| *round += 1);
    }

    for worker in workers {
        worker.await.unwrap();
    }
    assert!(deleted > 0, "the last contender waits for a deletion");
    println!("{} tenures, {deleted} deletions", 4 * EACH);
}
