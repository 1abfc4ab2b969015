//! Locks of sessions with several holders.

use leasehold::{Error, Fault, LockOptions, Memory, Sync as _};
use tokio::time::{sleep, timeout};

use super::sessions::{SOON, TTL, another, session, wait};

#[tokio::test(start_paused = true)]
async fn a_lock_with_slots_has_so_many_holders_and_a_token_for_each_slot() {
    let memory = Memory::default();
    let options = LockOptions::default().slots(2);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(session(&another(&memory)).await);
    }
    let first = sessions[0].lock("gpu", options).await.unwrap();
    let second = sessions[1].lock("gpu", options).await.unwrap();
    assert_eq!((first.slot(), second.slot()), (Some(0), Some(1)));
    let third = {
        let session = sessions[2].clone();
        tokio::spawn(async move { session.lock("gpu", options).await })
    };
    sleep(SOON).await;

    let queue = sessions[0].queue("gpu").await.unwrap();
    let slots: Vec<_> = queue.holders.iter().map(|one| (one.session.clone(), one.slot)).collect();
    assert_eq!(slots, [(sessions[0].id(), Some(0)), (sessions[1].id(), Some(1))]);
    assert_eq!(queue.waiters.len(), 1);
    let token = first.token();
    first.release().await.unwrap();
    let third = timeout(SOON, third).await.unwrap().unwrap().unwrap();

    assert_eq!(third.slot(), Some(0));
    assert!(third.token() > token && second.is_held());
}

#[tokio::test(start_paused = true)]
async fn shared_holders_hold_together_and_an_exclusive_one_is_not_overtaken() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let shared = LockOptions::default().shared();
    let readers =
        [one.lock("index", shared).await.unwrap(), two.lock("index", shared).await.unwrap()];
    assert!(readers.iter().all(|reader| reader.is_held() && reader.slot().is_none()));
    let writer = wait(&one, "index");
    sleep(SOON).await;

    let late = two.lock("index", shared.try_once()).await;
    assert!(matches!(late, Err(Error::Held { .. })), "behind the writer: {late:?}");
    for reader in readers {
        reader.release().await.unwrap();
    }
    assert!(timeout(SOON, writer).await.unwrap().unwrap().unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_differs_or_needs_a_session_is_refused() {
    let memory = Memory::default();
    let one = session(&memory).await;
    let _held = one.lock("gpu", LockOptions::default().slots(4)).await.unwrap();

    let other = one.lock("gpu", LockOptions::default().slots(3)).await.unwrap_err();
    assert!(matches!(other, Error::OtherMode { .. }), "{other}");
    assert!(other.to_string().contains("4 slots") && other.to_string().contains("3 slots"));

    let plain = memory.lock("x", LockOptions::default().shared()).await;
    assert!(matches!(plain, Err(Error::NeedsSession { option: "shared" })), "{plain:?}");
    let none = one.lock("x", LockOptions::default().slots(0)).await;
    assert!(matches!(none, Err(Error::Invalid { .. })), "{none:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_in_another_mode_that_crashed_is_passed_over() {
    let memory = Memory::default();
    let crashing = another(&memory);
    let (one, two) = (session(&crashing).await, session(&memory).await);
    let _held = one.lock("gpu", LockOptions::default().slots(4)).await.unwrap();
    crashing.disturb(Some(Fault::LoseRequest));

    let mut tried = two.lock("gpu", LockOptions::default().slots(8)).await;
    assert!(matches!(tried, Err(Error::OtherMode { .. })), "{tried:?}");
    for _ in 0..10 {
        sleep(TTL / 3).await;
        tried = two.lock("gpu", LockOptions::default().slots(8)).await;
    }

    assert!(tried.is_ok(), "{tried:?}");
}
