//! A single try of a lock whose holder has crashed: it waits, because a process may take a lock only after it has seen
//! the record unchanged for the ttl.

use std::time::Duration;

use leasehold::{LockOptions, SessionOptions, Sync as _};
use rustix::process::Signal;

use crate::Fixture;

/// Longer ago than the ttl of 1 s.
const AFTER: Duration = Duration::from_millis(2500);

#[tokio::test]
async fn a_single_try_gets_the_lock_of_a_crashed_holder() {
    let fixture = Fixture::new().await;
    for mode in [&[][..], &["--queue"], &["--slots", "1"]] {
        let lock = ["lock", "--ttl", "1s"].iter().chain(mode).copied();
        let mut holder = fixture.leasehold(lock.chain(["orders"])).start();
        holder.line().await;
        holder.signal(Signal::KILL);
        tokio::time::sleep(AFTER).await;

        let lock = ["lock", "--try", "--ttl", "3s"].iter().chain(mode).copied();
        let next = fixture.leasehold(lock.chain(["orders", "echo", "in"])).end().await;

        assert_eq!((next.code, next.text()), (Some(0), "in\n"), "{mode:?}: {next:?}");
    }
}

#[tokio::test]
async fn of_two_tries_after_a_crash_one_runs_and_the_other_ends_with_75() {
    let fixture = Fixture::new().await;
    for mode in [&[][..], &["--queue"]] {
        let lock = ["lock", "--ttl", "1s"].iter().chain(mode).copied();
        let mut holder = fixture.leasehold(lock.chain(["orders"])).start();
        holder.line().await;
        holder.signal(Signal::KILL);
        tokio::time::sleep(AFTER).await;

        let tried = || {
            let lock = ["lock", "--try", "--ttl", "6s"].iter().chain(mode).copied();
            fixture.leasehold(lock.chain(["orders", "sleep", "3"])).end()
        };
        let (one, two) = tokio::join!(tried(), tried());

        let mut codes = [one.code, two.code];
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(75)], "{mode:?}: {one:?} {two:?}");
    }
}

#[tokio::test]
async fn a_single_try_in_the_queue_gets_the_lock_of_a_session_that_was_ended() {
    let fixture = Fixture::new().await;
    let mut holder = fixture.leasehold(["lock", "--queue", "--ttl", "1s", "orders"]).start();
    holder.line().await;
    holder.signal(Signal::KILL);
    holder.code().await;
    let session = fixture.handle().session(SessionOptions::default()).await.unwrap();
    let held = session.queue("orders").await.unwrap().holders[0].session.clone();
    let released = fixture.leasehold(["release", "--session", &held]).end().await;
    assert_eq!(released.code, Some(0), "{released:?}");

    let next = fixture.leasehold(["lock", "--try", "--queue", "orders", "echo", "in"]);
    let next = next.end().await;

    assert_eq!((next.code, next.text()), (Some(0), "in\n"), "{next:?}");
    session.end().await.unwrap();
}

#[tokio::test]
async fn a_single_try_does_not_wait_for_a_holder_that_renews() {
    let fixture = Fixture::new().await;
    let handle = fixture.handle();
    let session = handle.session(SessionOptions::default()).await.unwrap();
    let one = handle.lock("one", LockOptions::default()).await.unwrap();
    let two = session.lock("two", LockOptions::default()).await.unwrap();
    for (name, mode) in
        [("one", &[][..]), ("one", &["--queue"]), ("two", &[]), ("two", &["--queue"])]
    {
        let waits = fixture.requests("watch");
        let lock = ["lock", "--try"].iter().chain(mode).copied();
        let tried = fixture.leasehold(lock.chain([name, "echo", "in"])).end().await;

        assert_eq!((tried.code, tried.text()), (Some(75), ""), "{name} {mode:?}: {tried:?}");
        let watched = fixture.requests("watch") - waits;
        assert!(watched <= mode.len() as u64, "{watched} watches: it waited");
    }
    one.release().await.unwrap();
    two.release().await.unwrap();
    session.end().await.unwrap();
}

#[tokio::test]
async fn a_lock_in_another_mode_is_taken_over_if_its_holder_has_crashed_or_was_ended() {
    let fixture = Fixture::new().await;
    let modes = [&["--queue"][..], &["--slots", "2"], &["--slots", "3"], &["--shared"]];
    for (index, mode) in modes.iter().enumerate() {
        let lock = ["lock", "--ttl", "1s"].iter().chain(*mode).copied();
        let mut holder = fixture.leasehold(lock.chain(["orders"])).start();
        holder.line().await;
        holder.signal(Signal::KILL);
        tokio::time::sleep(AFTER).await;

        let other = modes[(index + 1) % modes.len()];
        let lock = ["lock", "--ttl", "3s"].iter().chain(other).copied();
        let next = fixture.leasehold(lock.chain(["orders", "echo", "in"])).end().await;

        assert_eq!((next.code, next.text()), (Some(0), "in\n"), "{mode:?}: {next:?}");
    }
}

#[tokio::test]
async fn a_single_try_gets_the_lock_of_a_process_that_was_killed_and_whose_session_was_deleted() {
    let fixture = Fixture::new().await;
    let mut holder = fixture.leasehold(["lock", "--queue", "--ttl", "2s", "orders"]).start();
    holder.line().await;
    holder.signal(Signal::KILL);
    holder.code().await;
    let session = fixture.handle().session(SessionOptions::default()).await.unwrap();
    let held = session.queue("orders").await.unwrap().holders[0].session.clone();
    let released = fixture.leasehold(["release", "--session", &held, "--force"]).end().await;
    assert_eq!(released.code, Some(0), "{released:?}");

    let next = fixture.leasehold(["lock", "--try", "--queue", "orders", "echo", "in"]);
    let next = next.end().await;

    assert_eq!((next.code, next.text()), (Some(0), "in\n"), "{next:?}");
    session.end().await.unwrap();
}

#[tokio::test]
async fn a_single_try_gets_the_lock_of_a_crashed_session_whose_queue_was_removed() {
    let fixture = Fixture::new().await;
    let mut holder = fixture.leasehold(["lock", "--queue", "--ttl", "1s", "orders"]).start();
    holder.line().await;
    holder.signal(Signal::KILL);
    holder.code().await;
    fixture
        .edit("orders", |lease| {
            lease.metadata.annotations.as_mut().unwrap().remove("leasehold.dev/queue");
        })
        .await;
    tokio::time::sleep(AFTER).await;

    let next = fixture.leasehold(["lock", "--try", "--queue", "orders", "echo", "in"]);
    let next = next.end().await;

    assert_eq!((next.code, next.text()), (Some(0), "in\n"), "{next:?}");
}
