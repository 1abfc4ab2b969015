//! `LockOptions::at_least`: no other tenure begins for a time, also after the first one has ended.

use std::{sync::Arc, time::SystemTime};

use futures::FutureExt as _;
use leasehold::{Error, Fault, LockOptions, Memory, Options, Sync as _};
use tokio::time::sleep;

use crate::{now, pair, secs, within};

/// Ten minutes between two starts.
fn spaced() -> LockOptions {
    LockOptions::default().at_least(secs(600))
}

/// Acquires the lock `x` with a time between two starts, and releases it after half a second.
async fn run_briefly(sync: &Memory) {
    let guard = sync.lock("x", spaced()).await.expect("`x` is free");
    sleep(secs(1) / 2).await;
    guard.release().await.expect("released");
}

#[tokio::test(start_paused = true)]
async fn three_hosts_that_start_a_short_job_a_second_apart_run_it_once() {
    let (a, b) = pair();
    let c = a.another(Options::default()).unwrap();
    let mut runs = 0;

    for host in [&a, &b, &c] {
        match host.lock("x", spaced().try_once()).await {
            Ok(guard) => {
                runs += 1;
                sleep(secs(1) / 2).await;
                guard.release().await.unwrap();
            }
            Err(Error::TooEarly { name, holder, remaining, not_before, .. }) => {
                assert_eq!((&*name, &*holder), ("x", "a"));
                assert!(secs(590) < remaining && remaining < secs(600), "{remaining:?}");
                assert!(not_before > SystemTime::UNIX_EPOCH);
            }
            Err(other) => panic!("{other}"),
        }
        sleep(secs(6) / 5).await;
    }

    assert_eq!(runs, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_the_lock_when_the_time_has_passed() {
    let (a, b) = pair();
    let start = now();
    run_briefly(&a).await;

    let guard = within(secs(601), b.lock("x", LockOptions::default())).await.unwrap();

    assert!(now() - start >= secs(600), "{:?}", now() - start);
    guard.release().await.unwrap();
    let next = b.lock("x", LockOptions::default().try_once()).await;
    assert!(next.is_ok(), "a holder without the option states no time");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_wait_ends_with_the_time_and_the_identity_that_stated_it() {
    let (a, b) = pair();
    run_briefly(&a).await;

    let start = now();
    let error = b.lock("x", LockOptions::default().wait(secs(30))).await.unwrap_err();

    assert!((secs(30)..secs(31)).contains(&(now() - start)));
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(text.contains("`x`") && text.contains("`a`") && text.contains("569."), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_reported_as_held_and_a_crashed_holder_is_covered() {
    let (a, b) = pair();
    let start = now();
    let guard = a.lock("x", spaced()).await.unwrap();
    let held = b.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(held, Error::Held { .. }), "{held}");

    // The holder vanishes: it neither renews nor releases.
    a.disturb(Some(Fault::LoseRequest));
    let early = b.lock("x", LockOptions::default().wait(secs(60))).await.unwrap_err();
    let next = within(secs(600), b.lock("x", LockOptions::default())).await;

    assert!(matches!(early, Error::TooEarly { .. }), "{early}");
    assert!(now() - start >= secs(600) && next.is_ok());
    assert!(!guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn tasks_of_the_same_handle_wait_too() {
    let a = Memory::default();
    let start = now();
    let guard = a.lock("x", spaced()).await.unwrap();
    let next = tokio::spawn({
        let a = a.clone();
        async move { (a.lock("x", LockOptions::default()).await.unwrap(), now()) }
    });
    sleep(secs(1)).await;

    guard.release().await.unwrap();

    let once = a.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(once, Error::TooEarly { .. }), "{once}");
    let (_next, begun) = within(secs(601), next).await.unwrap();
    assert!(begun - start >= secs(600), "{:?}", begun - start);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_it_has_its_guard_closes_nothing() {
    let (a, b) = pair();
    let mut pending = Box::pin(a.lock("x", spaced()));
    assert!(pending.as_mut().now_or_never().is_none());
    // The contender has the lock and has sent the guard.
    sleep(secs(1)).await;
    let held = b.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    assert!(matches!(held, Error::Held { .. }), "{held}");

    drop(pending);

    let next = within(secs(1), b.lock("x", LockOptions::default())).await;
    assert!(next.is_ok(), "the lock is free");
}

#[tokio::test(start_paused = true)]
async fn a_wait_by_many_tasks_costs_few_requests() {
    let (a, b) = pair();
    run_briefly(&a).await;
    let b = Arc::new(b);
    let before = b.request_count();

    let waits = (0..20).map(|_| {
        let b = Arc::clone(&b);
        tokio::spawn(async move { b.lock("x", LockOptions::default().wait(secs(300))).await })
    });
    let ends = futures::future::join_all(waits).await;

    assert!(ends.iter().all(|end| matches!(end, Ok(Err(Error::TooEarly { .. })))));
    assert!(b.request_count() - before <= 3, "{}", b.request_count() - before);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_bounds_is_refused_before_any_request() {
    let a = Memory::default();
    for length in [secs(0), secs(366 * 86_400 + 1)] {
        let error = a.lock("x", LockOptions::default().at_least(length)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    assert_eq!(a.request_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_opens_the_lock() {
    let (a, b) = pair();
    run_briefly(&a).await;
    let waiter = tokio::spawn(async move { b.lock("x", LockOptions::default()).await });
    sleep(secs(1)).await;

    assert!(a.delete_record("x"));

    assert!(within(secs(5), waiter).await.unwrap().is_ok());
}
