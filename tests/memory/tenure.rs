//! How tenures end: partition, crash, deletion, panic, and the end of their handle or runtime.

use std::{sync::Arc, thread};

use futures::StreamExt as _;
use leasehold::{
    Error, Fault, LeaderOptions, LockOptions, Loss, Memory, Options, SessionOptions, Sync as _,
    TenureState,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

use crate::{hold, now, pair, secs, soon};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_holder_is_in_doubt_and_has_lost_before_another_handle_acquires() {
    let (a, b) = pair();
    let first = hold(&a).await;
    let next = tokio::spawn(async move { (hold(&b).await, now()) });
    let mut states = first.states();
    assert_eq!(states.next().await, Some(TenureState::Held));

    a.disturb(Some(Fault::LoseRequest));

    assert_eq!(soon(states.next()).await, Some(TenureState::InDoubt));
    assert!(first.is_held(), "a tenure in doubt is still held");
    assert_eq!(soon(states.next()).await, Some(TenureState::Lost(Loss::Expired)));
    assert_eq!(soon(states.next()).await, None);
    let lost = now();
    assert!(matches!(first.check(), Err(Error::Lost { why: Loss::Expired, .. })));
    let (second, taken) = soon(next).await.unwrap();
    assert!(taken > lost && second.token() > first.token());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_ends_doubt() {
    let (a, _b) = pair();
    let guard = hold(&a).await;
    let mut states = guard.states();
    states.next().await;
    a.disturb(Some(Fault::LoseRequest));
    assert_eq!(soon(states.next()).await, Some(TenureState::InDoubt));

    a.disturb(None);

    assert_eq!(soon(states.next()).await, Some(TenureState::Held));
}

#[tokio::test(start_paused = true)]
async fn a_tenure_can_last_for_days() {
    let (a, b) = pair();
    let guard = hold(&a).await;

    sleep(secs(2 * 86_400)).await;

    assert_eq!(guard.state(), TenureState::Held);
    b.lock("x", LockOptions::default().try_once()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_paused_sees_its_loss_at_once() {
    let (a, _b) = pair();
    let guard = hold(&a).await;

    tokio::time::advance(secs(14)).await;

    assert_eq!(guard.state(), TenureState::Lost(Loss::Expired));
    sleep(secs(60)).await;
    assert!(!guard.is_held(), "a lost tenure stays lost although a late renewal was stored");
}

#[test]
fn after_a_crash_the_next_holder_waits_a_full_ttl() {
    let (a, b) = pair();
    let crashed = paused();
    let guard = crashed.block_on(hold(&a));

    drop(crashed);

    assert_eq!(guard.state(), TenureState::Lost(Loss::Abandoned));
    paused().block_on(async {
        let began = now();
        let next = soon(hold(&b)).await;
        assert!(
            now() - began >= secs(15),
            "a waiter cannot know that the holder crashed, so it waits a full TTL"
        );
        assert!(next.token() > guard.token());
    });
}

/// Each night one process starts, sees the record for the first time, and ends.
#[test]
fn after_a_crash_a_first_try_fails_and_a_wait_of_two_ttls_gets_the_lock() {
    let (a, _b) = pair();
    let crashed = paused();
    let guard = crashed.block_on(hold(&a));

    drop(crashed);

    paused().block_on(async {
        for _night in 0..3 {
            sleep(secs(86_400)).await;
            let host = a.another(Options::default()).unwrap();
            let tried = soon(host.lock("x", LockOptions::default().try_once())).await;
            assert!(matches!(tried, Err(Error::Held { .. })), "{tried:?}");
        }
        let host = a.another(Options::default()).unwrap();
        let waited = soon(host.lock("x", LockOptions::default().wait(secs(30)))).await;
        assert!(waited.is_ok_and(|next| next.token() > guard.token()));
    });
}

#[test]
fn a_handle_works_in_a_new_runtime_after_its_first_one_has_ended() {
    let (a, b) = pair();
    let first = paused();
    let guard = first.block_on(async {
        let guard = hold(&a).await;
        let other = b.leader("e", LeaderOptions::default()).await.unwrap();
        let _leader = a.leader("e", LeaderOptions::default()).await.unwrap();
        std::mem::forget(other);
        guard
    });
    drop(first);

    paused().block_on(async {
        let again = soon(hold(&a)).await;
        assert!(again.token() > guard.token());
        let leader = soon(a.leader("e", LeaderOptions::default())).await.unwrap();
        drop(soon(leader.elected()).await.unwrap());
    });
}

#[test]
fn a_lock_whose_release_was_cut_short_by_a_runtime_shutdown_expires() {
    let (a, b) = pair();
    let first = paused();
    let guard = first.block_on(hold(&a));
    let release = guard.release();
    first.shutdown_background();

    paused().block_on(async {
        assert!(
            matches!(release.await, Err(Error::Closed { .. })),
            "no task was left to send the release"
        );
        drop(soon(hold(&b)).await);
    });
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_the_tenure_and_a_waiter_waits_a_full_ttl() {
    let (a, b) = pair();
    let guard = hold(&a).await;
    let next = tokio::spawn(async move { (hold(&b).await, now()) });
    sleep(secs(1)).await;

    assert!(a.delete_record("x"));
    let deleted = now();

    assert_eq!(soon(guard.lost()).await, Loss::Deleted);
    assert!(now() - deleted <= secs(5), "the next renewal finds the deletion");
    let (next, taken) = soon(next).await.unwrap();
    assert!(taken - deleted >= secs(15), "after {:?}", taken - deleted);
    assert!(next.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn releasing_a_lost_lock_is_no_error() {
    let (a, _b) = pair();
    for wait in [0, 120] {
        let guard = hold(&a).await;
        a.delete_record("x");
        soon(guard.lost()).await;
        sleep(secs(wait)).await;
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn releasing_a_lost_lock_is_no_error_without_a_connection() {
    for session in [false, true] {
        let (a, _b) = pair();
        let one = a.session(SessionOptions::default()).await.unwrap();
        let guard = if session {
            one.lock("x", LockOptions::default()).await.unwrap()
        } else {
            hold(&a).await
        };
        a.disturb(Some(Fault::LoseRequest));
        soon(guard.lost()).await;
        soon(guard.release()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_handle_releases_its_kept_locks() {
    let (a, b) = pair();
    let tenure = hold(&a).await.keep();
    sleep(secs(60)).await;
    assert!(tenure.is_held());

    drop(a);

    assert_eq!(soon(tenure.lost()).await, Loss::Released);
    let began = now();
    drop(soon(hold(&b)).await);
    assert!(now() - began < secs(1), "the lock was released and did not have to expire");
}

#[tokio::test(start_paused = true)]
async fn keep_releases_the_lock_if_the_handle_was_dropped_before() {
    let (a, b) = pair();
    let guard = hold(&a).await;
    drop(a);
    sleep(secs(60)).await;
    assert!(guard.is_held(), "a guard outlives its handle");

    let tenure = guard.keep();

    assert_eq!(soon(tenure.lost()).await, Loss::Released);
    drop(soon(hold(&b)).await);
}

#[tokio::test(start_paused = true)]
async fn a_panic_releases_the_lock() {
    let (a, b) = pair();
    let work = tokio::spawn(async move {
        let _guard = hold(&a).await;
        assert!(a.options().prefix.len() > 1, "the work fails");
        a
    });
    work.await.unwrap_err();

    let began = now();
    drop(soon(hold(&b)).await);

    assert!(now() - began < secs(1), "the lock was released and did not have to expire");
}

#[test]
fn a_guard_expires_although_its_executor_is_blocked() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (a, b) = pair();
    let options = LockOptions::default().ttl(secs(1));
    let guard = runtime.block_on(a.lock("x", options)).unwrap();

    // This is the only thread of the runtime: no renewal and no timer runs.
    thread::sleep(secs(1));

    assert!(!guard.is_held());
    let next = runtime.block_on(b.lock("x", options)).unwrap();
    assert!(!guard.is_held() && next.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn two_handles_with_the_same_identity_exclude_each_other() {
    let a = Memory::new(Options::default().identity("twin")).unwrap();
    let b = Arc::new(a.another(Options::default().identity("twin")).unwrap());
    let guard = hold(&a).await;

    let busy = b.lock("x", LockOptions::default().wait(secs(60))).await;

    assert!(matches!(busy, Err(Error::Timeout { .. })), "{busy:?}");
    assert!(matches!(b.unlock("x").await, Err(Error::NotHeld { .. })));
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn releasing_a_guard_after_unlock_or_resign_is_no_error() {
    let a = Memory::default();

    let guard = a.lock("orders", LockOptions::default()).await.unwrap();
    a.unlock("orders").await.unwrap();
    guard.release().await.unwrap();

    let leader = a.leader("billing", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    leader.resign().await.unwrap();
    guard.release().await.unwrap();
}
