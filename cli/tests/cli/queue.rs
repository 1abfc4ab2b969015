//! Locks with a queue: `lock --queue`, `--slots` and `--shared`.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::ListParams};
use leasehold::{LockOptions, LockQueue, Session, SessionOptions, Sync as _};
use leasehold_test_support::{ADMIN, Rule};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::Fixture;

/// The namespace for sessions alone, for `--session-namespace`.
async fn session_namespace(fixture: &Fixture, user: &str) -> String {
    let sessions = fixture.plane.namespace().await;
    let own = ["create", "get", "list", "update", "delete"];
    fixture.plane.allow(user, &sessions, &[Rule::leases(&own)]).await;
    let rules = [
        Rule::leases(&["create", "list", "watch"]),
        Rule::leases(&["get", "update", "patch"]).named(&["orders", "billing"]),
    ];
    fixture.plane.allow(user, &fixture.namespace, &rules).await;
    sessions
}

/// The names of the sessions in a namespace.
async fn sessions_in(fixture: &Fixture, namespace: &str) -> Vec<String> {
    let leases: Api<Lease> = Api::namespaced(fixture.plane.client(ADMIN), namespace);
    let params = ListParams::default().labels("leasehold.dev/kind=session");
    let found = leases.list(&params).await.unwrap();
    found.items.into_iter().filter_map(|lease| lease.metadata.name).collect()
}

impl Fixture {
    pub(super) async fn session(&self) -> Session {
        self.handle().session(SessionOptions::default()).await.unwrap()
    }

    /// Waits until the queue of `orders` is as expected.
    async fn until_queue(
        &self,
        session: &Session,
        expected: impl Fn(&LockQueue) -> bool + Send + Sync,
    ) {
        for _ in 0..600 {
            if expected(&session.queue("orders").await.unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", session.queue("orders").await.unwrap());
    }

    /// How many sessions there are, besides those of this test.
    async fn sessions(&self, own: &[&Session]) -> usize {
        let params = ListParams::default().labels("leasehold.dev/kind=session");
        let found = self.leases().list(&params).await.unwrap();
        let own: Vec<_> = own.iter().map(|session| session.id()).collect();
        let names = found.items.iter().filter_map(|lease| lease.metadata.name.as_ref());
        names.filter(|name| !own.contains(name)).count()
    }
}

#[tokio::test]
async fn commands_run_in_the_order_in_which_they_came_and_leave_no_session() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let guard = session.lock("orders", LockOptions::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("order");
    let mut started = Vec::new();
    for number in ["1", "2", "3"] {
        let script = format!("echo {number} >> {}", path.display());
        started.push(fixture.leasehold(["lock", "--queue", "orders", "sh", "-c", &script]).start());
        let waiting = started.len();
        fixture.until_queue(&session, |queue| queue.waiters.len() == waiting).await;
    }

    guard.release().await.unwrap();

    for running in started {
        assert_eq!(running.end().await.code, Some(0));
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), "1\n2\n3\n");
    assert_eq!(fixture.sessions(&[&session]).await, 0);
    assert_eq!(fixture.holder("orders").await, None);
    session.end().await.unwrap();
}

#[tokio::test]
async fn each_holder_of_a_semaphore_gets_a_slot_of_its_own() {
    let fixture = Fixture::new().await;
    let script = "echo slot $LEASEHOLD_SLOT; read wait";
    let args = ["lock", "--slots", "2", "orders", "sh", "-c", script];
    let mut first = fixture.leasehold(args).piped().start();
    let mut second = fixture.leasehold(args).piped().start();
    let mut slots = [first.line().await, second.line().await];
    slots.sort();

    let third = fixture.leasehold(["lock", "--try", "--slots", "2", "orders", "true"]).end().await;
    let other = fixture.leasehold(["lock", "--try", "--slots", "3", "orders", "true"]).end().await;
    first.write_line("go\n").await;
    assert_eq!(first.end().await.code, Some(0));
    let fourth = fixture.leasehold(["lock", "--slots", "2", "orders", "true"]).end().await;

    assert_eq!(slots, ["slot 0", "slot 1"]);
    assert_eq!(third.code, Some(75), "{third:?}");
    assert!(other.code != Some(0) && other.stderr_line().contains("2 slots"), "{other:?}");
    assert_eq!(fourth.code, Some(0), "{fourth:?}");
    second.write_line("go\n").await;
    assert_eq!(second.end().await.code, Some(0));
    assert_eq!(fixture.sessions(&[]).await, 0);
}

#[tokio::test]
async fn shared_holders_run_together_but_not_beside_an_exclusive_one() {
    let fixture = Fixture::new().await;
    let args = ["lock", "--shared", "orders", "sh", "-c", "echo \"in$LEASEHOLD_SLOT\"; read wait"];
    let mut first = fixture.leasehold(args).piped().start();
    let mut second = fixture.leasehold(args).piped().start();
    assert_eq!((first.line().await, second.line().await), ("in".into(), "in".into()));

    let exclusive = fixture.leasehold(["lock", "--queue", "--try", "orders", "true"]).end().await;

    assert_eq!(exclusive.code, Some(75), "{exclusive:?}");
    for mut running in [first, second] {
        running.write_line("go\n").await;
        assert_eq!(running.end().await.code, Some(0));
    }
    let after = fixture.leasehold(["lock", "--queue", "--try", "orders", "true"]).end().await;
    assert_eq!(after.code, Some(0), "{after:?}");
}

#[tokio::test]
async fn a_wait_in_the_queue_is_reported_and_a_signal_leaves_the_queue() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let guard = session.lock("orders", LockOptions::default()).await.unwrap();
    let mut waiter = fixture.leasehold(["lock", "--queue", "orders", "true"]).start();

    let line = waiter.stderr_line().await;
    waiter.signal(Signal::TERM);
    let ended = waiter.end().await;

    assert!(line.contains("number 1 of 1") && line.contains(guard.holder()), "{line}");
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert_eq!(session.queue("orders").await.unwrap().waiters, []);
    assert_eq!(fixture.sessions(&[&session]).await, 0);
    session.end().await.unwrap();
}

#[tokio::test]
async fn the_next_in_the_queue_runs_after_a_crash() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let args = ["lock", "--queue", "--ttl", "3s", "orders", "sh", "-c", "echo in; exec sleep 60"];
    let mut holder = fixture.leasehold(args).start();
    assert_eq!(holder.line().await, "in");
    let waiter = fixture.leasehold(["lock", "--queue", "--ttl", "3s", "orders", "true"]).start();
    fixture.until_queue(&session, |queue| queue.waiters.len() == 1).await;

    holder.signal(Signal::KILL);
    let ended = waiter.end().await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    drop(holder);
    session.end().await.unwrap();
}

#[tokio::test]
async fn status_and_sessions_show_who_holds_and_who_waits() {
    let fixture = Fixture::new().await;
    let script = "echo in; read wait";
    let holding = ["lock", "--slots", "1", "--id", "one", "orders", "sh", "-c", script];
    let mut holder = fixture.leasehold(holding).piped().start();
    assert_eq!(holder.line().await, "in");
    let session = fixture.session().await;
    let waiting = ["lock", "--slots", "1", "--id", "two", "orders", "true"];
    let waiter = fixture.leasehold(waiting).start();
    fixture.until_queue(&session, |queue| queue.waiters.len() == 1).await;

    let table = fixture.leasehold(["status"]).end().await;
    let status = fixture.leasehold(["status", "-o", "json", "orders"]).end().await;
    let listed = fixture.leasehold(["sessions", "-o", "json"]).end().await;
    let text = fixture.leasehold(["sessions"]).end().await;

    assert!(table.text().contains("held, 1 of 1 slots"), "{table:?}");
    let status: Value = serde_json::from_str(status.text()).unwrap();
    let listed: Vec<Value> =
        listed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |identity: &str| listed.iter().find(|one| one["identity"] == identity).unwrap();
    assert_eq!(status["waiting"], 1);
    assert_eq!(status["holders"], serde_json::json!([of("one")["session"]]));
    assert_eq!(status["queue"], serde_json::json!([of("two")["session"]]));
    let uses = |identity: &str| (of(identity)["held"].clone(), of(identity)["waiting"].clone());
    assert_eq!(uses("one"), (1.into(), 0.into()));
    assert_eq!(uses("two"), (0.into(), 1.into()));
    assert_eq!(of("one")["state"], "alive");
    assert!(text.text().contains("of `one`: alive"), "{text:?}");
    holder.write_line("go\n").await;
    assert_eq!((holder.end().await.code, waiter.end().await.code), (Some(0), Some(0)));
    session.end().await.unwrap();
}

#[tokio::test]
async fn a_session_is_released_if_its_process_is_dead_or_by_force() {
    let fixture = Fixture::new().await;
    let args = ["lock", "--queue", "--ttl", "2s", "orders", "sh", "-c", "echo in; exec sleep 60"];
    let mut dead = fixture.leasehold(args).start();
    assert_eq!(dead.line().await, "in");
    let id = fixture.holder("orders").await.unwrap();

    let live = fixture.leasehold(["release", "--session", &id]).end().await;
    dead.signal(Signal::KILL);
    let ended = fixture.leasehold(["release", "--session", &id]).end().await;
    let tried =
        fixture.leasehold(["lock", "--queue", "--wait", "10s", "orders", "true"]).end().await;

    assert_eq!(live.code, Some(75), "{live:?}");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(tried.code, Some(0), "{tried:?}");
    let mut other = fixture.leasehold(args).start();
    assert_eq!(other.line().await, "in");
    let id = fixture.holder("orders").await.unwrap();
    let forced = fixture.leasehold(["release", "--force", "--session", &id]).end().await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert_eq!(other.end().await.code, Some(79));
    let missing = "s15-k2j5q7w3x4y6z2a3b4c5";
    let missing = fixture.leasehold(["release", "--session", missing]).end().await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let wrong = fixture.leasehold(["release", "--session", "orders"]).end().await;
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
}

#[tokio::test]
async fn a_session_that_ends_while_its_release_waits_is_released() {
    let fixture = Fixture::new().await;
    let args = ["lock", "--queue", "--ttl", "6s", "orders", "sh", "-c", "echo in; read line"];
    let mut holder = fixture.leasehold(args).piped().start();
    assert_eq!(holder.line().await, "in");
    let id = fixture.holder("orders").await.unwrap();
    let mut release = fixture.leasehold(["release", "--session", &id]).start();
    assert!(release.stderr_line().await.contains("is watched for its ttl"));

    holder.write_line("go\n").await;
    assert_eq!(holder.end().await.code, Some(0));

    let ended = release.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn another_mode_of_a_lock_in_use_is_an_error_of_the_command_line() {
    let fixture = Fixture::new().await;
    let session = fixture.session().await;
    let guard = session.lock("orders", LockOptions::default()).await.unwrap();

    let ended = fixture.leasehold(["lock", "--slots", "2", "--try", "orders", "true"]).end().await;

    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.stderr_line().contains("is in use as exclusive"), "{ended:?}");
    guard.release().await.unwrap();
    session.end().await.unwrap();
}

#[tokio::test]
async fn sessions_in_a_namespace_of_their_own_need_no_more_than_the_documented_permissions() {
    let fixture = Fixture::new().await;
    let sessions = session_namespace(&fixture, "carol").await;
    let kubeconfig = fixture.plane.kubeconfig("carol");
    let lock = |script: &'static str| {
        let args = ["lock", "--queue", "--session-namespace", &sessions, "orders", "sh", "-c"];
        fixture.leasehold_of(&kubeconfig, args.into_iter().chain([script])).piped().start()
    };
    let mut holder = lock("echo in; read wait");
    assert_eq!(holder.line().await, "in");
    let waiter = lock("true");
    let session = fixture.session().await;
    fixture.until_queue(&session, |queue| queue.waiters.len() == 1).await;

    let held = fixture.holder("orders").await.unwrap();
    let opened = sessions_in(&fixture, &sessions).await;
    let listed = fixture.leasehold(["sessions", "-A", "-o", "json"]).end().await;
    holder.write_line("go\n").await;
    let codes = [holder.end().await.code, waiter.end().await.code];

    assert!(opened.len() == 2 && opened.contains(&held), "{opened:?}, held by {held}");
    let mut lines = listed.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.find(|line| line["session"] == *held).unwrap();
    assert_eq!((&line["namespace"], &line["held"]), (&json!(sessions), &json!(1)));
    assert_eq!(codes, [Some(0), Some(0)]);
    assert_eq!(sessions_in(&fixture, &sessions).await, [""; 0], "none is left");
    assert_eq!(fixture.sessions(&[&session]).await, 0, "none was next to the lock");
    session.end().await.unwrap();
}

#[tokio::test]
async fn an_election_with_sessions_elsewhere_hands_the_lead_over() {
    let fixture = Fixture::new().await;
    let sessions = session_namespace(&fixture, "carol").await;
    let kubeconfig = fixture.plane.kubeconfig("carol");
    let elect = |id: &'static str| {
        let args = ["elect", "--queue", "--session-namespace", &sessions, "--id", id, "billing"];
        let script = ["sh", "-c", "echo $LEASEHOLD_HOLDER; read wait"];
        fixture.leasehold_of(&kubeconfig, args.into_iter().chain(script)).piped().start()
    };
    let mut first = elect("first");
    let leads = first.line().await;
    let mut second = elect("second");
    let session = fixture.session().await;
    for _ in 0..600 {
        if !session.queue("billing").await.unwrap().waiters.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    first.write_line("done\n").await;
    let codes = first.end().await.code;
    let next = second.line().await;
    second.write_line("done\n").await;

    assert_eq!((leads, codes, next), ("first".into(), Some(0), "second".into()));
    assert_eq!(second.end().await.code, Some(0));
    assert_eq!(sessions_in(&fixture, &sessions).await, [""; 0]);
    session.end().await.unwrap();
}
