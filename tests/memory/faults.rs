//! Requests and replies that are lost, late or denied.

use std::time::Duration;

use futures::{StreamExt as _, future::poll_immediate};
use leasehold::{
    ElectEvent, Error, Fault, LeaderOptions, ListMembersOptions, LockOptions, Sync as _,
    WatchElectOptions,
};
use tokio::time::sleep;

use crate::{hold, pair, secs, soon};

/// For the first read, which succeeds.
const NO_FAULT: Fault = Fault::Delay(Duration::ZERO);

#[tokio::test(start_paused = true)]
async fn an_acquiring_write_with_a_lost_reply_is_recognised_or_repeated() {
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Delay(Duration::from_millis(300))] {
        let (a, b) = pair();
        a.inject(NO_FAULT);
        a.inject(fault);

        let leader = soon(a.leader("e", LeaderOptions::default())).await.unwrap();
        let guard = soon(leader.elected()).await.unwrap();

        let members = b.list_members(ListMembersOptions::default()).await.unwrap();
        assert_eq!(members[0].token, Some(guard.token()), "{fault:?}: the token of the record");
        guard.check().unwrap();
        b.lock("e", LockOptions::default().try_once()).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_does_not_make_a_tenure_last_longer() {
    let (a, _b) = pair();
    a.inject(NO_FAULT);
    a.inject(Fault::LoseReply);

    let guard = soon(hold(&a)).await;

    let late = secs(13).saturating_sub(guard.remaining());
    assert!(
        late >= Duration::from_millis(1500),
        "the hold starts before the lost write; only {late:?} have passed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_lock_returns_the_error_and_leaves_no_holder() {
    for before in [0, 1] {
        let (a, b) = pair();
        (0..before).for_each(|_| a.inject(NO_FAULT));
        a.inject(Fault::Refuse);

        let error = soon(a.lock("x", LockOptions::default())).await.unwrap_err();

        assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
        drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn one_failed_renewal_does_not_end_a_tenure() {
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Refuse, Fault::Delay(secs(1))] {
        let (a, b) = pair();
        let guard = hold(&a).await;
        for _ in 0..5 {
            a.inject(fault);
            sleep(secs(20)).await;
            guard.check().unwrap();
        }
        b.lock("x", LockOptions::default().try_once()).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_request_failed_is_sent_again() {
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Delay(secs(1))] {
        let (a, b) = pair();
        let guard = hold(&a).await;
        a.inject(fault);

        soon(guard.release()).await.unwrap();

        drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_keeps_failing_returns_the_reason() {
    for fault in [Fault::LoseRequest, Fault::Refuse] {
        let (a, b) = pair();
        let guard = hold(&a).await;
        a.disturb(Some(fault));
        let tenure = guard.tenure();

        let release = guard.release();
        assert!(!tenure.is_held(), "the holder steps down before the release is sent");
        let error = soon(release).await.unwrap_err();

        let reason = matches!(error, Error::Unavailable { .. } | Error::PermissionDenied { .. });
        assert!(reason, "{error}");
        drop(soon(hold(&b)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_lock_is_released_when_its_write_arrives_late() {
    let (a, b) = pair();
    a.inject(NO_FAULT);
    a.inject(Fault::Delay(secs(30)));
    let mut lock = a.lock("x", LockOptions::default());
    assert!(poll_immediate(&mut lock).await.is_none());
    sleep(Duration::from_millis(10)).await;

    drop(lock);
    sleep(secs(31)).await;

    drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn lists_watches_and_init_return_an_error_when_their_requests_are_lost() {
    let (a, _b) = pair();
    a.disturb(Some(Fault::LoseRequest));

    let listed = soon(a.list_members(ListMembersOptions::default())).await;
    let watched = soon(a.watch_elect(WatchElectOptions::default())).await.map(drop);
    let checked = soon(a.init()).await;

    for error in [listed.map(drop), watched, checked].map(Result::unwrap_err) {
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_reports_a_loss_although_one_of_its_lists_failed() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    leader.elected().await.unwrap().keep();
    let mut events = b.watch_elect(WatchElectOptions::default()).await.unwrap();
    assert!(matches!(soon(events.next()).await, Some(ElectEvent::Joined(_))));
    assert!(matches!(soon(events.next()).await, Some(ElectEvent::Elected(_))));

    a.disturb(Some(Fault::LoseRequest));
    b.inject(Fault::LoseRequest);

    assert!(matches!(soon(events.next()).await, Some(ElectEvent::Lost(_))));
    assert!(matches!(soon(events.next()).await, Some(ElectEvent::Left(_))));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_whose_lists_all_fail_reports_no_loss() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    leader.elected().await.unwrap().keep();
    let mut events = b.watch_elect(WatchElectOptions::default()).await.unwrap();
    events.next().await;
    events.next().await;

    b.disturb(Some(Fault::LoseRequest));
    assert!(
        tokio::time::timeout(secs(600), events.next()).await.is_err(),
        "no event while every list fails"
    );
    b.disturb(None);
    assert!(
        tokio::time::timeout(secs(600), events.next()).await.is_err(),
        "no event, because nothing has changed"
    );
}
