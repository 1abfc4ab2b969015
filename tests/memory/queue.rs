//! The local queue: tasks that share a handle, and handles that share a store.

use std::{sync::Arc, time::Duration};

use futures::future::poll_immediate;
use leasehold::{Error, Fault, LockOptions, Sync as _};
use tokio::time::sleep;

use crate::{hold, now, pair, secs, soon, within};

#[tokio::test(start_paused = true)]
async fn a_second_try_once_reads_the_record_again() {
    let (a, b) = pair();
    let held = hold(&a).await;
    b.lock("x", LockOptions::default().try_once()).await.unwrap_err();

    held.release().await.unwrap();
    let began = now();

    drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());

    assert_eq!(began.elapsed(), Duration::ZERO, "the second try needs no wait");
}

#[tokio::test(start_paused = true)]
async fn a_second_short_wait_reads_the_record_again() {
    let (a, b) = pair();
    let (held, brief) = (hold(&a).await, LockOptions::default().wait(secs(1)));
    b.lock("x", brief).await.unwrap_err();
    held.release().await.unwrap();
    let held = a.another(leasehold::Options::default().identity("c")).unwrap();
    let _held = hold(&held).await;

    let error = b.lock("x", brief).await.unwrap_err();

    assert!(matches!(&error, Error::Timeout { holder, .. } if holder == "c"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_tenure_has_the_ttl_of_the_caller_that_gets_it() {
    let (a, b) = pair();
    let held = hold(&a).await;
    let mut first = b.lock("x", LockOptions::default().ttl(secs(60)));
    let mut second = b.lock("x", LockOptions::default().ttl(secs(2)));
    assert!(poll_immediate(&mut first).await.is_none());
    assert!(poll_immediate(&mut second).await.is_none());
    sleep(secs(1)).await;

    drop(first);
    held.release().await.unwrap();
    let guard = soon(second).await.unwrap();

    assert!(guard.remaining() < secs(2), "{:?} remain of a TTL of 2 s", guard.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_tenure_won_for_a_cancelled_caller_is_not_given_to_a_caller_with_another_ttl() {
    let (a, b) = pair();
    let held = hold(&a).await;
    let (b, long) = (Arc::new(b), LockOptions::default().ttl(secs(60)));
    let cancelled = tokio::spawn({
        let b = Arc::clone(&b);
        async move { b.lock("x", long).await.map(drop) }
    });
    sleep(secs(1)).await;
    let second = tokio::spawn({
        let b = Arc::clone(&b);
        async move { b.lock("x", LockOptions::default().ttl(secs(2))).await }
    });
    b.inject(Fault::Delay(Duration::from_millis(100)));
    held.release().await.unwrap();
    sleep(Duration::from_millis(50)).await;
    cancelled.abort(); // while its acquiring write is in flight

    let guard = soon(second).await.unwrap().unwrap();

    assert!(guard.remaining() < secs(2), "{:?} remain of a TTL of 2 s", guard.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_the_last_holder_of_a_deleted_record() {
    let (a, b) = pair();
    let _held = hold(&a).await;
    let mut wait = b.lock("x", LockOptions::default().wait(secs(3)));
    assert!(poll_immediate(&mut wait).await.is_none());
    sleep(secs(1)).await;

    assert!(a.delete_record("x"));
    let error = soon(wait).await.unwrap_err();

    assert!(matches!(&error, Error::Timeout { holder, .. } if holder == "a"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handle_with_many_local_callers_leaves_the_lock_to_another_handle_once_per_ttl() {
    let (a, b) = pair();
    let a = Arc::new(a);
    a.disturb(Some(Fault::Delay(Duration::from_millis(200))));
    (0..100).for_each(|_| b.inject(Fault::Delay(Duration::from_millis(300))));
    for _ in 0..3 {
        let a = Arc::clone(&a);
        tokio::spawn(async move {
            loop {
                let guard = hold(&a).await;
                sleep(Duration::from_millis(30)).await;
                drop(guard);
            }
        });
    }
    sleep(secs(1)).await;

    // A leaves the record free once per TTL, and for longer than a request of B takes.
    drop(within(secs(50), hold(&b)).await);
}

#[tokio::test(start_paused = true)]
async fn delete_record_accepts_a_name_that_is_stored_as_a_slug() {
    let (a, _) = pair();
    let guard = a.lock("jobs/nightly", LockOptions::default()).await.unwrap();

    assert!(a.delete_record("jobs/nightly"));

    soon(guard.lost()).await;
}

/// `cargo test --release --test memory fifty_thousand -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, for a release build"]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
async fn fifty_thousand_callers_join_leave_and_get_the_lock() {
    const CALLERS: usize = 50_000;
    let (a, b) = pair();
    let held = hold(&a).await;
    let began = std::time::Instant::now();
    // Answered after all commands before it.
    let settled = || async { b.lock("x", LockOptions::default().try_once()).await.unwrap_err() };

    let mut callers: Vec<_> =
        (0..CALLERS).map(|_| b.lock("x", LockOptions::default().wait(secs(3600)))).collect();
    for caller in &mut callers {
        assert!(poll_immediate(caller).await.is_none());
    }
    settled().await;
    let joined = began.elapsed();
    let kept = callers.split_off(CALLERS / 2);
    callers.into_iter().rev().for_each(drop);
    settled().await;
    let left = began.elapsed().saturating_sub(joined);
    held.release().await.unwrap();
    for caller in kept {
        drop(caller.await.unwrap());
    }
    let granted = began.elapsed().saturating_sub(joined + left);

    eprintln!(
        "{CALLERS} joined in {joined:?}, half left in {left:?}, the others had the lock in {granted:?}"
    );
}
