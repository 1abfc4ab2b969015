//! Tools for operators on etcd.

use std::time::Duration;

use leasehold::{
    Error, Inspect as _, LeaderOptions, LockOptions, Loss, PruneOptions, PruneOutcome, Pruned,
    RecordEventKind, RecordOptions, SessionOptions, Sync as _,
};

use super::{handle, options, secs, shared, unique, until};

fn everywhere() -> RecordOptions {
    RecordOptions::default().all_namespaces()
}

/// The name of each record, and what became of it.
fn outcomes(pruned: &[Pruned]) -> Vec<(&str, &PruneOutcome)> {
    pruned.iter().map(|pruned| (pruned.record.name.as_str(), &pruned.outcome)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_sessions_of_all_namespaces_are_listed_and_no_others() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let sync = handle(cluster, &prefix).await;
    let shop = options(cluster, &prefix).namespace("shop");
    let shop = leasehold::Etcd::connect(shop).await.unwrap();
    let longer = handle(cluster, &format!("{prefix}/longer")).await;
    let _one = sync.lock("one", LockOptions::default()).await.unwrap();
    let _two = shop.lock("jobs/two", LockOptions::default()).await.unwrap();
    let _three = longer.lock("three", LockOptions::default()).await.unwrap();
    let session = shop.session(SessionOptions::default()).await.unwrap();
    let held = session.lock("four", LockOptions::default()).await.unwrap();
    let session_of_longer = longer.session(SessionOptions::default()).await.unwrap();
    cluster.put(&format!("{prefix}/default/text"), "hello").await;

    let records = sync.list_records(everywhere()).await.unwrap();
    let own = sync.list_records(RecordOptions::default()).await.unwrap();
    let sessions = sync.list_sessions(everywhere()).await.unwrap();
    let none = sync.list_sessions(RecordOptions::default()).await.unwrap();
    let one = RecordOptions::default().namespace("shop").lease(session.id());
    let one = sync.list_sessions(one).await.unwrap();
    let labels = sync.list_records(RecordOptions::default().label_selector("a=b")).await;

    let mut names: Vec<_> =
        records.iter().map(|record| (&*record.namespace, &*record.name)).collect();
    names.sort_unstable();
    assert_eq!(names, [("default", "one"), ("shop", "four"), ("shop", "jobs/two")]);
    let two = records.iter().find(|record| record.name == "jobs/two").unwrap();
    assert_eq!(two.lease, shop.record_name("jobs/two").unwrap());
    assert!(two.token.is_some() && two.acquired_ago.is_some() && two.is_alive(), "{two:?}");
    let four = records.iter().find(|record| record.name == "four").unwrap();
    assert_eq!(four.queue.as_ref().unwrap().holders[0].session, session.id());
    assert_eq!(own.len(), 1, "{own:?}");
    let ids = |sessions: &[leasehold::SessionInfo]| {
        sessions.iter().map(|session| session.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!((ids(&sessions), ids(&one)), (vec![session.id()], vec![session.id()]));
    assert_eq!(sessions[0].namespace, "shop");
    assert!(sessions[0].is_alive() && none.is_empty(), "{sessions:?} {none:?}");
    assert!(matches!(labels, Err(Error::Invalid { .. })), "{labels:?}");
    held.release().await.unwrap();
    session.end().await.unwrap();
    session_of_longer.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_all_namespaces_reports_tenures_and_no_heartbeat() {
    let Some(cluster) = shared().await else { return };
    let prefix = unique();
    let sync = handle(cluster, &prefix).await;
    let shop = options(cluster, &prefix).namespace("shop");
    let shop = leasehold::Etcd::connect(shop).await.unwrap();
    let session = shop.session(SessionOptions::default().ttl(secs(1))).await.unwrap();
    let mut watch = sync.watch_records(everywhere()).await.unwrap();
    assert!(watch.take_events().is_empty());

    let guard = shop.lock("x", LockOptions::default()).await.unwrap();
    let mut events = Vec::new();
    while events.is_empty() {
        watch.changed().await;
        events = watch.take_events();
    }
    assert_eq!((events[0].event, &*events[0].namespace), (RecordEventKind::Acquired, "shop"));
    // Three heartbeats of the session.
    tokio::time::sleep(secs(1)).await;
    guard.release().await.unwrap();
    let mut events = Vec::new();
    while events.is_empty() {
        watch.changed().await;
        events = watch.take_events();
    }

    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].event, RecordEventKind::Lost);
    assert_eq!(watch.current().len(), 1, "{:?}", watch.current());
    session.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_from_its_holder_only_in_the_version_that_was_read() {
    let Some(cluster) = shared().await else { return };
    let sync = handle(cluster, &unique()).await;
    let long = LockOptions::default().ttl(secs(3)).at_least(secs(600));
    let guard = sync.lock("x", long).await.unwrap();
    let before = sync.list_records(RecordOptions::default()).await.unwrap().remove(0);
    let renewed = async || {
        let now = sync.list_records(RecordOptions::default()).await.unwrap().remove(0);
        now.version > before.version
    };
    until("a renewal", renewed).await;

    let late = sync.force_release(&before).await.unwrap();
    assert!(guard.is_held());
    let released = loop {
        let record = sync.list_records(RecordOptions::default()).await.unwrap().remove(0);
        if sync.force_release(&record).await.unwrap() {
            break record;
        }
    };

    assert!(!late, "it was renewed after it was read");
    assert!(released.not_before.is_some());
    assert_eq!(guard.lost().await, Loss::Taken);
    let after = sync.list_records(RecordOptions::default()).await.unwrap().remove(0);
    assert_eq!((&after.holder, after.token), (&None, None), "{after:?}");
    assert!(after.not_before.is_none(), "another run may start at once: {after:?}");
    let next = sync.lock("x", LockOptions::default().try_once()).await.unwrap();
    assert!(next.token() > guard.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_free_records_that_are_old_are_deleted() {
    let Some(cluster) = shared().await else { return };
    let sync = handle(cluster, &unique()).await;
    for name in ["a", "b"] {
        let guard = sync.lock(name, LockOptions::default()).await.unwrap();
        guard.release().await.unwrap();
    }
    let held = sync.lock("held", LockOptions::default()).await.unwrap();
    let leader = sync.leader("election", LeaderOptions::default()).await.unwrap();
    let lead = leader.elected().await.unwrap();
    let all = PruneOptions::default().older_than(Duration::ZERO);

    let young = sync.prune(PruneOptions::default()).await.unwrap();
    let shown = sync.prune(all.clone().dry_run()).await.unwrap();
    let pruned = sync.prune(all).await.unwrap();

    assert!(young.is_empty(), "{young:?}");
    assert!(
        matches!(&outcomes(&shown)[..], [("a", PruneOutcome::Unused), ("b", PruneOutcome::Unused)]),
        "{shown:?}"
    );
    assert!(
        matches!(
            &outcomes(&pruned)[..],
            [("a", PruneOutcome::Deleted), ("b", PruneOutcome::Deleted)]
        ),
        "{pruned:?}"
    );
    held.check().unwrap();
    lead.check().unwrap();
    let left = sync.list_records(RecordOptions::default()).await.unwrap();
    let left: Vec<_> = left.iter().map(|record| &*record.name).collect();
    assert_eq!(left, ["election", "held"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ended_only_if_it_is_not_renewed_or_by_force() {
    let Some(cluster) = shared().await else { return };
    let sync = handle(cluster, &unique()).await;
    let session = sync.session(SessionOptions::default().ttl(secs(3))).await.unwrap();
    let guard = session.lock("x", LockOptions::default()).await.unwrap();
    let id = session.id();

    let alive = sync.end_session(&id).await;
    let deleted = sync.delete_session(&id).await.unwrap();
    let again = sync.delete_session(&id).await.unwrap();

    let identity = sync.options().identity.clone().unwrap();
    assert!(matches!(&alive, Err(Error::Held { holder, .. }) if *holder == identity), "{alive:?}");
    assert_eq!((deleted, again), (true, false));
    assert_eq!(guard.lost().await, Loss::Session);
}
