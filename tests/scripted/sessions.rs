//! Sessions: answers, lists and edits that a real server does not show on demand.

use leasehold::{Session, SessionOptions};
use tokio::{task::JoinHandle, time::timeout};

use crate::prelude::*;

/// The time to live of a session, and of what it says about itself.
const TTL: Duration = secs(15);
/// How often a session lists what it holds.
const RESYNC: Duration = secs(30);

pub(crate) async fn session(cluster: &Cluster, who: &str) -> Session {
    cluster.handle(who).session(SessionOptions::default()).await.expect("a session")
}

pub(crate) async fn lock(session: &Session, name: &str) -> Guard {
    session.lock(name, LockOptions::default()).await.expect("the lock")
}

pub(crate) fn waiting(session: &Session, name: &'static str) -> JoinHandle<Guard> {
    let session = session.clone();
    tokio::spawn(async move { lock(&session, name).await })
}

/// The next watches of `who` show nothing.
fn blind(cluster: &Cluster, who: &'static str) {
    cluster.on(When::verb("watch").by(who), Play::watch([Feed::Silence(secs(3600))]));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_missing_in_a_list_is_read_and_only_the_read_ends_its_tenure() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let held = lock(&a, "orders").await;
    let outdated = Play::shows(|list| list["items"] = json!([]));
    cluster.on(When::verb("list").by("a"), outdated);
    cluster.forget();

    cluster.until(RESYNC + secs(2)).await;

    let reads = cluster.count(|request| request.verb == "get" && request.name == "orders");
    assert_eq!((cluster.count(|request| request.verb == "list"), reads), (1, 1));
    assert!(held.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_no_event_reports_is_noticed_by_the_next_list() {
    let cluster = Cluster::new();
    blind(&cluster, "a");
    let a = session(&cluster, "a").await;
    let held = lock(&a, "orders").await;
    // The write that states the token would notice it.
    cluster.until(secs(11)).await;
    cluster.delete("orders");

    let (lost_at, loss) = end_of(&cluster, &held).await;

    assert_eq!(loss, Loss::Deleted);
    assert!(lost_at >= RESYNC && lost_at < RESYNC + secs(2), "{lost_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_releases_its_locks_first_and_those_that_others_want_before_the_rest() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let (_quiet, wanted) = (lock(&a, "a-quiet").await, lock(&a, "z-wanted").await);
    let next = waiting(&b, "z-wanted");
    wanted.requested().await;
    let (id, version) = (a.id(), cluster.version());

    a.end().await.unwrap();

    let commits = cluster.commits_after(version).into_iter().filter(|commit| commit.by == "a");
    let names = commits.map(|commit| {
        let object = commit.after.as_ref().or(commit.before.as_ref());
        let name = object.and_then(|object| object["metadata"]["name"].as_str());
        (name.unwrap_or_default().to_owned(), commit.after.is_none())
    });
    let expected = [("z-wanted", false), ("a-quiet", false), (&id, false), (&id, true)];
    let expected = expected.map(|(name, deleted)| (name.to_owned(), deleted));
    assert_eq!(names.collect::<Vec<_>>(), expected, "the session is ended, and then deleted");
    assert!(next.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn without_the_verb_patch_all_waits_of_a_session_go_on() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let names = ["one", "two", "three"];
    let mut held = Vec::new();
    for name in names {
        // The first write after a create replaces the record.
        drop(lock(&a, name).await);
        held.push(lock(&a, name).await);
    }
    cluster.deny(&["patch"]);

    let waits: Vec<_> = names.into_iter().map(|name| waiting(&b, name)).collect();
    sleep(secs(1)).await;
    assert_eq!(cluster.count(|request| request.by == "b" && request.verb == "patch"), 3);
    for guard in held {
        guard.release().await.expect("a release that replaces the record");
    }
    for next in waits {
        assert!(next.await.expect("no wait is refused").is_held());
    }
}

/// The renewal is stored, and answered when its session was deleted and the next one has begun.
#[tokio::test(start_paused = true)]
async fn an_answer_to_the_heartbeat_of_an_earlier_session_changes_nothing() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let (first, held) = (a.id(), lock(&a, "orders").await);
    let of_session = {
        let first = first.clone();
        move |verb| {
            let first = first.clone();
            When::is(move |request| request.verb == verb && request.name == first)
        }
    };
    cluster.on(of_session("update").once(), Play::as_it_is().late(secs(8)));
    cluster.until(secs(6)).await;
    cluster.delete(&first);

    assert_eq!(held.lost().await, Loss::Session);
    let again = lock(&a, "invoices").await;
    let second = a.id();
    assert_ne!(second, first);
    assert!(cluster.now() < secs(13), "before the answer arrives: {:?}", cluster.now());
    cluster.until(secs(40)).await;

    assert_eq!(a.id(), second);
    assert!(again.is_held() && !held.is_held());
}

/// A claim is stored, and answered when its session was deleted and the next one has claimed the lock again.
#[tokio::test(start_paused = true)]
async fn an_answer_to_a_claim_of_an_earlier_session_grants_nothing() {
    let cluster = Cluster::new();
    blind(&cluster, "a");
    let a = session(&cluster, "a").await;
    let first = a.id();
    let claims = When::is(|request| request.is_write() && request.name == "orders");
    cluster.on(claims.once(), Play::as_it_is().late(secs(8)));
    let claim = waiting(&a, "orders");
    cluster.until(secs(1)).await;
    assert_eq!(cluster.holder("orders"), first);
    cluster.delete(&first);

    let granted = claim.await.unwrap();

    assert_eq!(cluster.holder("orders"), a.id());
    assert!(granted.is_held());
    let version = cluster.lease("orders").unwrap()["metadata"]["resourceVersion"].clone();
    assert_eq!(version, granted.token().to_string(), "the token is that of the second claim");
    assert!(cluster.now() >= TTL, "the first session could be alive: {:?}", cluster.now());
}

/// A copy, as from a snapshot of a virtual machine, has the same session and renews it too.
#[tokio::test(start_paused = true)]
async fn a_session_that_a_copy_of_its_process_has_renewed_is_lost_at_its_next_heartbeat() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let (id, held) = (a.id(), lock(&a, "orders").await);
    cluster.until(secs(6)).await;
    assert_eq!(cluster.count(|request| request.verb == "update" && request.name == id), 1);

    cluster.edit(&id, |lease| {
        let mark = lease["spec"]["leaseTransitions"].as_i64().expect("a number");
        lease["spec"]["leaseTransitions"] = (mark ^ 1).into();
    });
    let end = timeout(TTL * 4, end_of(&cluster, &held)).await;
    let (lost_at, loss) = end.expect("the session is lost");

    assert_eq!(loss, Loss::Session);
    assert!(lost_at < secs(11), "{lost_at:?}");
    assert_ne!(a.id(), id);
    let later = cluster
        .count(|request| request.verb == "update" && request.name == id && request.at > lost_at);
    assert_eq!(later, 0, "the session is left to the copy");
}

#[tokio::test(start_paused = true)]
async fn a_session_survives_an_edit_of_its_labels() {
    let cluster = Cluster::new();
    let a = session(&cluster, "a").await;
    let (id, held) = (a.id(), lock(&a, "orders").await);

    for _ in 0..10 {
        sleep(secs(4)).await;
        cluster.edit(&id, |lease| lease["metadata"]["labels"]["team"] = "shop".into());
        cluster.edit(&id, |lease| lease["metadata"]["labels"]["team"] = "billing".into());
    }

    assert!(held.is_held());
    assert_eq!(a.id(), id);
}

#[tokio::test(start_paused = true)]
async fn two_processes_with_one_identity_exclude_each_other() {
    let cluster = Cluster::new();
    let (one, two) = (session(&cluster, "a").await, session(&cluster, "a").await);
    let held = lock(&one, "orders").await;
    let next = waiting(&two, "orders");
    sleep(secs(600)).await;
    assert!(held.is_held() && !next.is_finished());

    held.release().await.unwrap();

    assert!(next.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_in_order_leaves_no_record_if_others_still_wait_behind_its_locks() {
    let cluster = Cluster::new();
    let (a, b, c) =
        (session(&cluster, "a").await, session(&cluster, "b").await, session(&cluster, "c").await);
    let (id, held) = (a.id(), lock(&a, "orders").await);
    let next = waiting(&b, "orders");
    held.requested().await;
    let _last = waiting(&c, "orders");
    sleep(secs(20)).await;
    // So it looks at the session before it reads the lock.
    let read = When::is(|it| it.verb == "get" && it.name == "orders");
    cluster.on(read.by("c").once(), Play::lost());
    cluster.forget();

    held.release().await.unwrap();
    a.end().await.unwrap();
    let _next = next.await.unwrap();
    sleep(secs(20)).await;

    let missed = cluster.count(|request| request.verb == "get" && request.name == id);
    assert!(missed > 0, "the last one did not know yet that the lock was handed over");
    assert!(cluster.lease(&id).is_none(), "{:?}", cluster.lease(&id));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_missing_is_created_only_once_its_lock_was_read_again() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let id = a.id();
    let _held = lock(&a, "orders").await;
    cluster.on(When::any().by("a"), Play::lost());
    cluster.delete(&id);
    cluster.forget();

    let locked = timeout(secs(25), lock(&b, "orders")).await;

    assert!(locked.is_ok_and(|guard| guard.is_held()), "the whole ttl after the placeholder");
    let names = [id.as_str(), "orders"];
    let requests = cluster.requests().into_iter();
    let sent = requests.filter(|one| one.by == "b" && names.contains(&one.name.as_str()));
    let sent: Vec<_> = sent.map(|one| (one.verb, one.name == id)).collect();
    let missing = sent.iter().position(|one| *one == ("get", true)).expect("a read");
    assert_eq!(sent[missing + 1..][..2], [("get", false), ("create", true)], "{sent:?}");
}

const QUEUE: &str = "leasehold.dev/queue";

#[tokio::test(start_paused = true)]
async fn a_lock_whose_queue_cannot_be_read_is_lost_and_taken_by_no_session() {
    let cluster = Cluster::new();
    let (a, b) = (session(&cluster, "a").await, session(&cluster, "b").await);
    let held = lock(&a, "orders").await;
    let next = waiting(&b, "orders");
    held.requested().await;

    cluster.edit("orders", |lease| lease["metadata"]["annotations"][QUEUE] = "{\"v\":2}".into());
    assert_eq!(held.lost().await, Loss::Altered);
    sleep(secs(600)).await;
    let tried = b.lock("orders", LockOptions::default().try_once()).await.unwrap_err();

    assert!(matches!(&tried, Error::InvalidRecord { .. }) && !tried.is_transient(), "{tried}");
    assert!(tried.to_string().contains(&format!("the process of `{}`", a.id())), "{tried}");
    assert!(!next.is_finished(), "the text may be that of a later version, with a holder");
    assert_eq!(cluster.holder("orders"), a.id());

    cluster.edit("orders", |lease| lease["spec"]["holderIdentity"] = "".into());
    assert!(next.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_queue_cannot_be_read_is_respected_for_the_duration_of_its_record() {
    let cluster = Cluster::new();
    let holder = "s15-aaaaaaaaaaaaaaaaaaaa";
    cluster.put_object(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "orders", "annotations": { QUEUE: "not JSON" } },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 60 },
    }));
    let a = session(&cluster, "a").await;

    let guard = lock(&a, "orders").await;

    assert!(guard.is_held());
    let taken = cluster.now();
    assert!(
        taken >= secs(60),
        "its name is that of a session, but nothing is known of it: {taken:?}"
    );
    assert!(taken < secs(70), "{taken:?}");
    assert_eq!(cluster.count(|request| request.name == holder), 0);
}

#[tokio::test(start_paused = true)]
async fn a_time_between_two_starts_that_a_webhook_removes_fails_with_rejected() {
    let cluster = Cluster::new();
    let session = session(&cluster, "a").await;
    let remove = |lease: &mut Value| {
        if let Some(annotations) = lease["metadata"]["annotations"].as_object_mut() {
            annotations.remove("leasehold.dev/not-before");
        }
    };
    cluster.on(When::write(), Play::webhook(remove));

    let refused = session.lock("orders", wait(secs(60)).at_least(secs(600))).await;

    assert!(matches!(refused, Err(Error::Rejected { .. })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("webhook"));
    sleep(secs(60)).await;
    assert_eq!(cluster.lease("orders").unwrap()["spec"]["holderIdentity"], "", "it is given back");
}
