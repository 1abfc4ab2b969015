//! How a session ends, and what is left of it.

use std::time::Duration;

use leasehold::{Error, Fault, LockOptions, Loss, Memory, Sync as _, SyncExt as _};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use super::{
    now,
    sessions::{SOON, TTL, another, session, wait},
};

#[tokio::test(start_paused = true)]
async fn the_lock_of_a_crashed_session_goes_to_the_next_after_its_ttl() {
    let memory = Memory::default();
    let crashing = another(&memory);
    let (one, two) = (session(&crashing).await, session(&memory).await);
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&two, "orders");
    sleep(Duration::from_secs(20)).await;

    crashing.disturb(Some(Fault::LoseRequest));
    let crashed = now();
    let guard = waiting.await.unwrap().unwrap();

    assert!(!held.is_held());
    assert_eq!(held.lost().await, Loss::Expired);
    let took = crashed.elapsed();
    assert!(took >= TTL / 3 * 2 && took <= TTL / 3 * 4 + SOON, "{took:?}");
    assert!(guard.token() > held.token());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_session_loses_all_its_locks_and_begins_again() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let [a, b] = [
        one.lock("a", LockOptions::default()).await.unwrap(),
        one.lock("b", LockOptions::default()).await.unwrap(),
    ];
    let waiting = wait(&two, "a");
    sleep(SOON).await;
    let (id, lost) = (
        one.id(),
        tokio::spawn({
            let one = one.clone();
            async move { one.lost().await }
        }),
    );
    yield_now().await;

    assert!(memory.delete_session(&id));
    assert_eq!(a.lost().await, Loss::Session);
    lost.await.unwrap();
    assert!(!b.is_held(), "all at once");
    let deleted = now();
    let next = waiting.await.unwrap().unwrap();

    assert!(next.is_held());
    assert!(deleted.elapsed() <= TTL / 3 * 4 + SOON, "{:?}", deleted.elapsed());
    assert_ne!(one.id(), id);
    let other = one.lock("c", LockOptions::default()).await.unwrap();
    assert!(other.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_closed_session_frees_its_locks_at_once() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&two, "orders");
    sleep(SOON).await;

    let id = one.id();
    one.end().await.unwrap();

    assert!(!held.is_held());
    assert!(timeout(SOON, waiting).await.unwrap().unwrap().unwrap().is_held());
    assert!(matches!(one.lock("x", LockOptions::default()).await, Err(Error::Closed { .. })));
    assert!(!memory.delete_session(&id), "its record is deleted");
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_crashed_session_is_deleted_after_a_day_and_a_live_one_stays() {
    let memory = Memory::default();
    let crashing = another(&memory);
    let (crashed, alive) = (session(&crashing).await, session(&memory).await);
    let id = crashed.id();
    crashing.disturb(Some(Fault::LoseRequest));
    sleep(Duration::from_secs(20 * 3600)).await;
    let live = alive.id();

    sleep(Duration::from_secs(16 * 3600)).await;

    assert!(!memory.delete_session(&id), "deleted");
    assert_eq!(alive.id(), live);
    assert!(alive.remaining() > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_last_handle_and_guard() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let id = one.id();
    let held = one.lock("orders", LockOptions::default()).await.unwrap();

    drop(one);
    sleep(Duration::from_secs(60)).await;
    assert!(held.is_held(), "a guard keeps its session alive");
    drop(held);
    sleep(TTL).await;

    assert!(!memory.delete_session(&id), "its record is deleted");
    assert!(two.try_lock("orders").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_begins_again_observes_only_what_it_waits_for() {
    let memory = Memory::default();
    let other = another(&memory);
    let (one, two) = (session(&memory).await, session(&other).await);
    let _held = one.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&two, "orders");
    sleep(Duration::from_secs(20)).await;

    assert!(memory.delete_session(&two.id()));
    other.disturb(Some(Fault::Delay(Duration::from_secs(1))));
    sleep(Duration::from_secs(12)).await;
    waiting.abort();
    sleep(SOON).await;
    other.disturb(None);
    sleep(TTL).await;

    let before = other.request_count();
    sleep(Duration::from_secs(60)).await;
    let sent = other.request_count() - before;
    assert!((12..=16).contains(&sent), "{sent} requests in a minute: 12 heartbeats and two lists");
}
