//! Sessions: one heartbeat for any number of locks, first come, first served.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::future::join_all;
use kube::api::{DeleteParams, ListParams};
use leasehold::{
    Error, Guard, Kubernetes, LockOptions, Loss, Session, SessionOptions, Sync as _, SyncExt as _,
};
use leasehold_test_support::{Link, Rule};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};

use super::{POLL, Place};

/// Short, so that tests do not wait long for an expiry.
pub(super) const TTL: Duration = Duration::from_secs(3);
/// A limit for events that are expected soon, on a busy machine.
pub(super) const LONG: Duration = Duration::from_secs(60);

pub(super) async fn session_of(handle: &Kubernetes) -> Session {
    handle.session(SessionOptions::default().ttl(TTL)).await.unwrap()
}

impl Place {
    async fn session(&self) -> Session {
        session_of(&self.handle()).await
    }

    /// Waits until so many claims are in the queue of `name`.
    async fn until_queued(&self, name: &str, count: usize) {
        for _ in 0..600 {
            let queue = self.line(name).await["queue"].as_array().map_or(0, Vec::len);
            if queue == count {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("waited in vain for {count} in the queue of {name}: {}", self.line(name).await);
    }

    /// Holders and queue of the lock, as `kubectl` shows them.
    async fn line(&self, name: &str) -> Value {
        let lease = self.leases().get(name).await.unwrap();
        let annotations = lease.metadata.annotations.unwrap_or_default();
        let Some(text) = annotations.get("leasehold.dev/queue") else { return Value::Null };
        let mut line: Value = serde_json::from_str(text).unwrap();
        // Those that came since the last hand-over.
        let joined = annotations.iter().filter(|(key, _)| key.starts_with("queue.leasehold.dev/"));
        line["queue"].as_array_mut().unwrap().extend(joined.map(|(_, claim)| json!(claim)));
        line
    }
}

pub(super) fn wait(session: &Session, name: &'static str) -> JoinHandle<leasehold::Result<Guard>> {
    let session = session.clone();
    tokio::spawn(async move { session.lock(name, LockOptions::default()).await })
}

pub(super) async fn lock(session: &Session, name: &str) -> Guard {
    session.lock(name, LockOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_release_hands_the_lock_to_the_next_session() {
    let place = Place::new().await;
    let (one, two) = (place.session().await, place.session().await);
    let held = lock(&one, "orders").await;
    let waiting = wait(&two, "orders");
    place.until_queued("orders", 1).await;

    let token = held.token();
    held.release().await.unwrap();
    let next = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();

    assert!(next.token() > token);
    let lease = place.leases().get("orders").await.unwrap();
    let labels: Vec<_> = lease.metadata.labels.unwrap().into_keys().collect();
    assert_eq!(labels, [format!("held.leasehold.dev/{}", two.id()), "leasehold.dev/kind".into()]);
    let spec = lease.spec.unwrap();
    assert_eq!(spec.holder_identity, Some(two.id()));
    assert_eq!(spec.lease_duration_seconds, Some(315_360_000));
}

#[tokio::test]
async fn ten_sessions_are_served_in_the_order_in_which_they_came() {
    let place = Place::new().await;
    let holder = place.session().await;
    let held = lock(&holder, "orders").await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..10 {
        let (process, order) = (place.session().await, Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let guard = lock(&process, "orders").await;
            order.lock().unwrap().push((number, guard.check().unwrap().get()));
            guard.release().await.unwrap();
        }));
        place.until_queued("orders", number + 1).await;
    }

    held.release().await.unwrap();
    let ended = timeout(LONG, join_all(tasks)).await.unwrap();

    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    let order = order.lock().unwrap();
    let numbers: Vec<_> = order.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    assert!(order.is_sorted_by_key(|(_, token)| *token), "{order:?}");
}

#[tokio::test]
async fn sessions_that_joined_a_process_that_crashed_are_served_in_the_order_in_which_they_came() {
    const WAITERS: usize = 6;
    let place = Place::new().await;
    let (proxy, config) = place.behind_proxy().await;
    let crashing = session_of(&Kubernetes::from_config(config, place.options()).unwrap()).await;
    let held = lock(&crashing, "orders").await;
    // It receives no event of a claim, so all claims are still joined and not in the queue when the lock is taken over.
    proxy.set(Link::BLACK_HOLE);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..WAITERS {
        let (process, order) = (place.session().await, Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let guard = lock(&process, "orders").await;
            order.lock().unwrap().push(number);
            guard.release().await.unwrap();
        }));
        place.until_queued("orders", number + 1).await;
    }

    let ended = timeout(LONG, join_all(tasks)).await.unwrap();

    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert!(!held.is_held());
    assert_eq!(*order.lock().unwrap(), (0..WAITERS).collect::<Vec<_>>());
}

#[tokio::test]
async fn sessions_that_want_a_lock_in_a_loop_never_hold_it_together() {
    let place = Place::new().await;
    let inside = Arc::new(Mutex::new((0, Vec::new())));
    let work = join_all((0..8).map(|_| async {
        let (session, inside) = (place.session().await, Arc::clone(&inside));
        for _ in 0..20 {
            let guard = lock(&session, "orders").await;
            {
                let mut inside = inside.lock().unwrap();
                inside.0 += 1;
                assert_eq!(inside.0, 1, "two holders");
                inside.1.push(guard.token().get());
            }
            tokio::task::yield_now().await;
            guard.check().unwrap();
            inside.lock().unwrap().0 -= 1;
            guard.release().await.unwrap();
        }
    }));

    timeout(LONG, work).await.unwrap();

    let tokens = &inside.lock().unwrap().1;
    assert_eq!(tokens.len(), 160);
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "tokens grow: {tokens:?}");
}

#[tokio::test]
async fn the_lock_of_a_crashed_process_goes_to_the_next_within_four_thirds_of_the_ttl() {
    let place = Place::new().await;
    let (proxy, config) = place.behind_proxy().await;
    let crashing = session_of(&Kubernetes::from_config(config, place.options()).unwrap()).await;
    let held = lock(&crashing, "orders").await;
    let next = place.session().await;
    let waiting = wait(&next, "orders");
    // Long enough for the waiter to observe the holder.
    tokio::time::sleep(TTL).await;

    proxy.set(Link::BLACK_HOLE);
    let crashed = Instant::now();
    let guard = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();

    assert!(!held.is_held(), "the cut holder knows before its successor");
    assert!(guard.is_held());
    let took = crashed.elapsed();
    // The last renewal was up to a third of the ttl before the cut; two seconds for a busy machine.
    assert!(took >= TTL / 3 * 2 && took <= TTL / 3 * 4 + Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_dropped_wait_leaves_the_queue() {
    let place = Place::new().await;
    let (one, two, three) = (place.session().await, place.session().await, place.session().await);
    let held = lock(&one, "orders").await;
    let dropped = wait(&two, "orders");
    place.until_queued("orders", 1).await;
    let waiting = wait(&three, "orders");
    place.until_queued("orders", 2).await;

    dropped.abort();
    place.until_queued("orders", 1).await;
    held.release().await.unwrap();

    let next = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(Some(next.holder()), three.options().identity.as_deref());
    let busy = two.try_lock("orders").await;
    assert!(matches!(busy, Err(Error::Held { .. })), "{busy:?}");
}

#[tokio::test]
async fn a_deleted_session_loses_all_its_locks_and_its_handle_goes_on() {
    let place = Place::new().await;
    let (one, two) = (place.session().await, place.session().await);
    let (a, b) = (lock(&one, "a").await, lock(&one, "b").await);
    let waiting = wait(&two, "a");
    place.until_queued("a", 1).await;
    let id = one.id();

    place.leases().delete(&id, &DeleteParams::default()).await.unwrap();
    let deleted = Instant::now();
    assert_eq!(timeout(LONG, a.lost()).await.unwrap(), Loss::Session);
    assert!(deleted.elapsed() < TTL, "at the next heartbeat: {:?}", deleted.elapsed());
    assert!(!b.is_held(), "all at once");
    let next = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();

    assert!(next.is_held() && !a.is_held());
    assert_ne!(one.id(), id, "a new session");
    assert!(lock(&one, "c").await.is_held());
}

#[tokio::test]
async fn a_deleted_lock_is_lost_at_once() {
    let place = Place::new().await;
    let one = place.session().await;
    let held = lock(&one, "orders").await;

    place.leases().delete("orders", &DeleteParams::default()).await.unwrap();

    timeout(TTL, held.lost()).await.expect("an event reports it");
    let again = lock(&one, "orders").await;
    assert!(again.token() > held.token());
}

#[tokio::test]
async fn a_foreign_holder_is_respected_and_a_foreign_takeover_is_a_loss() {
    let place = Place::new().await;
    let now = json!("2026-01-01T00:00:00.000000Z");
    place
        .foreign(
            "orders",
            json!({ "holderIdentity": "other", "leaseDurationSeconds": 600, "renewTime": now }),
        )
        .await;
    let one = place.session().await;
    let waiting = wait(&one, "orders");
    place.until_queued("orders", 1).await;
    let lease = place.leases().get("orders").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some("other"));

    let holder = |holder: &'static str| {
        move |lease: &mut k8s_openapi::api::coordination::v1::Lease| {
            lease.spec.get_or_insert_default().holder_identity = Some(holder.into());
        }
    };
    place.edit("orders", holder("")).await;
    let held = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    assert!(held.is_held());

    place.edit("orders", holder("other")).await;
    assert_eq!(timeout(LONG, held.lost()).await.unwrap(), Loss::Taken);
}

#[tokio::test]
async fn a_handle_without_a_session_and_a_session_exclude_each_other() {
    let place = Place::new().await;
    let (handle, one) = (place.handle(), place.session().await);
    let held = handle.lock("orders", LockOptions::default()).await.unwrap();
    let waiting = wait(&one, "orders");
    place.until_queued("orders", 1).await;
    held.check().unwrap();

    held.release().await.unwrap();
    let guard = timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    let busy = handle.lock("orders", LockOptions::default().try_once()).await;
    assert!(matches!(busy, Err(Error::Held { .. })), "{busy:?}");

    guard.release().await.unwrap();
    assert!(handle.lock("orders", LockOptions::default()).await.unwrap().is_held());
}

#[tokio::test]
async fn an_uncontended_lock_costs_two_requests_and_a_closed_session_leaves_nothing_behind() {
    let place = Place::new().await;
    let one = place.handle().session(SessionOptions::default()).await.unwrap();
    lock(&one, "orders").await.release().await.unwrap();
    let lease = place.leases().get("orders").await.unwrap();
    assert_eq!(lease.metadata.managed_fields, None, "the first write after the create ends it");
    let before = place.requests();

    for _ in 0..10 {
        lock(&one, "orders").await.release().await.unwrap();
    }

    let after = place.requests();
    let count = |verb: &str| after.get(verb).unwrap_or(&0) - before.get(verb).unwrap_or(&0);
    let (patches, updates, reads) = (count("patch"), count("update"), count("get"));
    assert!(
        patches == 20 && updates <= 1 && reads == 0,
        "{patches} patches, {updates} updates, {reads} reads; one update may be a heartbeat"
    );
    let lease = place.leases().get("orders").await.unwrap();
    assert_eq!(lease.metadata.managed_fields, None, "a patch does not begin it again");

    let id = one.id();
    one.end().await.unwrap();
    let leases = place.leases().list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = leases.items.into_iter().filter_map(|lease| lease.metadata.name).collect();
    assert_eq!(names, ["orders"], "{id}");
}

#[tokio::test]
async fn the_locks_of_a_crashed_process_are_all_granted_at_once() {
    const LOCKS: usize = 200;
    let place = Place::new().await;
    let (proxy, config) = place.behind_proxy().await;
    let crashing = session_of(&Kubernetes::from_config(config, place.options()).unwrap()).await;
    let names: Vec<_> = (0..LOCKS).map(|number| format!("lock-{number}")).collect();
    let held = join_all(names.iter().map(|name| lock(&crashing, name))).await;
    let next = place.session().await;
    let waiting = tokio::spawn({
        let (next, names) = (next.clone(), names.clone());
        async move { join_all(names.iter().map(|name| lock(&next, name))).await }
    });
    place.until_queued(&names[LOCKS - 1], 1).await;
    tokio::time::sleep(TTL).await;

    proxy.set(Link::BLACK_HOLE);
    let (crashed, before) = (Instant::now(), place.requests());
    let guards = timeout(LONG, waiting).await.unwrap().unwrap();
    let (took, after) = (crashed.elapsed(), place.requests());

    assert!(held.iter().all(|guard| !guard.is_held()));
    assert!(guards.iter().all(|guard| guard.is_held()));
    // One after the other they would take 200 ttls. The rest is for 200 writes on a busy machine.
    assert!(took <= TTL * 10, "{took:?}");
    let updates = after["update"] - before["update"];
    // One for each lock, the end of the session, and the heartbeats of the waiter.
    assert!(updates <= LOCKS as u64 + 10, "{updates} updates for {LOCKS} locks");
}

#[tokio::test]
async fn a_session_without_the_permission_to_watch_is_refused_with_the_verb() {
    let place = Place::new().await;
    let verbs = ["create", "get", "list", "update", "delete"];
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&verbs)]).await;
    let alice = place.handle_of("alice", place.options());

    let refused = alice.session(SessionOptions::default()).await.unwrap_err();

    let Error::PermissionDenied { verb, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(verb, "watch");
}

#[tokio::test]
async fn slots_and_shared_holders_hold_together() {
    let place = Place::new().await;
    let (one, two, three) = (place.session().await, place.session().await, place.session().await);
    let slots = LockOptions::default().slots(2);
    let (a, b) = (one.lock("gpu", slots).await.unwrap(), two.lock("gpu", slots).await.unwrap());
    assert_eq!((a.slot(), b.slot()), (Some(0), Some(1)));
    let third = tokio::spawn({
        let three = three.clone();
        async move { three.lock("gpu", slots).await }
    });
    place.until_queued("gpu", 1).await;
    timeout(LONG, a.requested()).await.expect("the event of the claim reports it");
    a.release().await.unwrap();
    let c = timeout(LONG, third).await.unwrap().unwrap().unwrap();
    assert_eq!(c.slot(), Some(0));
    assert!(b.is_held());

    let shared = LockOptions::default().shared();
    let readers =
        (one.lock("index", shared).await.unwrap(), two.lock("index", shared).await.unwrap());
    assert!(readers.0.is_held() && readers.1.is_held());
    let queue = three.queue("index").await.unwrap();
    let sessions: Vec<_> = queue.holders.into_iter().map(|holder| holder.session).collect();
    assert_eq!(sessions, [one.id(), two.id()]);
    let other = three.lock("index", slots).await.unwrap_err();
    assert!(matches!(other, Error::OtherMode { .. }), "{other:?}");
}
