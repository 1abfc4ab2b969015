//! A session whose server is away: calls come to an end, and so does the task.

use std::time::Duration;

use leasehold::{Error, Fault, LeaderOptions, LockOptions, Memory, Sync as _};
use tokio::time::{sleep, timeout};

use super::{
    now,
    sessions::{SOON, TTL, session},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Requests that are lost, refused, and answered long after their attempt.
const FAULTS: [Fault; 3] =
    [Fault::LoseRequest, Fault::Refuse, Fault::Delay(Duration::from_secs(40))];

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_without_a_server_returns_and_leaves_no_task() {
    for fault in FAULTS {
        for locks in 0..2 {
            let memory = Memory::default();
            let one = session(&memory).await;
            let held = match locks {
                0 => None,
                _ => Some(one.lock("orders", LockOptions::default()).await.unwrap()),
            };
            memory.disturb(Some(fault));
            let began = now();

            let ended = timeout(HOUR, one.end()).await.expect("it returns");

            assert!(ended.is_err(), "{fault:?}, {locks} locks: {ended:?}");
            assert!(began.elapsed() <= TTL * 2, "{fault:?}, {locks} locks: {:?}", began.elapsed());
            drop((one, held));
            sleep(Duration::from_secs(120)).await;
            let before = memory.request_count();
            sleep(HOUR).await;
            assert_eq!(memory.request_count(), before, "{fault:?}, {locks} locks");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_without_a_server_returns_an_error_when_the_session_is_silent() {
    for fault in FAULTS {
        let memory = Memory::default();
        let one = session(&memory).await;
        let held = one.lock("orders", LockOptions::default()).await.unwrap();
        let leader = one.leader("reports", LeaderOptions::default()).await.unwrap();
        sleep(SOON).await;
        memory.disturb(Some(fault));
        let began = now();

        let released = timeout(HOUR, held.release()).await.expect("it returns");
        let resigned = timeout(HOUR, leader.resign()).await.expect("it returns");

        assert!(released.is_err() && resigned.is_err(), "{fault:?}: {released:?}, {resigned:?}");
        assert!(began.elapsed() <= TTL, "{fault:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_released_without_a_server_leaves_the_record_when_it_is_back() {
    let memory = Memory::default();
    let one = session(&memory).await;
    let held = one.lock("orders", LockOptions::default()).await.unwrap();
    memory.disturb(Some(Fault::LoseRequest));
    timeout(HOUR, held.release()).await.expect("it returns").unwrap_err();
    memory.disturb(None);

    let again = timeout(TTL, one.lock("orders", LockOptions::default())).await;

    assert!(matches!(again, Ok(Ok(_))), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_server_ends_with_an_error() {
    for fault in FAULTS {
        let memory = Memory::default();
        let one = session(&memory).await;
        memory.disturb(Some(fault));
        let wait = LockOptions::default().wait(Duration::from_secs(5));
        let began = now();

        let locked = timeout(HOUR, one.lock("orders", wait)).await.expect("it returns");

        assert!(!matches!(locked, Ok(_) | Err(Error::Held { .. })), "{fault:?}: {locked:?}");
        assert!(began.elapsed() <= TTL * 2, "{fault:?}: {:?}", began.elapsed());
    }
}
