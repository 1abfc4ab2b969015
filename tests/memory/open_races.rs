//! Callers with little time get a free lock at once, also where a process leaves some free locks to others.

use std::time::Duration;

use leasehold::{LockOptions, Memory, Sync as _};
use tokio::time::sleep;

use super::{now, pair};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Both have the lock in turn, so that each leaves some races open.
async fn take_turns(a: &Memory, b: &Memory) {
    for handle in [b, a] {
        let guard = handle.lock("x", LockOptions::default()).await.expect("the lock");
        sleep(millis(20_000)).await;
        guard.release().await.expect("a release");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_for_a_lock_that_no_other_process_wants_is_over_at_once() {
    let (a, b) = pair();
    for _ in 0..100 {
        take_turns(&a, &b).await;
        let asked = now();

        let guard = a.lock("x", LockOptions::default().wait(millis(100))).await.unwrap();

        assert!(now() - asked < millis(100), "after {:?}", now() - asked);
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_try_does_not_wait_with_a_caller_of_the_same_process() {
    let (a, b) = pair();
    for _ in 0..100 {
        take_turns(&a, &b).await;
        let waits = async {
            let guard = a.lock("x", LockOptions::default()).await.unwrap();
            guard.release().await.unwrap();
        };
        let tries = async {
            sleep(millis(1)).await;
            let asked = now();
            let _ = a.lock("x", LockOptions::default().try_once()).await;
            now() - asked
        };

        let ((), took) = tokio::join!(waits, tries);

        assert!(took < millis(10), "after {took:?}");
    }
}
