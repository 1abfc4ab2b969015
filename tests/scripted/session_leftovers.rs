//! What sessions leave behind when they hand a lock on and end.

use crate::{
    prelude::*,
    sessions::{lock, session, waiting},
};

/// One session after the other holds a lock and ends. The last one waits behind the second one, and so learns of the
/// first hand-over only by its own reads.
#[tokio::test(start_paused = true)]
async fn a_session_that_has_handed_its_lock_on_and_ended_is_not_created_again() {
    // The reads of the record and of the holder are due every 5 s, in an order that chance decides.
    for end in 0..20 {
        let cluster = Cluster::new();
        let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
        let c = session(&cluster, "c").await;
        let held = lock(&a, "orders").await;
        let second = waiting(&b, "orders");
        sleep(secs(1)).await;
        let third = waiting(&c, "orders");
        cluster.until(secs(10) + millis(250 * end)).await;

        held.release().await.unwrap();
        a.end().await.unwrap();
        let held = second.await.unwrap();
        sleep(secs(12)).await;

        assert_eq!(cluster.lease(&a.id()), None, "after {end} quarters of a second");
        held.release().await.unwrap();
        b.end().await.unwrap();
        third.await.unwrap().release().await.unwrap();
        c.end().await.unwrap();
        assert_eq!((cluster.lease(&b.id()), cluster.lease(&c.id())), (None, None));
    }
}

/// A single try leaves no claim, but its session observes the holder for a later try.
#[tokio::test(start_paused = true)]
async fn a_session_that_ended_after_a_single_try_of_another_one_is_not_created_again() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = lock(&a, "orders").await;
    let tried = b.lock("orders", LockOptions::default().try_once()).await;
    assert!(matches!(tried, Err(Error::Held { .. })), "{tried:?}");
    sleep(secs(1)).await;

    held.release().await.unwrap();
    a.end().await.unwrap();
    sleep(secs(60)).await;

    assert_eq!(cluster.lease(&a.id()), None);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_still_waits_for_a_missing_session_gets_it_after_its_ttl() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let _held = lock(&a, "orders").await;
    let next = waiting(&b, "orders");
    sleep(secs(10)).await;
    cluster.on(When::any().by("a"), Play::lost());
    cluster.delete(&a.id());
    let deleted = cluster.now();

    let held = next.await.unwrap();

    let waited = cluster.now() - deleted;
    assert!(held.is_held() && waited >= secs(15) && waited < secs(21), "{waited:?}");
}
