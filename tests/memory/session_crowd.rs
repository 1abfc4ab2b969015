//! A process with more callers than a queue has places.

use std::time::Duration;

use leasehold::{LockOptions, Memory, Sync as _};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::sessions::{another, session};

#[tokio::test(start_paused = true)]
async fn a_process_with_many_callers_leaves_places_in_the_queue_to_others() {
    let memory = Memory::default();
    let (busy, other) = (session(&memory).await, session(&another(&memory)).await);
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let busy = busy.clone();
        tasks.spawn(async move {
            loop {
                let guard = busy.lock("hot", LockOptions::default()).await.unwrap();
                sleep(Duration::from_millis(50)).await;
                guard.release().await.unwrap();
            }
        });
    }
    sleep(Duration::from_secs(1)).await;

    for _ in 0..3 {
        let limit = Duration::from_secs(15);
        let guard = timeout(limit, other.lock("hot", LockOptions::default())).await;

        guard.expect("a place in the queue").unwrap().release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn all_callers_of_a_crowd_are_served() {
    let memory = Memory::default();
    let (one, two) = (session(&memory).await, session(&another(&memory)).await);
    let mut tasks = JoinSet::new();
    for number in 0..300 {
        let session = if number % 3 == 0 { two.clone() } else { one.clone() };
        tasks.spawn(async move {
            let guard = session.lock("hot", LockOptions::default()).await.unwrap();
            sleep(Duration::from_millis(5)).await;
            guard.release().await.unwrap();
        });
    }

    let served = timeout(Duration::from_secs(60), tasks.join_all()).await;

    assert!(served.is_ok(), "not all were served");
}
