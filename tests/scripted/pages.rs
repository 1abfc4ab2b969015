//! Lists of more objects than fit on one page.

use std::collections::BTreeSet;

use leasehold::{Inspect as _, LeaseRecord, RecordOptions, Session, SessionOptions};

use crate::prelude::*;

/// Three pages of 500.
const RECORDS: usize = 1200;
/// How often a session with so many locks lists them: two pages.
const RESYNC: Duration = secs(60);
const LOCKS: usize = 600;

fn cluster_with_records() -> Cluster {
    let cluster = Cluster::new();
    for number in 0..RECORDS {
        put_record(&cluster, &format!("lock-{number:04}"));
    }
    cluster
}

fn put_record(cluster: &Cluster, name: &str) {
    cluster.put_object(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "labels": { "leasehold.dev/kind": "lock" } },
        "spec": { "holderIdentity": "", "leaseDurationSeconds": 15 },
    }));
}

/// A page that is not the first one.
fn further_page() -> When {
    When::is(|request| request.verb == "list" && request.query.contains_key("continue"))
}

fn names(records: &[LeaseRecord]) -> BTreeSet<&str> {
    records.iter().map(|record| record.name.as_str()).collect()
}

async fn records(cluster: &Cluster) -> leasehold::Result<Vec<LeaseRecord>> {
    cluster.handle("a").list_records(RecordOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_list_has_pages_of_one_state() {
    let cluster = cluster_with_records();
    cluster.on(further_page().once(), Play::as_it_is().delayed(secs(2)));
    let later = async {
        sleep(secs(1)).await;
        put_record(&cluster, "a-new-one");
        cluster.delete("lock-1199");
    };

    let (records, ()) = tokio::join!(records(&cluster), later);

    let records = records.expect("a list");
    assert_eq!((records.len(), names(&records).len()), (RECORDS, RECORDS));
    assert!(names(&records).contains("lock-1199") && !names(&records).contains("a-new-one"));
    assert_eq!(cluster.verbs("a"), ["list"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_pages_expire_begins_again_and_shows_one_state() {
    let cluster = cluster_with_records();
    cluster.on(further_page().skip(1).once(), Play::instead(Answer::gone()).delayed(secs(2)));
    let later = async {
        sleep(secs(1)).await;
        cluster.delete("lock-0000");
    };

    let (records, ()) = tokio::join!(records(&cluster), later);

    let records = records.expect("a list");
    assert_eq!((records.len(), names(&records).len()), (RECORDS - 1, RECORDS - 1));
    assert!(!names(&records).contains("lock-0000"), "the pages before the expiry are forgotten");
    assert_eq!(cluster.verbs("a"), ["list"; 6], "three pages, of which one has expired, and three");
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_pages_expire_each_time_fails() {
    let cluster = cluster_with_records();
    cluster.on(further_page(), Play::instead(Answer::gone()));

    let error = records(&cluster).await.expect_err("no list");

    assert!(error.is_transient(), "{error}");
    assert_eq!(cluster.verbs("a"), ["list"; 4]);
}

/// A session whose watch shows nothing, with locks on two pages. No request was seen yet.
async fn session_with_locks(cluster: &Cluster) -> (Session, Vec<Guard>) {
    cluster.on(When::verb("watch").by("a"), Play::watch([Feed::Silence(secs(3600))]));
    let session = cluster.handle("a").session(SessionOptions::default()).await.expect("a session");
    let mut held = Vec::new();
    for number in 0..LOCKS {
        let name = format!("lock-{number:04}");
        held.push(session.lock(&name, LockOptions::default()).await.expect("the lock"));
    }
    cluster.forget();
    (session, held)
}

fn lists(cluster: &Cluster) -> usize {
    cluster.count(|request| request.verb == "list" && !request.query.contains_key("continue"))
}

/// Waits for the request for the further page of a list.
async fn until_further_page(cluster: &Cluster) {
    while cluster.count(|request| request.query.contains_key("continue")) == 0 {
        sleep(secs(1) / 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_which_a_page_fails_proves_no_absence() {
    let cluster = Cluster::new();
    let (_session, held) = session_with_locks(&cluster).await;
    cluster.on(further_page().once(), Play::instead(Answer::unavailable()));
    cluster.delete("lock-0000");
    until_further_page(&cluster).await;
    sleep(secs(5)).await;

    assert_eq!((lists(&cluster), cluster.count(|request| request.verb == "get")), (1, 0));
    assert!(held[0].is_held(), "the next list decides");
    let (_, loss) = end_of(&cluster, &held[0]).await;

    assert_eq!((loss, lists(&cluster)), (Loss::Deleted, 2));
    assert!(held[1..].iter().all(|guard| guard.is_held()));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_granted_while_the_pages_arrive_is_not_missing() {
    let cluster = Cluster::new();
    let (session, held) = session_with_locks(&cluster).await;
    cluster.on(further_page().once(), Play::as_it_is().delayed(secs(4)));
    until_further_page(&cluster).await;

    // Its place is on the first page, which was there before.
    let new = session.lock("a-new-one", LockOptions::default()).await.expect("the lock");
    cluster.forget();
    sleep(secs(10)).await;

    assert_eq!(cluster.count(|request| request.verb == "get"), 0);
    assert!(new.is_held() && held.iter().all(|guard| guard.is_held()));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_on_an_expired_page_and_not_in_the_next_list_is_missing() {
    let cluster = Cluster::new();
    let (_session, held) = session_with_locks(&cluster).await;
    cluster.on(further_page().once(), Play::instead(Answer::gone()).delayed(secs(2)));
    until_further_page(&cluster).await;
    cluster.delete("lock-0000");

    let (_, loss) = end_of(&cluster, &held[0]).await;

    assert_eq!((loss, lists(&cluster)), (Loss::Deleted, 2), "the list began again at once");
    assert_eq!(cluster.count(|request| request.verb == "get"), 1, "no other lock is missing");
    assert!(held[1..].iter().all(|guard| guard.is_held()));
}

/// The watch is reset while nothing of it has arrived, and a grant came meanwhile. Its record is on the second page.
#[tokio::test(start_paused = true)]
async fn a_watch_that_begins_again_reports_what_is_on_each_page() {
    let cluster = Cluster::new();
    let watch = [Feed::Silence(secs(20)), Feed::Reset];
    cluster.on(When::verb("watch").by("a").once(), Play::watch(watch));
    // A waiter of this session reads the record for the first time after 36 s.
    let options = SessionOptions::default().ttl(secs(120));
    let a = cluster.handle("a").session(options).await.expect("a session");
    let b = cluster.handle("b").session(SessionOptions::default()).await.expect("a session");
    let wanted = b.lock("wanted", LockOptions::default()).await.expect("the lock");
    let mut held = Vec::new();
    for number in 0..LOCKS {
        let name = format!("lock-{number:04}");
        held.push(a.lock(&name, LockOptions::default()).await.expect("the lock"));
    }
    let next = tokio::spawn({
        let a = a.clone();
        async move { a.lock("wanted", LockOptions::default()).await }
    });
    wanted.requested().await;
    cluster.until(secs(19)).await;
    wanted.release().await.expect("a release");
    cluster.forget();

    let granted = next.await.expect("a task").expect("the lock");

    assert!(granted.is_held() && held.iter().all(|guard| guard.is_held()));
    assert!(cluster.now() < secs(25), "before the next list of the session: {:?}", cluster.now());
    let pages = cluster.count(|request| request.verb == "list" && request.by == "a");
    let reads = cluster.count(|request| request.verb == "get" && request.name == "wanted");
    assert_eq!((pages, reads), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_list_expires_loses_no_lock() {
    let cluster = Cluster::new();
    let session = cluster.handle("a").session(SessionOptions::default()).await.expect("a session");
    let mut held = Vec::new();
    for number in 0..LOCKS {
        let name = format!("lock-{number:04}");
        held.push(session.lock(&name, LockOptions::default()).await.expect("the lock"));
    }
    let began = cluster.now();
    cluster.on(further_page().once(), Play::instead(Answer::gone()));
    cluster.forget();

    cluster.until(began + RESYNC + secs(2)).await;

    assert!(cluster.count(|request| request.query.contains_key("continue")) >= 2);
    assert_eq!(cluster.count(|request| request.verb == "get"), 0, "no lock is missing in the list");
    assert!(held.iter().all(|guard| guard.is_held()));
}
