//! A store that answers later than an attempt lasts: the end of an attempt ends the wait, and not the request.

use std::time::Duration;

use leasehold::{Error, Fault, LockOptions, Sync as _};
use tokio::time::sleep;

use crate::{hold, now, pair, secs, soon, within};

/// Longer than the attempt of the default timing, which is 1.5 s.
const SLOW: Fault = Fault::Delay(Duration::from_millis(1600));

#[tokio::test(start_paused = true)]
async fn a_lock_is_held_on_while_every_answer_is_late() {
    let (a, b) = pair();
    let guard = hold(&a).await;
    a.disturb(Some(SLOW));

    sleep(secs(300)).await;

    assert!(guard.is_held());
    soon(guard.release()).await.unwrap();
    drop(soon(b.lock("x", LockOptions::default().try_once())).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_acquired_while_every_answer_is_late() {
    let (a, b) = pair();
    a.disturb(Some(SLOW));

    let created = within(secs(10), a.lock("x", LockOptions::default())).await.unwrap();
    within(secs(10), created.release()).await.unwrap();
    let again = within(secs(10), a.lock("x", LockOptions::default())).await.unwrap();
    within(secs(10), again.release()).await.unwrap();
    drop(hold(&b).await);
    let third = within(secs(10), a.lock("x", LockOptions::default())).await.unwrap();

    assert!(third.is_held());
}

#[tokio::test(start_paused = true)]
async fn an_expired_lock_is_taken_over_while_every_answer_is_late() {
    let (a, b) = pair();
    let guard = hold(&b).await;
    b.disturb(Some(Fault::LoseRequest));
    let start = now();
    a.disturb(Some(SLOW));

    let taken = soon(a.lock("x", LockOptions::default())).await.unwrap();

    assert!(taken.token() > guard.token());
    assert!(!guard.is_held());
    assert!(now() - start < secs(30), "{:?}", now() - start);
}

#[tokio::test(start_paused = true)]
async fn a_single_try_gets_its_answer_although_every_answer_is_late() {
    let (a, b) = pair();
    a.disturb(Some(SLOW));

    let guard = soon(a.lock("x", LockOptions::default().try_once())).await.unwrap();

    b.disturb(Some(SLOW));
    let refused = soon(b.lock("x", LockOptions::default().try_once())).await.unwrap_err();
    assert!(matches!(refused, Error::Held { .. }), "{refused}");
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_stored_after_its_caller_has_left_is_undone() {
    let (a, b) = pair();
    a.disturb(Some(Fault::Delay(secs(3))));
    let gave_up = soon(a.lock("x", LockOptions::default().wait(secs(4)))).await;
    a.disturb(None);
    drop(gave_up);

    sleep(secs(14)).await;

    drop(soon(b.lock("x", LockOptions::default().try_once())).await.unwrap());
}

/// Three hundred tasks ask as fast as they can. The clock is real, because the tasks never let time pass.
#[tokio::test]
async fn a_flood_of_commands_does_not_keep_a_holder_from_its_renewals() {
    let (a, _b) = pair();
    let guard = a.lock("x", LockOptions::default().ttl(secs(2))).await.unwrap();
    let asking = (0..300).map(|_| {
        let a = a.clone();
        tokio::spawn(async move {
            loop {
                let _ = a.lock("x", LockOptions::default().ttl(secs(2)).try_once()).await;
            }
        })
    });
    let asking: Vec<_> = asking.collect();

    let lost = tokio::time::timeout(secs(4), guard.lost()).await;

    asking.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(lost.is_err(), "lost: {lost:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_hang_do_not_keep_a_holder_from_its_renewals() {
    let (a, b) = pair();
    let held = a.lock("x", LockOptions::default().ttl(secs(4))).await.unwrap();
    drop(b);
    sleep(Duration::from_millis(700)).await;
    // The attempts of these last five seconds, longer than the hold of the lock.
    a.disturb(Some(Fault::LoseRequest));
    for number in 0..100 {
        let a = a.clone();
        tokio::spawn(async move {
            let name = format!("other-{number}");
            let _ = a.lock(&name, LockOptions::default().ttl(secs(60))).await;
        });
    }
    sleep(Duration::from_millis(1)).await;
    a.disturb(None);

    let lost = tokio::time::timeout(secs(8), held.lost()).await;

    assert!(lost.is_err(), "lost: {lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_single_try_returns_with_the_first_answer_although_an_older_request_hangs() {
    let (a, b) = pair();
    let _held = hold(&a).await;
    b.inject(Fault::LoseRequest);
    let start = now();

    let tried = soon(b.lock("x", LockOptions::default().try_once())).await;

    assert!(matches!(tried, Err(Error::Held { .. })), "{tried:?}");
    assert!(now() - start < secs(3), "{:?}", now() - start);
}

#[tokio::test(start_paused = true)]
async fn the_longest_possible_wait_is_a_wait_without_an_end() {
    let (a, _b) = pair();

    drop(soon(a.lock("x", LockOptions::default().wait(Duration::MAX))).await.unwrap());
}
