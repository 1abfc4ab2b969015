//! Calls of a session come to an end, and leave nothing behind.

use std::collections::BTreeSet;

use leasehold::{LeaderOptions, Session, SessionOptions, Status};
use tokio::time::timeout;

use super::sessions::{lock, session, waiting};
use crate::{prelude::*, server::Commit};

/// The time to live of a session.
const TTL: Duration = secs(15);

/// The names of all Leases.
fn leases(cluster: &Cluster) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for Commit { before, after, .. } in cluster.commits() {
        let name = |lease: &Value| lease["metadata"]["name"].as_str().expect("a name").to_owned();
        match (before, after) {
            (_, Some(lease)) => drop(names.insert(name(&lease))),
            (Some(lease), None) => drop(names.remove(&name(&lease))),
            (None, None) => {}
        }
    }
    names
}

fn writes(name: &'static str) -> When {
    When::is(move |request| request.is_write() && request.name == name)
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_call_was_dropped_leaves_no_lease() {
    // Before the create is sent, while it is under way, while the watch begins, and when the answer is late.
    for (dropped, answered) in
        [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (400, 600), (400, 4000)]
    {
        let cluster = Cluster::new();
        cluster.on(When::verb("create"), Play::as_it_is().late(millis(answered)));
        let handle = cluster.handle("a");

        let open = timeout(millis(dropped), handle.session(SessionOptions::default())).await;
        drop(open);
        sleep(TTL * 2).await;

        assert_eq!(leases(&cluster), BTreeSet::new(), "dropped after {dropped} ms");
        let requests = cluster.requests().len();
        sleep(secs(3600)).await;
        assert_eq!(cluster.requests().len(), requests, "dropped after {dropped} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn close_returns_the_refusal_of_a_release_and_the_release_goes_on() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let held = lock(&a, "orders").await;
    cluster.on(writes("orders"), Play::instead(Answer::forbidden("update", "orders")));
    drop(held);
    let began = cluster.now();

    let closed = timeout(TTL * 4, a.close()).await.expect("it returns");

    assert!(matches!(closed, Err(Error::PermissionDenied { .. })), "{closed:?}");
    assert!(cluster.now() - began <= TTL, "{:?}", cluster.now() - began);
    cluster.heal();
    sleep(TTL).await;
    assert_eq!(cluster.holder("orders"), "");
    a.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_returns_the_refusal_of_a_release_and_others_get_the_lock() {
    // The session also reads the record between two refusals, and may end after such a read.
    for answered in 0..20 {
        let cluster = Cluster::new();
        let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
        let held = lock(&a, "orders").await;
        let refusal = Play::instead(Answer::forbidden("update", "orders"));
        cluster.on(writes("orders").by("a"), refusal.late(millis(100 * answered)));

        let ended = timeout(TTL * 4, a.end()).await.expect("it returns");

        assert!(matches!(ended, Err(Error::PermissionDenied { .. })), "{ended:?}");
        assert!(!held.is_held());
        assert!(timeout(TTL, lock(&b, "orders")).await.expect("the session is over").is_held());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_and_close_return_an_error_when_writes_have_failed_for_a_ttl() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let (orders, bills) = (lock(&a, "orders").await, lock(&a, "bills").await);
    // A webhook that is not available, for locks only: heartbeats go on.
    for name in ["orders", "bills"] {
        cluster.on(writes(name), Play::instead(Answer::leader_changed()));
    }
    let began = cluster.now();
    drop(bills);

    let ends = async { tokio::join!(orders.release(), a.close()) };
    let (released, closed) = timeout(TTL * 4, ends).await.expect("both return");

    assert!(matches!(released, Err(Error::Unavailable { .. })), "{released:?}");
    assert!(matches!(closed, Err(Error::Unavailable { .. })), "{closed:?}");
    let took = cluster.now() - began;
    assert!(took >= TTL && took <= TTL * 2, "{took:?}");
    cluster.heal();
    sleep(TTL).await;
    assert_eq!((cluster.holder("orders"), cluster.holder("bills")), Default::default());
}

#[tokio::test(start_paused = true)]
async fn close_of_a_session_that_is_always_in_use_waits_only_for_what_was_given_up_before() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    // Each write takes so long that at any time one of the two is under way.
    for (name, at) in [("one", 0), ("two", 150)] {
        cluster.on(writes(name), Play::as_it_is().late(millis(300)));
        let a = a.clone();
        tokio::spawn(async move {
            sleep(millis(at)).await;
            loop {
                drop(lock(&a, name).await);
            }
        });
    }
    sleep(secs(5)).await;

    let closed = timeout(secs(2), a.close()).await;

    closed.expect("it returns").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_without_a_server_ends_in_time_and_names_the_known_holder() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = lock(&a, "orders").await;
    let began = cluster.now();
    let waits = tokio::spawn({
        let b = b.clone();
        async move { b.lock("orders", wait(secs(3))).await }
    });
    held.requested().await;
    cluster.on(When::any().by("b"), Play::lost());

    let known = waits.await.unwrap();
    let took = cluster.now() - began;
    let unknown = b.lock("bills", wait(millis(500))).await;
    let took_unknown = cluster.now() - began - took;

    let Err(Error::Timeout { holder, .. }) = known else { panic!("{known:?}") };
    assert_eq!(holder, a.id());
    assert!(took >= secs(3) && took <= secs(4) + millis(100), "{took:?}");
    assert!(matches!(unknown, Err(Error::Unavailable { .. })), "{unknown:?}");
    assert!(took_unknown <= millis(1600), "{took_unknown:?}");
}

/// A candidate and a wait of a session that is lost, and that cannot be created again.
async fn lost_for_good(cluster: &Cluster) -> (Session, leasehold::Leader, Error) {
    let (a, b) = (session(cluster, "a").await, session(cluster, "b").await);
    let leader = a.leader("billing", LeaderOptions::default()).await.expect("a candidate");
    let lead = leader.elected().await.expect("it leads");
    let held = lock(&b, "orders").await;
    let waits = tokio::spawn({
        let a = a.clone();
        async move { a.lock("orders", LockOptions::default()).await }
    });
    held.requested().await;
    cluster.deny(&["create"]);
    cluster.delete(&a.id());
    lead.lost().await;

    let waited = timeout(TTL / 3, waits).await.expect("it returns").expect("no panic");
    (a, leader, waited.expect_err("a refusal"))
}

#[tokio::test(start_paused = true)]
async fn calls_get_the_refusal_of_a_new_session_and_later_ones_succeed_when_it_is_permitted() {
    let cluster = Cluster::new();
    let (a, leader, waited) = lost_for_good(&cluster).await;

    let locked = timeout(TTL, a.lock("bills", LockOptions::default())).await;
    let stood = timeout(TTL, a.leader("reports", LeaderOptions::default())).await;
    let tried = timeout(TTL, a.lock("bills", LockOptions::default().try_once())).await;

    let refusals = [
        waited,
        locked.expect("it returns").unwrap_err(),
        stood.expect("it returns").unwrap_err(),
        tried.expect("it returns").unwrap_err(),
    ];
    for refused in refusals {
        assert!(matches!(refused, Error::PermissionDenied { verb: "create", .. }), "{refused:?}");
    }
    let error = leader.last_error();
    assert!(matches!(error, Some(Error::PermissionDenied { .. })), "{error:?}");
    assert_ne!(leader.status(), Status::Leading);
    cluster.grant_all();
    assert!(timeout(TTL * 4, lock(&a, "bills")).await.expect("it returns").is_held());
    let lead = timeout(TTL * 4, leader.elected()).await.expect("it leads again").unwrap();
    assert!(lead.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_call_gets_the_refusal_of_heartbeats_when_the_session_is_silent() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let held = lock(&a, "orders").await;
    cluster.deny(&["update"]);
    held.lost().await;

    let refused = timeout(TTL, a.lock("bills", LockOptions::default())).await;

    let refused = refused.expect("it returns").unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { verb: "update", .. }), "{refused:?}");
    cluster.grant_all();
    assert!(timeout(TTL * 2, waiting(&a, "bills")).await.expect("it returns").unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_lock_with_the_name_of_a_session_leaves_that_session_alone() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let (id, held) = (a.id(), lock(&a, "orders").await);

    for user in [&a, &b] {
        lock(user, &id).await.release().await.unwrap();
    }
    cluster.handle("c").lock(&id, LockOptions::default()).await.unwrap().release().await.unwrap();
    sleep(TTL).await;

    assert!(held.is_held());
    assert_eq!(a.id(), id);
}

#[tokio::test(start_paused = true)]
async fn a_call_after_a_refusal_is_tried_at_once() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let held = lock(&a, "bills").await;
    let (orders, bills) = (writes("orders"), writes("bills"));
    cluster.on(orders, Play::instead(Answer::forbidden("create", "orders")));
    cluster.on(bills, Play::instead(Answer::forbidden("update", "bills")));
    let again = a.clone();
    for _ in 0..2 {
        let began = cluster.now();
        let refused = again.lock("orders", LockOptions::default()).await.unwrap_err();
        assert!(matches!(refused, Error::PermissionDenied { verb: "create", .. }), "{refused:?}");
        assert!(cluster.now() - began < millis(100), "{:?}", cluster.now() - began);
    }
    let refused = held.release().await.unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { verb: "update", .. }), "{refused:?}");
    sleep(millis(10)).await;

    cluster.heal();
    let began = cluster.now();

    let (orders, bills) = (lock(&a, "orders").await, lock(&a, "bills").await);

    assert!(orders.is_held() && bills.is_held());
    assert!(cluster.now() - began < millis(100), "{:?}", cluster.now() - began);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_wait_for_several_locks_states_the_whole_wait() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let _held = lock(&b, "orders").await;
    cluster.on(writes("bills"), Play::as_it_is().late(millis(300)));

    let refused = a.lock_all(["orders", "bills"], wait(secs(2))).await.unwrap_err();

    assert!(matches!(refused, Error::Timeout { waited, .. } if waited == secs(2)), "{refused:?}");
}
