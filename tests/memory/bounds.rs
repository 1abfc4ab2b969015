//! Upper bounds: requests sent, tasks alive, winners of a lock.

use std::sync::Arc;

use leasehold::{Fault, LeaderOptions, LockOptions, Memory, Options, Sync as _};
use tokio::{runtime::Handle, time::sleep};

use crate::{hold, pair, secs, soon};

/// The most requests in an hour: one in 2.5 seconds, under any fault.
const AN_HOUR: u64 = 3600 * 2 / 5;

#[tokio::test(start_paused = true)]
async fn only_one_of_two_hundred_contenders_wins_after_a_crash() {
    let (a, _b) = pair();
    let crashed = hold(&a).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let contender = a.another(Options::default()).unwrap();
        waiting.spawn(async move { (hold(&contender).await, contender) });
    }
    sleep(secs(10)).await;
    a.disturb(Some(Fault::LoseRequest));

    let (winner, _handle) = soon(waiting.join_next()).await.unwrap().unwrap();

    assert!(!crashed.is_held() && winner.token() > crashed.token());
    sleep(secs(60)).await;
    assert!(winner.is_held());
    assert!(waiting.try_join_next().is_none(), "no other contender holds the lock");
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_waiter_are_bounded_under_every_fault() {
    for fault in
        [None, Some(Fault::LoseRequest), Some(Fault::LoseReply), Some(Fault::Delay(secs(1)))]
    {
        let (a, b) = pair();
        let _held = hold(&a).await;
        b.disturb(fault);

        let wait = LockOptions::default().wait(secs(3600));
        soon_hour(b.lock("x", wait)).await.unwrap_err();

        assert!(b.request_count() <= AN_HOUR, "{fault:?}: {} in an hour", b.request_count());
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_candidate_are_bounded_under_every_fault() {
    let faults = [Fault::LoseRequest, Fault::LoseReply, Fault::Delay(secs(1)), Fault::Refuse];
    for fault in faults.map(Some).into_iter().chain([None]) {
        for leads in [true, false] {
            let (a, b) = pair();
            let _other =
                if leads { None } else { b.leader("e", LeaderOptions::default()).await.ok() };
            let _leader = a.leader("e", LeaderOptions::default()).await.unwrap();
            a.disturb(fault);
            let before = a.request_count();

            sleep(secs(3600)).await;

            let sent = a.request_count() - before;
            assert!(sent <= 2 * AN_HOUR, "{fault:?}, leading {leads}: {sent} in an hour");
            assert!(sent > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_undisturbed_holder_sends_only_renewals() {
    let (a, _b) = pair();
    let _held = hold(&a).await;

    sleep(secs(3600)).await;

    assert!((780..=820).contains(&a.request_count()), "{}", a.request_count());
}

#[tokio::test(start_paused = true)]
async fn no_background_task_is_left_after_everything_was_dropped() {
    let faults = [Fault::LoseRequest, Fault::LoseReply, Fault::Delay(secs(3)), Fault::Refuse];
    for fault in faults.map(Some).into_iter().chain([None]) {
        let (a, b) = pair();
        let before = Handle::current().metrics().num_alive_tasks();
        let first = hold(&a).await;
        let leads = a.leader("e", LeaderOptions::default()).await.unwrap();
        a.disturb(fault);
        b.disturb(fault);
        abandon(&b).await;
        drop((first, leads));
        abandon(&a).await;
        sleep(secs(300)).await;

        let left = Handle::current().metrics().num_alive_tasks() - before;
        assert_eq!(left, 0, "{fault:?}, handles alive: {:?}", (&a, &b));
    }
}

/// Starts every operation and waits for none of them to finish.
async fn abandon(sync: &Memory) {
    let brief = secs(2);
    let _ = tokio::time::timeout(brief, sync.lock("x", LockOptions::default())).await;
    let _ = tokio::time::timeout(brief, sync.leader("e", LeaderOptions::default())).await;
    let _ = tokio::time::timeout(brief, sync.leader("f", LeaderOptions::default())).await;
    let _ = tokio::time::timeout(brief, sync.unlock("x")).await;
}

#[tokio::test(start_paused = true)]
async fn sixty_waiters_on_two_handles_all_get_the_lock_one_after_the_other() {
    let (a, b) = pair();
    let handles = [Arc::new(a), Arc::new(b)];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..60 {
        let sync = Arc::clone(&handles[n % 2]);
        tasks.spawn(async move {
            let guard = sync.lock("x", LockOptions::default().ttl(secs(1))).await.unwrap();
            sleep(std::time::Duration::from_millis(20)).await;
            let token = guard.check().unwrap();
            if n % 3 == 0 {
                guard.release().await.unwrap();
            }
            token
        });
    }
    let mut tokens = Vec::new();
    while let Some(token) = soon(tasks.join_next()).await {
        tokens.push(token.unwrap());
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 60, "each tenure has its own token");
}

async fn soon_hour<F: Future>(future: F) -> F::Output {
    crate::within(secs(4000), future).await
}

#[tokio::test(start_paused = true)]
async fn no_valid_timing_causes_a_storm_of_failing_requests() {
    for renew in [1, 1_000_000, 100_000_000].map(std::time::Duration::from_nanos) {
        let (a, b) = pair();
        let _held = hold(&a).await;
        b.disturb(Some(Fault::LoseRequest));
        let timing = leasehold::Timing::new(secs(15))
            .renew_interval(renew)
            .attempt_timeout(std::time::Duration::from_millis(1));
        let wait = LockOptions::default().timing(timing).wait(secs(60));

        soon_hour(b.lock("x", wait)).await.unwrap_err();

        assert!(b.request_count() <= 60 * 20, "{renew:?}: {} in a minute", b.request_count());
    }
}
