//! One session acquires thousands of free locks, in turns with the creation of as many Leases by a plain client.

use std::{ops::Range, time::Duration};

use leasehold::{Guard, LockOptions, Session, Sync as _};
use serde_json::Value;

use super::{
    Bench,
    floor::{IN_FLIGHT, Plain, all as send, as_created},
    sessions::{lock_all, open},
    timed,
};

const LOCKS: usize = 10_000;
/// How many of one kind follow each other. Few, so that both kinds meet the same state of the machine.
const BATCH: usize = 500;

/// See the [module](self). The Leases have the same bodies, in a namespace of their own, because a namespace with more
/// Leases costs each watch more.
pub(crate) async fn locks(bench: &mut Bench) {
    let (ours, floor) = (bench.plane.namespace().await, bench.plane.namespace().await);
    let session = open(bench, &ours).await;
    let plain = Plain::new(bench, &floor);
    let body = example(bench, &session, &ours).await;
    let count = |bench: &Bench| {
        bench.plane.audit_of(|request| request.namespace == ours).values().sum::<u64>()
    };
    let (mut guards, before) = (Vec::new(), count(bench));
    let (mut locked, mut created) = (Duration::ZERO, Duration::ZERO);
    for first in (0..LOCKS).step_by(BATCH) {
        let batch = first..first + BATCH;
        locked += lock(&session, batch.clone(), &mut guards).await;
        created += create(&plain, &body, batch).await;
    }
    let requests = count(bench) - before;
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    assert_eq!(held, LOCKS, "all locks are held");
    let ratio = locked.as_secs_f64() / created.as_secs_f64();
    bench.row(
        &format!("one session acquires {LOCKS} free locks, {IN_FLIGHT} requests at a time"),
        format!("{:.2} s, {requests} requests: {ratio:.2} x the floor", locked.as_secs_f64()),
        format!("{LOCKS} POSTs: {:.2} s", created.as_secs_f64()),
    );
    drop(guards);
    session.end().await.unwrap();
}

/// The body with which the session creates a lock.
async fn example(bench: &Bench, session: &Session, namespace: &str) -> Value {
    let guard = session.lock("example", LockOptions::default()).await.unwrap();
    let lease = Plain::new(bench, namespace).get("example").await;
    guard.release().await.unwrap();
    as_created(&lease, "example")
}

/// All calls of a batch are made at once: the session bounds the requests.
async fn lock(session: &Session, batch: Range<usize>, guards: &mut Vec<Guard>) -> Duration {
    let (took, locked) = timed(lock_all(session, batch)).await;
    guards.extend(locked);
    took
}

async fn create(plain: &Plain, body: &Value, batch: Range<usize>) -> Duration {
    send(batch.map(async |number| {
        let mut lease = as_created(body, &format!("lock-{number}"));
        lease["metadata"].as_object_mut().unwrap().remove("namespace");
        plain.post(&lease).await
    }))
    .await
}
