//! The time before which no other tenure may begin, in Leases that sessions and handles share.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use leasehold::{
    Error, Inspect as _, Kubernetes, LockOptions, Options, PruneOptions, RecordOptions, Session,
    SessionOptions, Sync as _,
};
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

use super::Place;
use crate::ADMIN;

const NOT_BEFORE: &str = "leasehold.dev/not-before";
const ROLE: &str = "LEASEHOLD_TEST_SPACED_HOLDER";
/// Short, so that tests do not wait long for an expiry.
const TTL: Duration = Duration::from_secs(3);
/// A limit for events that are expected soon, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn session_of(handle: &Kubernetes) -> Session {
    handle.session(SessionOptions::default().ttl(TTL)).await.unwrap()
}

async fn run_briefly(sync: &dyn leasehold::Sync, length: Duration) -> Timestamp {
    let start = Timestamp::now();
    let guard = sync.lock("orders", LockOptions::default().at_least(length)).await.unwrap();
    guard.release().await.unwrap();
    start
}

async fn too_early(sync: &dyn leasehold::Sync) {
    let error = sync.lock("orders", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(error, Error::TooEarly { .. }), "{error}");
}

/// The time since `start`, once a wait has succeeded.
async fn waited(sync: &dyn leasehold::Sync, start: Timestamp) -> Duration {
    let guard = timeout(LONG, sync.lock("orders", LockOptions::default())).await.unwrap().unwrap();
    let waited = Timestamp::now().duration_since(start);
    guard.release().await.unwrap();
    Duration::try_from(waited).unwrap()
}

fn wait(session: &Session, start: Timestamp) -> JoinHandle<Duration> {
    let session = session.clone();
    tokio::spawn(async move { waited(&session, start).await })
}

fn holder_of(lease: Lease) -> String {
    lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
}

impl Place {
    async fn spaced_session(&self) -> Session {
        session_of(&self.handle()).await
    }

    /// The annotation of the Lease.
    async fn stated(&self) -> Option<Value> {
        let lease = self.leases().get("orders").await.unwrap();
        let text = lease.metadata.annotations?.remove(NOT_BEFORE)?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Removes the annotation, as an operator may do.
    async fn remove_time(&self) {
        self.edit("orders", |lease| {
            lease.metadata.annotations.as_mut().unwrap().remove(NOT_BEFORE).unwrap();
        })
        .await;
    }

    async fn until_held(&self) {
        self.until("a holder", |lease| !holder_of(lease).is_empty()).await;
    }
}

#[tokio::test]
async fn handles_and_sessions_obey_one_another() {
    let place = Place::new().await;
    let (handle, session) = (place.handle(), place.spaced_session().await);

    let start = run_briefly(&handle, secs(6)).await;
    too_early(&session).await;
    let after_a_handle = waited(&session, start).await;
    let removed = place.stated().await;
    let start = run_briefly(&session, secs(6)).await;
    too_early(&handle).await;
    let after_a_session = waited(&handle, start).await;

    assert_eq!(removed, None, "the next holder states no time");
    for waited in [after_a_handle, after_a_session] {
        assert!((secs(6)..secs(20)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test]
async fn a_session_that_knows_the_lock_from_before_obeys_a_handle() {
    let place = Place::new().await;
    let (session, handle) = (place.spaced_session().await, place.handle());
    run_briefly(&session, secs(1)).await;
    tokio::time::sleep(secs(1)).await;

    // The session knows the free lock, and learns nothing of this tenure.
    run_briefly(&handle, secs(3600)).await;

    for options in [LockOptions::default(), LockOptions::default().at_least(secs(1))] {
        let early = session.lock("orders", options.try_once()).await.unwrap_err();
        assert!(matches!(early, Error::TooEarly { .. }), "{early}");
    }
    assert_eq!(place.stated().await.unwrap()["length"], "1h");
}

#[tokio::test]
async fn a_closed_lock_is_handed_over_and_begins_at_its_time() {
    let place = Place::new().await;
    let (one, two) = (place.spaced_session().await, place.spaced_session().await);
    let start = Timestamp::now();
    let guard = one.lock("orders", LockOptions::default().at_least(secs(6))).await.unwrap();
    let next = wait(&two, start);
    place
        .until("a waiter", |lease| {
            let annotations = lease.metadata.annotations.unwrap_or_default();
            annotations.keys().any(|key| key.starts_with("queue.leasehold.dev/"))
                || annotations["leasehold.dev/queue"].contains(&*two.id())
        })
        .await;
    guard.release().await.unwrap();
    let (stated, lease) = (place.stated().await, place.leases().get("orders").await.unwrap());

    let waited = next.await.unwrap();

    assert!((secs(6)..secs(20)).contains(&waited), "{waited:?}");
    assert_eq!(stated.unwrap()["length"], "6s");
    assert_eq!(holder_of(lease), two.id(), "a reservation names its session");
    assert_eq!(place.stated().await, None);
}

#[tokio::test]
async fn an_annotation_that_an_operator_removes_opens_the_lock() {
    let place = Place::new().await;
    let (one, two) = (place.spaced_session().await, place.spaced_session().await);
    run_briefly(&one, secs(3600)).await;
    let next = wait(&two, Timestamp::now());
    place.until_held().await;

    place.remove_time().await;

    assert!(next.await.unwrap() < LONG);
}

#[tokio::test]
async fn a_write_that_removes_a_time_succeeds_if_it_was_removed_before() {
    let place = Place::new().await;
    let session = place.spaced_session().await;
    // The time is over at once, and the next write would remove it.
    let start = run_briefly(&session, Duration::from_millis(1)).await;
    place.remove_time().await;
    let before = place.requests();

    waited(&session, start).await;

    let after = place.requests();
    let sent = |verb: &str| after.get(verb).unwrap_or(&0) - before.get(verb).unwrap_or(&0);
    assert_eq!((sent("patch"), sent("get")), (2, 0), "{before:?} {after:?}");
}

#[tokio::test]
async fn a_reservation_keeps_the_record_and_is_shown_with_its_time() {
    let place = Place::new().await;
    let (sync, two) = (place.handle(), place.spaced_session().await);
    let one = session_of(&sync).await;
    let start = run_briefly(&one, secs(3600)).await;
    let all = PruneOptions::default().older_than(Duration::ZERO);
    let free = sync.list_records(RecordOptions::default()).await.unwrap();
    let kept = sync.prune(all).await.unwrap();
    let next = wait(&two, start);
    place.until_held().await;

    let reserved = sync.list_records(RecordOptions::default()).await.unwrap();
    let forced = sync.force_release(&reserved[0]).await.unwrap();

    assert!(kept.is_empty(), "{kept:?}");
    for record in [&free[0], &reserved[0]] {
        assert_eq!(record.not_before.as_ref().unwrap().length, secs(3600));
    }
    assert_eq!(reserved[0].holder.as_deref(), Some(&*two.id()));
    assert!(forced && next.await.unwrap() < LONG, "an operator opens a reserved lock too");
}

/// Not a test: the holder, which the test below starts as a separate process.
#[tokio::test]
async fn holder() {
    let Ok(namespace) = std::env::var(ROLE) else { return };
    let sync = Kubernetes::connect(Options::default().namespace(namespace)).await.unwrap();
    let session = session_of(&sync).await;
    let options = LockOptions::default().at_least(secs(10));
    let guard = session.lock("orders", options).await.unwrap();
    println!("\nholder: held {}", guard.token());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_time_of_a_killed_process_counts_for_sessions_and_handles() {
    for queued in [true, false] {
        let place = Place::new().await;
        let start = Timestamp::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "session_at_least::holder", "--nocapture"])
            .env(ROLE, &place.namespace)
            .env("KUBECONFIG", place.plane.kubeconfig(ADMIN))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let held = lines.map_while(Result::ok).any(|line| line.starts_with("holder: held "));
        assert!(held, "the holder process ended");

        child.kill().unwrap();
        child.wait().unwrap();
        // A handle waits until a session has passed the dead one over.
        let session = place.spaced_session().await;
        let waited = if queued {
            waited(&session, start).await
        } else {
            let reservation = wait(&session, start);
            place.until("a reservation", |lease| holder_of(lease) == session.id()).await;
            reservation.abort();
            place.until("a free lock", |lease| holder_of(lease).is_empty()).await;
            waited(&place.handle(), start).await
        };

        assert!((secs(10)..secs(30)).contains(&waited), "{waited:?}");
    }
}
