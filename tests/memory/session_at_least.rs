//! `LockOptions::at_least` through sessions, and together with handles that have none.

use std::time::Duration;

use futures::FutureExt as _;
use leasehold::{Error, LockOptions, Memory, Session, SessionOptions, Sync as _};
use tokio::time::sleep;

use crate::{now, pair, secs, within};

/// Ten minutes between two starts.
fn spaced() -> LockOptions {
    LockOptions::default().at_least(secs(600))
}

async fn session(sync: &Memory) -> Session {
    sync.session(SessionOptions::default()).await.expect("a session")
}

/// Acquires the lock `x` with a time between two starts, and releases it after half a second.
async fn run_briefly<S: leasehold::Sync>(sync: &S) {
    let guard = sync.lock("x", spaced()).await.expect("`x` is free");
    sleep(secs(1) / 2).await;
    guard.release().await.expect("released");
}

/// The time since `start`, once a wait for `x` has succeeded.
async fn waited<S: leasehold::Sync>(sync: &S, start: tokio::time::Instant) -> Duration {
    let guard = within(secs(700), sync.lock("x", LockOptions::default())).await.expect("acquired");
    let waited = now() - start;
    guard.release().await.expect("released");
    waited
}

#[tokio::test(start_paused = true)]
async fn sessions_that_start_a_short_job_a_second_apart_run_it_once() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    let before = a.request_count();
    run_briefly(&one).await;
    assert_eq!(a.request_count() - before, 3, "as without a time, of a record that is unknown");
    sleep(secs(1) / 2).await;

    let early = two.lock("x", spaced().try_once()).await.unwrap_err();

    let Error::TooEarly { name, holder, remaining, .. } = early else { panic!("{early}") };
    assert_eq!((&*name, &*holder), ("x", "a"));
    assert!(secs(598) < remaining && remaining < secs(600), "{remaining:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_session_begins_when_the_time_has_passed() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    let start = now();
    let guard = one.lock("x", spaced()).await.unwrap();
    let next = tokio::spawn(async move { waited(&two, start).await });
    sleep(secs(30)).await;
    guard.release().await.unwrap();

    let waited = next.await.unwrap();

    assert!((secs(600)..secs(601)).contains(&waited), "{waited:?}");
    let open = one.lock("x", LockOptions::default().try_once()).await;
    assert!(open.is_ok(), "a holder without the option states no time");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_knows_the_lock_from_before_obeys_a_handle() {
    for options in [LockOptions::default(), spaced()] {
        let (a, b) = pair();
        let one = session(&b).await;
        run_briefly(&one).await;
        sleep(secs(601)).await;

        // The session knows the free lock, and learns nothing of this tenure.
        run_briefly(&a).await;

        let early = one.lock("x", options.try_once()).await.unwrap_err();
        assert!(matches!(early, Error::TooEarly { .. }), "{early}");
        let start = now();
        assert!(waited(&one, start).await > secs(590));
    }
}

#[tokio::test(start_paused = true)]
async fn handles_and_sessions_obey_one_another() {
    let (a, b) = pair();
    let two = session(&b).await;
    let start = now();
    run_briefly(&a).await;
    let early = two.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(early, Error::TooEarly { .. }), "{early}");
    let after_a_handle = waited(&two, start).await;

    let start = now();
    run_briefly(&two).await;
    let early = a.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(early, Error::TooEarly { .. }), "{early}");
    let after_a_session = waited(&a, start).await;

    for waited in [after_a_handle, after_a_session] {
        assert!((secs(600)..secs(602)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_while_the_lock_is_closed_says_so_and_the_next_one_is_served() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    let start = now();
    run_briefly(&one).await;

    // It has the reservation.
    let short = two.lock("x", LockOptions::default().wait(secs(30))).await.unwrap_err();

    assert!((secs(30)..secs(32)).contains(&(now() - start)));
    assert!(matches!(&short, Error::TooEarly { holder, .. } if holder == "a"), "{short}");
    assert!(waited(&one, start).await >= secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_crashed_holder_and_a_crashed_reservation_are_covered() {
    let (a, b) = pair();
    let c = a.another(leasehold::Options::default()).unwrap();
    let three = session(&c).await;
    let start = now();
    let guard = session(&a).await.lock("x", spaced()).await.unwrap();
    a.disturb(Some(leasehold::Fault::LoseRequest));
    let two = session(&b).await;
    let reserved = tokio::spawn(async move { two.lock("x", LockOptions::default()).await });
    sleep(secs(60)).await;
    assert!(!guard.is_held());
    b.disturb(Some(leasehold::Fault::LoseRequest));

    let waited = waited(&three, start).await;

    assert!((secs(600)..secs(601)).contains(&waited), "{waited:?}");
    reserved.abort();
}

#[tokio::test(start_paused = true)]
async fn a_tenure_that_was_reserved_states_its_own_time() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    run_briefly(&one).await;
    let guard = within(secs(601), two.lock("x", spaced())).await.unwrap();
    let start = now();
    // It crashes right after its start.
    b.disturb(Some(leasehold::Fault::LoseRequest));

    let waited = waited(&one, start).await;

    assert!((secs(599)..secs(601)).contains(&waited), "{waited:?}");
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_over_reservations() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    let mut tokens = Vec::new();

    for sync in [&one as &dyn leasehold::Sync, &a, &two, &one] {
        let guard = within(secs(700), sync.lock("x", spaced())).await.unwrap();
        tokens.push(guard.token());
        guard.release().await.unwrap();
    }

    assert!(tokens.is_sorted_by(|one, two| one < two), "{tokens:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_it_has_its_guard_closes_nothing() {
    let (a, b) = pair();
    let one = session(&a).await;
    let mut pending = Box::pin(one.lock("x", spaced()));
    assert!(pending.as_mut().now_or_never().is_none());
    // The session has the lock and has sent the guard.
    sleep(secs(1)).await;
    let held = b.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(held, Error::Held { .. }), "{held}");

    drop(pending);

    let next = within(secs(2), b.lock("x", LockOptions::default())).await;
    assert!(next.is_ok(), "the lock is free");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_queues_again_waits_and_states_the_time_again() {
    let a = Memory::default();
    let one = session(&a).await;
    let start = now();
    let guard = one.lock("x", spaced()).await.unwrap();

    let guard = within(secs(700), guard.release_and_queue()).await.unwrap();
    guard.release().await.unwrap();

    assert!((secs(600)..secs(601)).contains(&(now() - start)));
    let early = one.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(early, Error::TooEarly { .. }), "{early}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_whose_session_is_lost_keeps_its_time() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    let start = now();
    run_briefly(&one).await;
    let id = two.id();
    let waiting = {
        let two = two.clone();
        tokio::spawn(async move { two.lock("x", spaced()).await })
    };
    sleep(secs(60)).await;
    assert!(b.delete_session(&id));

    let guard = within(secs(700), waiting).await.unwrap().unwrap();

    assert!(now() - start >= secs(600) && two.id() != id);
    guard.release().await.unwrap();
    let early = one.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(early, Error::TooEarly { .. }), "{early}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_opens_a_reserved_lock() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    run_briefly(&one).await;
    let waiter = tokio::spawn(async move { two.lock("x", LockOptions::default()).await });
    sleep(secs(60)).await;

    assert!(a.delete_record("x"));

    assert!(within(secs(5), waiter).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_kept_lock_and_all_locks_of_one_call_state_their_times() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    one.lock("x", spaced()).await.unwrap().keep();
    one.unlock("x").await.unwrap();
    let guards = one.lock_all(["y", "z"], spaced()).await.unwrap();
    drop(guards);
    one.close().await.unwrap();

    for name in ["x", "y", "z"] {
        let early = two.lock(name, LockOptions::default().try_once()).await.unwrap_err();
        assert!(matches!(early, Error::TooEarly { .. }), "{name}: {early}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_exclusive_lock_has_such_a_time_and_all_obey_it() {
    let a = Memory::default();
    let one = session(&a).await;
    let before = a.request_count();
    for options in [spaced().shared(), spaced().slots(2), LockOptions::default().at_least(secs(0))]
    {
        let error = one.lock("x", options).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    assert_eq!(a.request_count(), before);
    run_briefly(&one).await;

    for options in [LockOptions::default().shared(), LockOptions::default().slots(2)] {
        let early = one.lock("x", options.try_once()).await.unwrap_err();
        assert!(matches!(early, Error::TooEarly { .. }), "{early}");
    }
    let start = now();
    let both =
        futures::future::join_all((0..2).map(|_| one.lock("x", LockOptions::default().shared())));
    let both = within(secs(700), both).await;
    assert!(both.iter().all(Result::is_ok) && now() - start >= secs(599));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_time_costs_few_requests() {
    let (a, b) = pair();
    let (one, two) = (session(&a).await, session(&b).await);
    run_briefly(&one).await;
    let idle = b.request_count();
    sleep(secs(500)).await;
    let heartbeats = b.request_count() - idle;

    let before = b.request_count();
    let short = two.lock("x", spaced().wait(secs(90))).await.unwrap_err();

    assert!(matches!(short, Error::TooEarly { .. }), "{short}");
    let sent = b.request_count() - before;
    assert!(sent <= heartbeats / 5 + 5, "{sent} of {heartbeats}");
}
