//! Requests and answers that get lost, come late or are refused.

use std::time::Duration;

use futures::{StreamExt as _, future::poll_immediate};
use leasehold::{
    ElectEvent, Error, Fault, LeaderOptions, ListMembersOptions, LockOptions, Sync as _,
    WatchElectOptions,
};
use tokio::time::sleep;

use crate::{hold, pair, secs, soon};

/// What the first read meets: nothing.
const NO_FAULT: Fault = Fault::Delay(Duration::ZERO);

#[tokio::test(start_paused = true)]
async fn a_lost_acquisition_is_recognised_or_repeated() {
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Delay(Duration::from_millis(300))] {
        let (a, b) = pair();
        a.inject(NO_FAULT);
        a.inject(fault);

        let leader = soon(a.leader("e", LeaderOptions::default())).await.unwrap();
        let guard = soon(leader.elected()).await.unwrap();

        let members = b.list_members(ListMembersOptions::default()).await.unwrap();
        assert_eq!(
            members[0].token,
            Some(guard.token().get()),
            "{fault:?}: the token of the record"
        );
        guard.check().unwrap();
        b.lock("e", LockOptions::default().try_once()).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_does_not_lengthen_a_tenure() {
    let (a, _b) = pair();
    a.inject(NO_FAULT);
    a.inject(Fault::LoseReply);

    let guard = soon(hold(&a)).await;

    let late = secs(13).saturating_sub(guard.remaining());
    assert!(late >= Duration::from_millis(1500), "counts from before the lost write, not {late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_lock_says_so_and_leaves_nothing() {
    for before in [0, 1] {
        let (a, b) = pair();
        (0..before).for_each(|_| a.inject(NO_FAULT));
        a.inject(Fault::Refuse);

        let error = soon(a.lock("x", LockOptions::default())).await.unwrap_err();

        assert!(matches!(error, Error::Refused { .. }), "{error}");
        drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_renewal_costs_nothing() {
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
async fn a_lost_release_is_told_again() {
    for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Delay(secs(1))] {
        let (a, b) = pair();
        let guard = hold(&a).await;
        a.inject(fault);

        soon(guard.release()).await.unwrap();

        drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_told_ends_with_its_reason() {
    for fault in [Fault::LoseRequest, Fault::Refuse] {
        let (a, b) = pair();
        let guard = hold(&a).await;
        a.disturb(Some(fault));
        let tenure = guard.tenure();

        let release = guard.release();
        assert!(!tenure.is_held(), "stepped down before anything was told");
        let error = soon(release).await.unwrap_err();

        let told = matches!(error, Error::Unavailable { .. } | Error::Refused { .. });
        assert!(told, "{error}");
        drop(soon(hold(&b)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_write_of_a_cancelled_lock_is_undone() {
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
async fn lists_and_checks_end_though_their_requests_are_lost() {
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
async fn a_watcher_survives_a_lost_list() {
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
async fn a_watcher_that_sees_nothing_declares_nobody_lost() {
    let (a, b) = pair();
    let leader = a.leader("e", LeaderOptions::default()).await.unwrap();
    leader.elected().await.unwrap().keep();
    let mut events = b.watch_elect(WatchElectOptions::default()).await.unwrap();
    events.next().await;
    events.next().await;

    b.disturb(Some(Fault::LoseRequest));
    assert!(tokio::time::timeout(secs(600), events.next()).await.is_err(), "silent while blind");
    b.disturb(None);
    assert!(tokio::time::timeout(secs(600), events.next()).await.is_err(), "nothing had changed");
}
