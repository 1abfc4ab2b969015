//! Lists of more objects than fit on one page.

use std::collections::BTreeSet;

use leasehold::{Inspect as _, LeaseRecord, RecordOptions, SessionOptions};

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
