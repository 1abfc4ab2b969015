//! The time before which no other tenure may begin, in keys that sessions and handles share.

use std::time::{Duration, Instant};

use leasehold::{Error, Inspect as _, LockOptions, RecordOptions};
use tokio::time::timeout;

use super::{
    handle, secs,
    sessions::{LONG, session},
    shared, unique,
};

async fn run_briefly(sync: &dyn leasehold::Sync, length: Duration) -> Instant {
    let start = Instant::now();
    let guard = sync.lock("x", LockOptions::default().at_least(length)).await.unwrap();
    guard.release().await.unwrap();
    start
}

async fn too_early(sync: &dyn leasehold::Sync) {
    let error = sync.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(error, Error::TooEarly { .. }), "{error}");
}

async fn waited(sync: &dyn leasehold::Sync, start: Instant) -> Duration {
    let guard = timeout(LONG, sync.lock("x", LockOptions::default())).await.unwrap().unwrap();
    let waited = start.elapsed();
    guard.release().await.unwrap();
    waited
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_and_sessions_obey_one_another() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let sync = handle(cluster, &prefix).await;
    let (one, two) = (session(cluster, &prefix).await, session(cluster, &prefix).await);

    let start = run_briefly(&sync, secs(4)).await;
    too_early(&one).await;
    let after_a_handle = waited(&one, start).await;
    let start = run_briefly(&one, secs(4)).await;
    too_early(&sync).await;
    let records = sync.list_records(RecordOptions::default()).await.unwrap();
    let stated = records[0].not_before.as_ref().unwrap().length;
    // It has the reservation first, and then states its own time.
    let reserved = run_briefly(&two, secs(4)).await;
    let after_a_session = waited(&sync, start).await;

    assert_eq!(stated, secs(4));
    assert!((secs(4)..secs(20)).contains(&after_a_handle), "{after_a_handle:?}");
    assert!((secs(8)..secs(30)).contains(&after_a_session), "{after_a_session:?}");
    assert!(reserved > start);
}
