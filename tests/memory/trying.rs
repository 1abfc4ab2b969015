//! `try_once`: every call sends a request; no call is answered from an earlier failure.

use leasehold::{Error, Fault, LockOptions, Sync as _};
use tokio::time::{sleep, timeout};

use crate::{hold, now, pair, secs, soon};

#[tokio::test(start_paused = true)]
async fn a_try_after_an_outage_is_not_answered_with_the_old_error() {
    for fault in [Fault::LoseRequest, Fault::Refuse] {
        let (a, _b) = pair();
        a.disturb(Some(fault));
        soon(a.lock("x", LockOptions::default().try_once())).await.unwrap_err();
        a.disturb(None);

        let tried = soon(a.lock("x", LockOptions::default().try_once())).await;

        assert!(tried.is_ok(), "{fault:?}: {tried:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_try_during_an_outage_waits_ten_seconds_for_an_answer_and_returns_its_error() {
    let (a, _b) = pair();
    a.disturb(Some(Fault::LoseRequest));
    for _ in 1..5 {
        let (before, start) = (a.request_count(), now());
        let tried = soon(a.lock("x", LockOptions::default().try_once())).await;

        assert!(matches!(tried, Err(Error::Unavailable { .. })), "{tried:?}");
        assert_eq!((now() - start).as_secs(), 10);
        let sent = a.request_count() - before;
        assert!((1..=6).contains(&sent), "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_try_that_is_refused_sends_one_request_and_returns_its_error() {
    let (a, _b) = pair();
    a.disturb(Some(Fault::Refuse));
    for tries in 1..5 {
        let tried = soon(a.lock("x", LockOptions::default().try_once())).await;

        assert!(matches!(tried, Err(Error::PermissionDenied { .. })), "{tried:?}");
        assert_eq!(a.request_count(), tries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_long_after_a_deletion_acquires_the_lock() {
    let (a, b) = pair();
    let held = hold(&b).await;
    let waiting = timeout(secs(2), async {
        sleep(secs(1)).await;
        assert!(b.delete_record("x"));
        std::future::pending::<()>().await;
    });
    let (gave_up, _) = tokio::join!(a.lock("x", LockOptions::default().wait(secs(3))), waiting);
    gave_up.unwrap_err();
    drop(held);
    sleep(secs(60)).await;

    let tried = soon(a.lock("x", LockOptions::default().try_once())).await;

    assert!(tried.is_ok(), "{tried:?}");
}
