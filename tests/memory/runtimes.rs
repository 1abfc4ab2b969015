//! Several Tokio runtimes in one process: a contender runs on the runtime of its first caller.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use leasehold::{Error, Fault, LockOptions, Memory, Options, SessionOptions, Sync as _};
use tokio::runtime::{Builder, Runtime};

use crate::secs;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test measures time")]
fn a_bounded_wait_ends_although_the_runtime_of_the_contender_is_not_polled() {
    let sync = Memory::new(Options::default()).unwrap();
    let (first, second) = (runtime(), runtime());
    let options = || LockOptions::default().ttl(secs(1));
    let held = first.block_on(sync.lock("x", options())).unwrap();

    let start = Instant::now();
    let waited = second.block_on(sync.lock("x", options().wait(secs(1))));

    assert!(matches!(waited, Err(Error::Unavailable { .. })), "{waited:?}");
    assert!((secs(1)..secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
    drop(held);
}

#[test]
fn a_lock_is_acquired_after_the_runtime_of_its_contender_has_ended() {
    let sync = Memory::new(Options::default()).unwrap();
    let first = runtime();
    let held = first.block_on(sync.lock("x", LockOptions::default().ttl(secs(1)))).unwrap();
    drop(first);
    assert!(!held.is_held());

    let wait = LockOptions::default().ttl(secs(1)).wait(Duration::from_secs(10));
    let again = runtime().block_on(sync.lock("x", wait));

    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn requests_on_a_runtime_that_is_not_polled_do_not_keep_a_holder_from_its_renewals() {
    let sync = Memory::new(Options::default()).unwrap();
    let (first, second) = (runtime(), runtime());
    let held = second
        .block_on(sync.lock("held", LockOptions::default().ttl(secs(2))))
        .expect("it is free");
    sync.disturb(Some(Fault::LoseRequest));
    first.block_on(async {
        for number in 0..100 {
            let sync = sync.clone();
            tokio::spawn(async move {
                let name = format!("other-{number}");
                sync.lock(&name, LockOptions::default()).await.map(drop)
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    // Those for which there was no permit have not been sent.
    sync.disturb(None);

    let lost = second.block_on(async { tokio::time::timeout(secs(5), held.lost()).await });

    assert!(lost.is_err(), "lost: {lost:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test measures time")]
fn a_bounded_wait_ends_although_the_runtime_of_the_session_is_not_polled() {
    let sync = Memory::new(Options::default()).unwrap();
    let (first, second) = (runtime(), runtime());
    let session = first.block_on(sync.session(SessionOptions::default())).unwrap();

    let start = Instant::now();
    let waited = second.block_on(session.lock("x", LockOptions::default().wait(secs(1))));

    assert!(matches!(waited, Err(Error::Unavailable { .. })), "{waited:?}");
    assert!((secs(1)..secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[test]
fn a_session_whose_runtime_has_ended_is_lost() {
    let sync = Memory::new(Options::default()).unwrap();
    let (first, second) = (runtime(), runtime());
    let session = first.block_on(sync.session(SessionOptions::default())).unwrap();
    let held = first.block_on(session.lock("x", LockOptions::default())).unwrap();
    drop(first);

    let lost = second.block_on(async { tokio::time::timeout(secs(5), session.lost()).await });

    assert!(lost.is_ok() && !held.is_held());
    assert_eq!(session.remaining(), Duration::ZERO);
    let ended = second.block_on(session.end());
    assert!(matches!(ended, Err(Error::Closed { .. })), "its locks are not released: {ended:?}");
    let another = second.block_on(sync.session(SessionOptions::default())).unwrap();
    second.block_on(async { (another.end().await.unwrap(), another.end().await.unwrap()) });
}

#[test]
fn the_queue_of_a_lock_cannot_be_read_without_a_runtime() {
    let sync = Memory::new(Options::default()).unwrap();
    let first = runtime();
    let session = first.block_on(sync.session(SessionOptions::default())).unwrap();

    let queue = session.queue("x").now_or_never().expect("an error at once");

    assert!(matches!(queue, Err(Error::Config { .. })), "{queue:?}");
}
