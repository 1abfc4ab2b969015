//! Sessions on the embedded backend.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use leasehold::{
    Error, Fault, LockOptions, Memory, Options, Session, SessionOptions, Sync as _, SyncExt as _,
};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::now;

pub(super) const TTL: Duration = Duration::from_secs(15);
/// Two processes' worth of time for what is in memory.
pub(super) const SOON: Duration = Duration::from_millis(100);

pub(super) async fn session(memory: &Memory) -> Session {
    memory.session(SessionOptions::default()).await.expect("a session")
}

/// Another process.
pub(super) fn another(memory: &Memory) -> Memory {
    memory.another(Options::default()).expect("valid options")
}

pub(super) fn wait(
    session: &Session,
    name: &'static str,
) -> JoinHandle<leasehold::Result<leasehold::Guard>> {
    let session = session.clone();
    tokio::spawn(async move { session.lock(name, LockOptions::default()).await })
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_exclusive_between_sessions_and_handed_over_by_a_release() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);

    let first = one.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&two, "orders");
    sleep(SOON).await;
    assert!(!waiting.is_finished());
    assert_eq!(Some(first.holder()), one.options().identity.as_deref());

    first.release().await.unwrap();
    let second = timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert!(second.is_held());
    assert_eq!(Some(second.holder()), two.options().identity.as_deref());
}

#[tokio::test(start_paused = true)]
async fn waits_are_served_in_the_order_in_which_they_came() {
    let memory = Memory::default();
    let holder = session(&memory).await;
    let held = holder.lock("orders", LockOptions::default()).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..10 {
        let (process, order) = (session(&another(&memory)).await, Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let guard = process.lock("orders", LockOptions::default()).await.unwrap();
            order.lock().await.push((number, guard.token().get()));
            guard.release().await.unwrap();
        }));
        sleep(SOON).await;
    }

    held.release().await.unwrap();
    join_all(tasks).await;

    let order = order.lock().await;
    assert_eq!(
        order.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    );
    assert!(order.is_sorted_by_key(|(_, token)| *token), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_holds_many_locks_sends_one_heartbeat() {
    let memory = Memory::default();
    let one = session(&memory).await;
    let names: Vec<_> = (0..1000).map(|number| format!("lock-{number}")).collect();
    let opened = memory.request_count();
    one.lock("first", LockOptions::default()).await.unwrap().release().await.unwrap();
    let guards = join_all(names.iter().map(|name| one.lock(name, LockOptions::default()))).await;
    let guards: Vec<_> = guards.into_iter().map(Result::unwrap).collect();
    assert_eq!(memory.request_count() - opened, 1003, "one create for each new lock");

    let before = memory.request_count();
    sleep(Duration::from_secs(60)).await;
    let sent = memory.request_count() - before;

    assert!(guards.iter().all(|guard| guard.is_held()));
    assert!((12..=15).contains(&sent), "{sent} requests in a minute: 12 heartbeats and a resync");
}

/// The list of held locks comes every 30 s. Two guards are dropped at that instant, one before the task of the session
/// runs and one after.
#[tokio::test(start_paused = true)]
async fn a_guard_that_is_dropped_while_the_held_locks_are_listed_is_released() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let drop_at_the_list = async |name: &str, pauses: &[u64]| {
        let guard = one.lock(name, LockOptions::default()).await.unwrap();
        for pause in pauses {
            sleep(Duration::from_secs(*pause)).await;
        }
        drop(guard);
    };
    tokio::join!(drop_at_the_list("early", &[30]), drop_at_the_list("late", &[29, 1]));

    for name in ["early", "late"] {
        let locked = timeout(Duration::from_secs(20), two.lock(name, LockOptions::default())).await;
        assert!(locked.is_ok_and(|locked| locked.is_ok()), "`{name}` is still held");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_the_queue() {
    let memory = Memory::default();
    let sessions = [
        session(&memory).await,
        session(&another(&memory)).await,
        session(&another(&memory)).await,
    ];
    let held = sessions[0].lock("orders", LockOptions::default()).await.unwrap();
    let dropped = wait(&sessions[1], "orders");
    sleep(SOON).await;
    let waiting = wait(&sessions[2], "orders");
    sleep(SOON).await;

    dropped.abort();
    sleep(SOON).await;
    held.release().await.unwrap();

    let guard = timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    guard.release().await.unwrap();
    let again = sessions[1].try_lock("orders").await.unwrap();
    assert!(again.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_and_names_the_holder() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let _held = one.lock("orders", LockOptions::default()).await.unwrap();

    let begun = now();
    let late = two.lock("orders", LockOptions::default().wait(Duration::from_secs(3))).await;
    assert!(begun.elapsed() < Duration::from_secs(3) + SOON);
    match late {
        Err(Error::Timeout { holder, .. }) => assert_eq!(Some(holder), one.options().identity),
        other => panic!("{other:?}"),
    }

    match two.try_lock("orders").await {
        Err(Error::Held { holder, .. }) => assert_eq!(Some(holder), one.options().identity),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_respects_a_handle_without_one_and_the_reverse() {
    let memory = Memory::default();
    let plain = another(&memory);
    let one = session(&memory).await;

    let held = plain.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&one, "orders");
    sleep(Duration::from_secs(120)).await;
    assert!(held.is_held() && !waiting.is_finished());

    held.release().await.unwrap();
    let guard = timeout(Duration::from_secs(2), waiting).await.unwrap().unwrap().unwrap();
    let busy = plain.lock("orders", LockOptions::default().try_once()).await;
    assert!(matches!(busy, Err(Error::Held { .. })), "{busy:?}");

    guard.release().await.unwrap();
    assert!(plain.lock("orders", LockOptions::default()).await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_ttl_shorter_than_the_sessions_is_refused() {
    let one = session(&Memory::default()).await;

    let brief = one.lock("orders", LockOptions::default().ttl(Duration::from_secs(5))).await;

    let error = brief.unwrap_err().to_string();
    assert!(error.contains("5s") && error.contains("15s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_learns_that_others_wait() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    sleep(SOON).await;
    assert!(!held.is_requested());

    let waiting = wait(&two, "orders");
    timeout(SOON, held.requested()).await.unwrap();
    waiting.abort();
    sleep(SOON).await;
    assert!(!held.is_requested());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_queues_again_is_one_write_and_comes_behind_the_others() {
    let memory = Memory::default();
    let (first, second) = (another(&memory), another(&memory));
    let (one, two) = (session(&first).await, session(&second).await);
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&two, "orders");
    sleep(SOON).await;

    let before = first.request_count();
    let again = tokio::spawn(held.release_and_queue());
    let other = timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    sleep(SOON).await;
    assert!(!again.is_finished(), "the other one holds it");
    assert_eq!(first.request_count() - before, 1);

    let token = other.token();
    let other = tokio::spawn(other.release_and_queue());
    let held = timeout(SOON, again).await.unwrap().unwrap().unwrap();
    assert!(held.token() > token);

    other.abort();
    sleep(SOON).await;
    assert_eq!(one.queue("orders").await.unwrap().waiters.len(), 0, "a dropped future leaves");
    let held = timeout(SOON, held.release_and_queue()).await.unwrap().unwrap();
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_the_lock_of_a_session_that_is_held_can_be_queued_for_again() {
    let memory = Memory::default();
    let alone = memory.lock("alone", LockOptions::default()).await.unwrap();
    assert!(matches!(alone.release_and_queue().await, Err(Error::Invalid { .. })));
    assert!(memory.try_lock("alone").await.unwrap().is_held(), "it was released");

    let one = session(&memory).await;
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    assert!(memory.delete_record("orders"));
    held.lost().await;
    let lost = held.release_and_queue().await;
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");

    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    one.end().await.unwrap();
    assert!(held.release_and_queue().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn all_locks_or_none_are_acquired() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let both = one.lock_all(["b", "a"], LockOptions::default()).await.unwrap();
    assert_eq!(both.iter().map(|guard| guard.name()).collect::<Vec<_>>(), ["b", "a"]);

    let late = LockOptions::default().wait(Duration::from_secs(1));
    drop(both);
    let _a = one.lock("b", LockOptions::default()).await.unwrap();
    assert!(two.lock_all(["a", "b"], late).await.is_err());
    sleep(SOON).await;
    assert!(one.try_lock("a").await.is_ok(), "what was acquired is released");
    let twice = one.lock_all(["c", "c"], LockOptions::default()).await;
    assert!(matches!(twice, Err(Error::Invalid { .. })), "{twice:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_silent_for_a_while_keeps_its_place_in_the_queue() {
    let memory = Memory::default();
    let silent = another(&memory);
    let (one, two, three) =
        (session(&memory).await, session(&silent).await, session(&another(&memory)).await);
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    let first = wait(&two, "orders");
    sleep(SOON).await;
    let second = wait(&three, "orders");
    sleep(SOON).await;

    // Longer than its heartbeat is trusted, but the others have not ended it yet.
    silent.disturb(Some(Fault::LoseRequest));
    sleep(Duration::from_secs(14)).await;
    held.release().await.unwrap();
    sleep(SOON).await;
    assert!(!first.is_finished(), "a grant counts only while the session is known to be alive");
    silent.disturb(None);

    let granted = timeout(TTL, first).await.unwrap().unwrap().unwrap();
    assert!(granted.is_held() && !second.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_its_holder_saw_as_lost_goes_to_the_next_although_the_heartbeat_is_confirmed() {
    let memory = Memory::default();
    let slow = another(&memory);
    let (one, two) = (session(&slow).await, session(&memory).await);
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&two, "orders");
    sleep(SOON).await;

    // The next heartbeat is confirmed just before the deadline that it moves, but no task runs until just after it.
    let (left, moment) = (held.remaining(), Duration::from_millis(2));
    slow.disturb(Some(Fault::Delay((left + SOON).saturating_sub(TTL / 3 + moment))));
    sleep(left.saturating_sub(moment * 2)).await;
    slow.disturb(None);
    let mut passing = std::pin::pin!(tokio::time::advance(moment * 3));
    assert!(futures::poll!(&mut passing).is_pending());
    assert!(held.check().is_err());
    passing.await;

    assert!(timeout(TTL, waiting).await.unwrap().unwrap().unwrap().is_held());
    assert!(!held.is_held() && !one.remaining().is_zero());
}
