//! A crash of a process that held a thousand locks, each of which another session waits for.

use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use leasehold::{Guard, LockOptions, Session, Sync as _};
use leasehold_test_support::since;
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Bench, Counts, by_verb,
    floor::{IN_FLIGHT, Plain, all as send, untracked},
    now,
    process::play,
    sessions::{end_all, lock_all, lock_name, open, open_all},
};

const LOCKS: usize = 1000;
/// How long a session must be seen unchanged before it is taken for over.
const TTL: Duration = Duration::from_secs(15);
/// How long the waits last before the crash, and for how long all claims may join.
const WAIT: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(120);

/// One session waits for all locks; then ten sessions for a tenth of them each.
pub(crate) async fn all(bench: &mut Bench) {
    for waiters in [1, 10] {
        crash(bench, waiters).await;
    }
}

async fn crash(bench: &mut Bench, waiters: usize) {
    let namespace = bench.plane.namespace().await;
    let holder = play(bench, &namespace, &format!("session-hold {LOCKS}"));
    let sessions = open_all(bench, &namespace, waiters).await;
    let plain = Plain::new(bench, &namespace);
    let waiting = wait(&sessions, &plain).await;
    sleep(WAIT).await;
    // Dropped, it is killed with SIGKILL.
    drop(holder);
    let renewed = renewed(&plain, &sessions).await;
    let count = |bench: &Bench| bench.plane.audit_of(|request| request.namespace == namespace);
    let before = count(bench);
    let (first, waiting) = first_granted(waiting).await;
    let polls = since(&before, &count(bench));
    let granted = timeout(LIMIT, join_all(waiting)).await.expect("all are granted in time");
    let granted: Vec<_> = granted.into_iter().map(Result::unwrap).collect();
    let requests = since(&before, &count(bench));
    check(&plain, &sessions, &granted).await;
    let last = granted.iter().map(|(_, at)| *at).max().expect("there are locks");
    let floor = floor(bench).await;
    report(bench, waiters, [first - renewed, last - renewed, floor], &polls, &requests);
    drop(granted);
    end_all(&sessions).await;
}

type Wait = JoinHandle<(Guard, Instant)>;

/// Waits for all locks, the sessions in turns, and returns when all claims are in their queues.
async fn wait(sessions: &[Session], plain: &Plain) -> Vec<Wait> {
    let wait = |number: usize| {
        let session = sessions[number % sessions.len()].clone();
        tokio::spawn(async move {
            let name = lock_name(number);
            (session.lock(&name, LockOptions::default()).await.unwrap(), now())
        })
    };
    let waiting = (0..LOCKS).map(wait).collect();
    for session in sessions {
        until_joined(plain, &session.id(), LOCKS / sessions.len()).await;
    }
    waiting
}

/// Waits until a session has joined so many queues.
pub(crate) async fn until_joined(plain: &Plain, session: &str, count: usize) {
    let waits = |lease: &Value| {
        let annotations = lease["metadata"]["annotations"].as_object();
        let mut texts = annotations.into_iter().flatten().filter_map(|(_, text)| text.as_str());
        // Also the holder's session is in the queue of a lock, but it does not wait.
        lease["spec"]["holderIdentity"] != *session && texts.any(|text| text.contains(session))
    };
    let joined = async {
        loop {
            let leases = plain.list("leasehold.dev/kind=lock").await;
            if leases.iter().filter(|lease| waits(lease)).count() >= count {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    timeout(LIMIT, joined).await.expect("all claims are in their queues in time");
}

/// When the session of the holder was renewed last: that of none of these sessions.
async fn renewed(plain: &Plain, sessions: &[Session]) -> Instant {
    let found = plain.list("leasehold.dev/kind=session").await;
    let ids: Vec<_> = sessions.iter().map(Session::id).collect();
    let name = |lease: &Value| lease["metadata"]["name"].as_str().unwrap().to_owned();
    let mut others = found.iter().filter(|lease| !ids.contains(&name(lease)));
    let (Some(holder), None) = (others.next(), others.next()) else {
        panic!("there is one other session: {found:?}")
    };
    let renewed: Timestamp = holder["spec"]["renewTime"].as_str().unwrap().parse().unwrap();
    // Both are times of the same wall clock, because the holder ran on this machine.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    let ago = Timestamp::now().duration_since(renewed);
    now().checked_sub(Duration::try_from(ago).unwrap()).unwrap()
}

/// Waits for the first grant.
async fn first_granted(waiting: Vec<Wait>) -> (Instant, Vec<Wait>) {
    let (first, _, mut rest) =
        timeout(LIMIT, futures::future::select_all(waiting)).await.expect("one is granted in time");
    let first = first.unwrap();
    let at = first.1;
    rest.push(tokio::spawn(async { first }));
    (at, rest)
}

/// Panics unless each lock has one holder, a session that waited for it.
async fn check(plain: &Plain, sessions: &[Session], granted: &[(Guard, Instant)]) {
    let held = granted.iter().filter(|(guard, _)| guard.is_held()).count();
    assert_eq!(held, LOCKS, "all waits are granted");
    let ids: Vec<_> = sessions.iter().map(Session::id).collect();
    let leases = plain.list("leasehold.dev/kind=lock").await;
    let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    let theirs = leases.iter().filter(|lease| ids.contains(&holder(lease))).count();
    assert_eq!((theirs, leases.len()), (LOCKS, LOCKS), "one of the waiters holds each lock");
}

/// The time of two requests for each lock, a read and a write.
async fn floor(bench: &Bench) -> Duration {
    let namespace = bench.plane.namespace().await;
    let plain = Plain::new(bench, &namespace);
    let session = open(bench, &namespace).await;
    let _guards = lock_all(&session, 0..LOCKS).await;
    let time = send((0..LOCKS).map(async |number| {
        let lease = plain.get(&lock_name(number)).await;
        plain.put(&untracked(lease)).await
    }))
    .await;
    session.end().await.unwrap();
    time
}

fn report(
    bench: &mut Bench,
    waiters: usize,
    [first, last, floor]: [Duration; 3],
    polls: &Counts,
    requests: &Counts,
) {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = |counts: &Counts| counts.values().sum::<u64>() as f64 / LOCKS as f64;
    let aim = TTL * 4 / 3 + floor;
    bench.row(
        &format!(
            "a process with {LOCKS} locks is killed, for which {waiters} sessions wait: from its last heartbeat to the \
             first and the last grant"
        ),
        format!("{:.2} s, {:.2} s", first.as_secs_f64(), last.as_secs_f64()),
        format!(
            "4/3 of the time to live and {} requests, {IN_FLIGHT} at a time ({:.2} s): {:.2} s",
            2 * LOCKS,
            floor.as_secs_f64(),
            aim.as_secs_f64()
        ),
    );
    let after = since(polls, requests);
    bench.row(
        &format!("{LOCKS} locks, {waiters} sessions: requests for each lock from the crash to the last grant"),
        format!("{:.2}: {}", each(requests), by_verb(requests)),
        format!(
            "until the first grant {:.2}: {}; after it {:.2}: {}",
            each(polls),
            by_verb(polls),
            each(&after),
            by_verb(&after)
        ),
    );
}
