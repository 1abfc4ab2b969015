//! With a TTL of a day only a crash costs more: live contenders are served as fast as with a short TTL.

use leasehold::{Fault, Guard, LeaderOptions, LockOptions, Memory, Sync as _};
use tokio::time::sleep;

use crate::{hold, now, pair, secs, soon};

fn day() -> LockOptions {
    LockOptions::default().ttl(secs(86_400))
}

async fn hold_for_a_day(sync: &Memory) -> Guard {
    soon(sync.lock("x", day())).await.expect("free")
}

#[tokio::test(start_paused = true)]
async fn one_lost_request_delays_an_acquisition_by_at_most_one_timeout_and_one_pause() {
    for fault in [Fault::LoseRequest, Fault::LoseReply] {
        for before in 0..2 {
            let (a, _b) = pair();
            (0..before).for_each(|_| a.inject(Fault::Delay(secs(0))));
            a.inject(fault);
            let asked = now();

            let _held = hold_for_a_day(&a).await;

            assert!(now() - asked <= secs(6), "{fault:?}: {:?}", now() - asked);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_lost_request_delays_a_release_by_at_most_one_timeout_and_one_pause() {
    let (a, b) = pair();
    let held = hold_for_a_day(&a).await;
    a.inject(Fault::LoseRequest);

    soon(held.release()).await.unwrap();

    drop(b.lock("x", LockOptions::default().try_once()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_deleted_between_two_watches_is_acquired_soon() {
    let (a, b) = pair();
    let held = hold(&b).await;
    let other = async {
        sleep(secs(1)).await;
        a.disturb(Some(Fault::LoseRequest));
        assert!(b.delete_record("x"));
        sleep(secs(1)).await;
        drop(held);
        a.disturb(None);
    };

    let (taken, ()) = tokio::join!(hold_for_a_day(&a), other);

    assert!(taken.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_although_the_watch_missed_a_deletion() {
    let (a, b) = pair();
    let _held = hold(&b).await;
    let other = async {
        sleep(secs(1)).await;
        a.disturb(Some(Fault::LoseRequest));
        assert!(b.delete_record("x"));
        sleep(secs(1)).await;
        a.disturb(None);
    };
    let asked = now();

    let (waited, ()) = tokio::join!(a.lock("x", day().wait(secs(3))), other);

    waited.unwrap_err();
    assert!(now() - asked <= secs(6), "{:?}", now() - asked);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_was_denied_tries_again_soon() {
    let (a, b) = pair();
    let leads = b.leader("e", LeaderOptions::default()).await.unwrap();
    let candidate = a.leader("e", LeaderOptions::default().ttl(secs(86_400))).await.unwrap();
    a.disturb(Some(Fault::Refuse));
    sleep(secs(60)).await;
    assert!(candidate.last_error().is_some(), "the candidate was denied");
    a.disturb(None);
    leads.resign().await.unwrap();

    let guard = soon(candidate.elected()).await.unwrap();

    assert!(guard.is_held());
}
