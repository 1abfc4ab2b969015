//! A lock that another process holds.

use std::time::{Duration, Instant};

use leasehold::Sync as _;
use rustix::process::Signal;

use crate::{Fixture, brief};

#[tokio::test]
async fn a_held_lock_ends_with_75_at_once_or_after_the_wait() {
    let fixture = Fixture::new().await;
    let holder = fixture.handle();
    let guard = holder.lock("orders", brief()).await.unwrap();

    let tried = fixture.leasehold(["lock", "--try", "orders", "echo", "in"]).end().await;
    let begun = Instant::now();
    let waited =
        fixture.leasehold(["lock", "--wait", "1500ms", "orders", "echo", "in"]).end().await;
    let took = begun.elapsed();
    let coded = fixture
        .leasehold(["lock", "--try", "--busy-code", "3", "orders", "echo", "in"])
        .end()
        .await;
    let by_env = fixture.leasehold(["lock", "orders", "echo", "in"]).env("LEASEHOLD_TRY", "true");

    let first = fixture.leasehold(["lock", "--wait", "1s", "orders", "echo", "in"]);
    let first = first.env("LEASEHOLD_TRY", "1").end().await;
    let second = fixture.leasehold(["lock", "--try", "orders", "echo", "in"]);
    let second = second.env("LEASEHOLD_WAIT", "1h").end().await;

    assert!(first.stderr.contains("waited 1") && second.code == Some(75), "{first:?} {second:?}");
    for (ended, code) in [(&tried, 75), (&waited, 75), (&coded, 3), (&by_env.end().await, 75)] {
        assert_eq!((ended.code, ended.text()), (Some(code), ""), "{ended:?}");
        assert!(
            ended.stderr_line().contains(guard.holder()) && ended.stderr_line().contains("orders")
        );
    }
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_secs(6), "{took:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_wait_that_takes_long_names_the_holder() {
    let fixture = Fixture::new().await;
    let guard = fixture.handle().lock("orders", brief()).await.unwrap();
    let mut waiter = fixture.leasehold(["lock", "orders", "echo", "in"]).start();

    let line = waiter.stderr_line().await;

    let held = format!("held by `{}`", guard.holder());
    assert!(line.contains("is waited for") && line.contains(&held), "{line}");
    guard.release().await.unwrap();
    assert_eq!(waiter.end().await.text(), "in\n");
}

#[tokio::test]
async fn a_signal_ends_the_wait_and_no_waiter_remains() {
    let fixture = Fixture::new().await;
    let holder = fixture.handle();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let guard = holder.lock("orders", brief()).await.unwrap();
        let watches = fixture.requests("watch");
        let waiter = fixture.leasehold(["lock", "orders", "echo", "in"]).start();
        fixture.until_requested("watch", watches + 1).await;

        waiter.signal(signal);
        let ended = waiter.end().await;

        assert_eq!((ended.code, ended.text()), (Some(code), ""), "{ended:?}");
        assert_eq!(fixture.holder("orders").await.as_deref(), Some(guard.holder()));
        guard.release().await.unwrap();
        assert_eq!(fixture.holder("orders").await, None);
    }
}

#[tokio::test]
async fn two_contenders_never_hold_together_and_both_acquire() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    // `mkdir` fails if the other contender holds the lock.
    let script = "mkdir \"$1\" || exit 1; echo in; rmdir \"$1\"";
    let round = async |name: &'static str| {
        for _ in 0..10 {
            let ended = fixture
                .leasehold(["lock", "--id", name, "orders", "sh", "-c", script, "sh"])
                .arg(&path)
                .end()
                .await;
            assert_eq!((ended.code, ended.text()), (Some(0), "in\n"), "{ended:?}");
        }
    };

    tokio::join!(round("a"), round("b"));

    let lease = fixture.leases().get("orders").await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(19), "twenty separate tenures");
}
