//! The connections of a session: how many remain after many requests at once, and what is lost if all of them die.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use leasehold::{Guard, Kubernetes, LockOptions, Session, SessionOptions, Sync as _};
use leasehold_test_support::{Link, Proxy, Way};
use tokio::time::sleep;

use super::{POLL, Place};

/// How long a surplus connection stays at most, and time for a busy machine.
const CLOSED: Duration = Duration::from_secs(10 + 5);
/// What may remain: a watch, two connections for requests about sessions, and four for others. A heartbeat has one
/// more if the answer to the one before takes long.
const FEW: usize = 7;
/// How many connections late answers may cost on a busy machine. There are more heartbeats than that.
const LATE: usize = 2;
const LOCKS: usize = 200;

/// A session with many locks, through a proxy that is so slow that many requests are under way at once.
async fn holder(place: &Place, ttl: Duration) -> (Proxy, Session, Vec<Guard>) {
    let (proxy, config) = place.behind_proxy().await;
    let handle = Kubernetes::from_config(config, place.options()).unwrap();
    let session = handle.session(SessionOptions::default().ttl(ttl)).await.unwrap();
    let slow = Way::Slow(Duration::from_millis(20));
    proxy.set(Link { requests: slow, replies: slow });
    let names: Vec<_> = (0..LOCKS).map(|number| format!("lock-{number}")).collect();
    let locks = names.iter().map(|name| session.lock(name, LockOptions::default()));
    let guards = try_join_all(locks).await.unwrap();
    assert!(proxy.connections() > 2 * FEW, "{} connections", proxy.connections());
    proxy.set(Link::default());
    (proxy, session, guards)
}

#[tokio::test]
async fn the_connections_of_many_requests_close_soon_and_a_heartbeat_opens_none() {
    let ttl = Duration::from_secs(6);
    let (proxy, session, guards) = holder(&Place::new().await, ttl).await;

    let begun = Instant::now();
    while proxy.connections() > FEW && begun.elapsed() < CLOSED {
        sleep(POLL).await;
    }
    assert!(proxy.connections() <= FEW, "{} connections", proxy.connections());
    let opened = proxy.accepted();
    sleep(ttl * 2).await;

    let more = proxy.accepted() - opened;
    assert!(more <= LATE, "{more} connections were opened for heartbeats");
    assert!(guards.iter().all(|guard| guard.is_held()));
    session.end().await.unwrap();
}

/// As when the power of the server fails that all connections lead to. Each heartbeat on a dead connection is lost, and
/// the session ends after three of them.
#[tokio::test]
async fn a_session_outlives_the_death_of_all_its_connections_after_many_requests() {
    let ttl = Duration::from_secs(9);
    let (proxy, session, guards) = holder(&Place::new().await, ttl).await;
    let id = session.id();

    proxy.silence();
    sleep(ttl * 2).await;

    assert_eq!(session.id(), id);
    assert!(guards.iter().all(|guard| guard.is_held()));
}
