//! How tenures end: by partition, crash, deletion, panic, and with their handle or runtime.

use std::{sync::Arc, thread};

use futures::StreamExt as _;
use leasehold::{
    Error, Fault, LeaderOptions, LockOptions, Loss, Memory, Options, Sync as _, TenureState,
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
async fn a_partitioned_holder_is_in_doubt_then_lost_before_the_next_one_holds() {
    let (a, b) = pair();
    let first = hold(&a).await;
    let next = tokio::spawn(async move { (hold(&b).await, now()) });
    let mut states = first.states();
    assert_eq!(states.next().await, Some(TenureState::Held));

    a.disturb(Some(Fault::LoseRequest));

    assert_eq!(soon(states.next()).await, Some(TenureState::InDoubt));
    assert!(first.is_held(), "in doubt is held");
    assert_eq!(soon(states.next()).await, Some(TenureState::Lost(Loss::Expired)));
    assert_eq!(soon(states.next()).await, None);
    let lost = now();
    assert!(matches!(first.check(), Err(Error::Lost { why: Loss::Expired, .. })));
    let (second, taken) = soon(next).await.unwrap();
    assert!(taken > lost && second.token() > first.token());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_after_doubt_holds_again() {
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
async fn a_tenure_goes_on_for_days_whatever_the_wall_clock_says() {
    let (a, b) = pair();
    let guard = hold(&a).await;

    sleep(secs(2 * 86_400)).await;

    assert_eq!(guard.state(), TenureState::Held);
    b.lock("x", LockOptions::default().try_once()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_paused_process_sees_at_once_that_it_lost() {
    let (a, _b) = pair();
    let guard = hold(&a).await;

    tokio::time::advance(secs(14)).await;

    assert_eq!(guard.state(), TenureState::Lost(Loss::Expired));
    sleep(secs(60)).await;
    assert!(!guard.is_held(), "once lost it stays lost, though the record was renewed late");
}

#[test]
fn a_crashed_holder_has_lost_and_the_next_one_waits_its_time_to_live() {
    let (a, b) = pair();
    let crashed = paused();
    let guard = crashed.block_on(hold(&a));

    drop(crashed);

    assert_eq!(guard.state(), TenureState::Lost(Loss::Abandoned));
    paused().block_on(async {
        let began = now();
        let next = soon(hold(&b)).await;
        assert!(now() - began >= secs(15), "it could not know that the holder was dead");
        assert!(next.token() > guard.token());
    });
}

#[test]
fn a_handle_can_be_used_on_after_its_runtime_has_gone() {
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
fn a_runtime_that_shuts_down_during_a_release_leaves_nothing_beyond_the_time_to_live() {
    let (a, b) = pair();
    let first = paused();
    let guard = first.block_on(hold(&a));
    let release = guard.release();
    first.shutdown_background();

    paused().block_on(async {
        assert!(matches!(release.await, Err(Error::Closed { .. })), "nobody was told");
        drop(soon(hold(&b)).await);
    });
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_is_lost_and_a_waiter_waits_its_time_to_live() {
    let (a, b) = pair();
    let guard = hold(&a).await;
    let next = tokio::spawn(async move { (hold(&b).await, now()) });
    sleep(secs(1)).await;

    assert!(a.delete_record("x"));
    let deleted = now();

    assert_eq!(soon(guard.lost()).await, Loss::Deleted);
    assert!(now() - deleted <= secs(5), "the next renewal tells");
    let (next, taken) = soon(next).await.unwrap();
    assert!(taken - deleted >= secs(15), "after {:?}", taken - deleted);
    assert!(next.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn releasing_what_was_lost_is_no_error() {
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
async fn a_kept_lock_goes_with_its_handle() {
    let (a, b) = pair();
    let tenure = hold(&a).await.keep();
    sleep(secs(60)).await;
    assert!(tenure.is_held());

    drop(a);

    assert_eq!(soon(tenure.lost()).await, Loss::Released);
    let began = now();
    drop(soon(hold(&b)).await);
    assert!(now() - began < secs(1), "it was released, not left to lapse");
}

#[tokio::test(start_paused = true)]
async fn a_lock_kept_after_its_handle_has_gone_is_released() {
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
async fn a_panic_in_the_guarded_work_releases() {
    let (a, b) = pair();
    let work = tokio::spawn(async move {
        let _guard = hold(&a).await;
        assert!(a.options().prefix.len() > 1, "the work fails");
        a
    });
    work.await.unwrap_err();

    let began = now();
    drop(soon(hold(&b)).await);

    assert!(now() - began < secs(1), "it was released, not left to lapse");
}

#[test]
fn a_blocked_executor_does_not_keep_a_guard_alive() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (a, b) = pair();
    let options = LockOptions::default().ttl(secs(1));
    let guard = runtime.block_on(a.lock("x", options)).unwrap();

    // The only thread of the runtime: nothing renews, nothing wakes.
    thread::sleep(secs(1));

    assert!(!guard.is_held());
    let next = runtime.block_on(b.lock("x", options)).unwrap();
    assert!(!guard.is_held() && next.token() > guard.token());
}

#[tokio::test(start_paused = true)]
async fn two_handles_of_one_identity_exclude_each_other() {
    let a = Memory::new(Options::default().identity("twin")).unwrap();
    let b = Arc::new(a.another(Options::default().identity("twin")).unwrap());
    let guard = hold(&a).await;

    let busy = b.lock("x", LockOptions::default().wait(secs(60))).await;

    assert!(matches!(busy, Err(Error::Timeout { .. })), "{busy:?}");
    assert!(matches!(b.unlock("x").await, Err(Error::NotHeld { .. })));
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn to_release_what_has_been_given_back_is_no_error() {
    let a = Memory::default();

    let guard = a.lock("orders", LockOptions::default()).await.unwrap();
    a.unlock("orders").await.unwrap();
    guard.release().await.unwrap();

    let leader = a.leader("billing", LeaderOptions::default()).await.unwrap();
    let guard = leader.elected().await.unwrap();
    leader.resign().await.unwrap();
    guard.release().await.unwrap();
}
