//! `leasehold status`, `members`, `watch` and `release`.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use leasehold::{Kubernetes, LeaderOptions, Options, Sync as _};
use leasehold_test_support::ADMIN;
use serde_json::{Value, json};

use crate::{
    BRIEF, Fixture, brief,
    program::{Ended, Running},
};

/// The output, as one JSON object per line.
#[track_caller]
fn objects(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn status_shows_locks_and_elections_with_holder_and_token() {
    let fixture = Fixture::new().await;
    let (sync, other) = (fixture.handle(), fixture.handle());
    let guard = sync.lock("jobs/nightly", brief()).await.unwrap();
    let options = LeaderOptions::default().ttl(BRIEF).candidate_id("me");
    let leader = sync.leader("billing", options).await.unwrap();
    let lead = leader.elected().await.unwrap();
    let _follower =
        other.leader("billing", LeaderOptions::default().candidate_id("you")).await.unwrap();
    fixture.until_tokens(2).await;

    let all = objects(&fixture.leasehold(["status", "-o", "json"]).end().await);
    let one = objects(&fixture.leasehold(["status", "-o", "json", "jobs/nightly"]).end().await);
    let table = fixture.leasehold(["status"]).end().await;
    let none = fixture.leasehold(["status", "no-such-lock"]).end().await;

    assert_eq!(all.len(), 2, "{all:?}");
    let election = all.iter().find(|record| record["kind"] == "election").unwrap();
    assert_eq!((&election["name"], &election["holder"]), (&json!("billing"), &json!("me")));
    assert_eq!(election["token"], lead.token().get());
    assert_eq!((&election["candidates"], &election["waiting"]), (&json!(2), &json!(1)));
    let [lock] = &one[..] else { panic!("{one:?}") };
    assert_eq!((&lock["name"], &lock["kind"]), (&json!("jobs/nightly"), &json!("lock")));
    assert_eq!((&lock["holder"], &lock["token"]), (&json!(guard.holder()), &json!(guard.token())));
    assert_eq!((&lock["state"], &lock["waiting"]), (&json!("held"), &json!(null)));
    assert_eq!(lock["left_seconds"], Value::Null, "a single look cannot tell");
    assert!(lock["renewed_seconds"].as_u64().unwrap() <= 2, "{lock}");
    let lines: Vec<_> = table.text().lines().collect();
    assert!(lines[0].starts_with("NAME ") && lines.len() == 3, "{table:?}");
    assert!(!table.text().contains('\x1b'), "no colour in a pipe: {table:?}");
    let wide = lines.iter().map(|line| line.find("  ").is_some()).collect::<Vec<_>>();
    assert_eq!(wide, [true; 3], "{table:?}");
    assert_eq!(none.code, Some(1));
    assert!(
        none.stderr_line().contains("no-such-lock")
            && none.stderr_line().contains(&fixture.namespace)
    );
}

#[tokio::test]
async fn members_and_watch_show_candidates_and_the_leader() {
    let fixture = Fixture::new().await;
    let sync = fixture.handle();
    let options = LeaderOptions::default().ttl(BRIEF).candidate_id("me");
    let leader = sync.leader("billing", options).await.unwrap();
    let lead = leader.elected().await.unwrap();
    fixture.until_tokens(1).await;

    let members = objects(&fixture.leasehold(["members", "-o", "json", "billing"]).end().await);
    let mut watch = fixture.leasehold(["watch", "-o", "json", "billing"]).start();
    let events = [watch.line().await, watch.line().await];
    drop(lead);
    leader.resign().await.unwrap();
    let lost = watch.line().await;

    let [me] = &members[..] else { panic!("{members:?}") };
    assert_eq!(
        (&me["election"], &me["candidate_id"], &me["role"], &me["namespace"], me["token"].is_u64()),
        (&json!("billing"), &json!("me"), &json!("leader"), &json!(fixture.namespace), true)
    );
    let event = |event, token: &Value, why, holders: &[&str]| {
        json!({ "event": event, "kind": "election", "name": "billing", "namespace": fixture.namespace,
                "holder": "me", "token": token, "why": why, "place": null, "holders": holders })
    };
    let events = events.map(|event| timeless(&event));
    assert_eq!(events[0], event("joined", &Value::Null, Value::Null, &["me"]));
    assert_eq!(events[1], event("elected", &me["token"], Value::Null, &["me"]));
    assert_eq!(timeless(&lost), event("lost", &me["token"], json!("released"), &[]));
}

/// A line of `watch` without its time, which must be valid.
fn timeless(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap();
    event["at"].take().as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    event.as_object_mut().unwrap().remove("at");
    event
}

/// The next line that satisfies `matches`.
async fn until(program: &mut Running, matches: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line: Value = serde_json::from_str(&program.line().await).unwrap();
        if matches(&line) {
            return line;
        }
    }
}

#[tokio::test]
async fn an_expiry_is_judged_by_the_clock_of_the_observer() {
    let fixture = Fixture::new().await;
    let guard = fixture.handle().lock("orders", brief()).await.unwrap();
    // The clock of this writer is an hour behind, and the ttl is a minute: the lock is held, despite its written time.
    let slow =
        lease("slow", "behind", 60, jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1));
    fixture.leases().create(&PostParams::default(), &slow).await.unwrap();
    // The clock of this writer is an hour ahead, and the writer has died.
    let fast =
        lease("fast", "ahead", 1, jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1));
    fixture.leases().create(&PostParams::default(), &fast).await.unwrap();

    let once = objects(&fixture.leasehold(["status", "-o", "json"]).end().await);
    let mut watch = fixture.leasehold(["status", "-w", "-o", "json"]).start();
    let expired = until(&mut watch, |line| line["state"] == "expired").await;
    let slow = objects(&fixture.leasehold(["status", "-o", "json", "slow"]).end().await);
    let token = guard.token();
    drop(guard);
    let freed = until(&mut watch, |line| line["name"] == "orders" && line["state"] != "held").await;

    let states: Vec<_> = once.iter().map(|line| (&line["name"], &line["state"])).collect();
    let [held, overdue] = [json!("held"), json!("overdue")];
    let names = ["fast", "orders", "slow"].map(|name| json!(name));
    assert_eq!(states, [(&names[0], &held), (&names[1], &held), (&names[2], &overdue)]);
    assert_eq!((&expired["name"], &expired["left_seconds"]), (&json!("fast"), &json!(0)));
    assert_eq!(slow[0]["state"], "overdue", "it was not renewed");
    assert_eq!((&freed["state"], &freed["token"]), (&json!("free"), &Value::Null), "after {token}");
}

/// A Lease as the library writes it, of a writer that does not renew it.
fn lease(name: &str, holder: &str, ttl: i32, renewed: jiff::Timestamp) -> Lease {
    serde_json::from_value(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "labels": { "leasehold.dev/kind": "lock", "team": "shop" } },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": ttl, "renewTime": format!("{renewed:.6}") },
    }))
    .unwrap()
}

#[tokio::test]
async fn watch_reports_the_holders_of_locks_and_why_they_lost_them() {
    let fixture = Fixture::new().await;
    let sync = fixture.handle();
    let mut watch = fixture.leasehold(["watch", "-o", "json"]).start();
    fixture.until_requested("watch", 1).await;

    let guard = sync.lock("orders", brief()).await.unwrap();
    let acquired = until(&mut watch, |_| true).await;
    let (token, holder) = (guard.token(), guard.holder().to_owned());
    guard.release().await.unwrap();
    let released = until(&mut watch, |_| true).await;
    let dead = lease("dead", "gone", 1, jiff::Timestamp::now());
    fixture.leases().create(&PostParams::default(), &dead).await.unwrap();
    let expired = until(&mut watch, |line| line["event"] == "lost").await;

    let event = |event, why: Value, holders: &[&str]| {
        json!({ "event": event, "kind": "lock", "name": "orders", "namespace": fixture.namespace,
                "holder": holder, "token": token, "why": why, "place": null, "holders": holders })
    };
    assert_eq!(timeless(&acquired.to_string()), event("acquired", Value::Null, &[&holder]));
    assert_eq!(timeless(&released.to_string()), event("lost", json!("released"), &[]));
    assert_eq!((&expired["name"], &expired["why"]), (&json!("dead"), &json!("expired")));
}

#[tokio::test]
async fn namespaces_and_labels_select_records_as_in_kubectl() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    for fixture in [&fixture, &other] {
        let lease = lease("labelled", "another", 60, jiff::Timestamp::now());
        fixture.leases().create(&PostParams::default(), &lease).await.unwrap();
    }
    let guard = fixture.handle().lock("orders", brief()).await.unwrap();
    let names = async |args: &[&'static str]| {
        let all = ["status", "-o", "json"].iter().chain(args).copied();
        let ended = fixture.leasehold(all).end().await;
        let mine = |line: &Value| {
            [&fixture, &other].iter().any(|fixture| line["namespace"] == *fixture.namespace)
        };
        let lines = objects(&ended).into_iter().filter(mine);
        lines.map(|line| line["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(names(&[]).await, ["labelled", "orders"]);
    assert_eq!(names(&["-l", "team=shop"]).await, ["labelled"]);
    assert_eq!(names(&["-l", "team in (shop),team!=x"]).await, ["labelled"]);
    assert_eq!(names(&["-l", "team=other"]).await, [""; 0]);
    assert_eq!(names(&["-A", "-l", "team=shop"]).await, ["labelled", "labelled"]);
    let table = fixture.leasehold(["status", "-A", "labelled"]).end().await;
    assert!(table.text().starts_with("NAMESPACE "), "{table:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn the_lease_selects_one_of_two_records_of_the_same_name() {
    let fixture = Fixture::new().await;
    let of = |prefix: &str| {
        let options = Options::default().namespace(&fixture.namespace).prefix(prefix);
        Kubernetes::from_config(fixture.plane.config(ADMIN), options).unwrap()
    };
    let (one, two) = (of("one-"), of("two-"));
    let (first, second) =
        (one.lock("orders", brief()).await.unwrap(), two.lock("orders", brief()).await.unwrap());

    let listed = objects(&fixture.leasehold(["status", "-o", "json", "orders"]).end().await);
    let unclear = fixture.leasehold(["release", "--force", "orders"]).end().await;
    let released = fixture.leasehold(["release", "--force", "two-orders"]).end().await;

    let leases: Vec<_> = listed.iter().map(|line| line["lease"].as_str().unwrap()).collect();
    assert_eq!(leases, ["one-orders", "two-orders"]);
    assert_eq!(unclear.code, Some(1), "{unclear:?}");
    assert!(unclear.stderr_line().contains("one-orders, two-orders"), "{unclear:?}");
    assert_eq!(released.code, Some(0), "{released:?}");
    assert_eq!(fixture.holder("one-orders").await.as_deref(), Some(first.holder()));
    assert_eq!(fixture.holder("two-orders").await, None);
    drop((first, second));
}

#[tokio::test]
async fn a_forced_release_stops_the_command_of_the_holder() {
    let fixture = Fixture::new().await;
    let script = "echo ready; while :; do sleep 0.1; done";
    let mut holder =
        fixture.leasehold(["lock", "--ttl", "3s", "orders", "sh", "-c", script]).start();
    assert_eq!(holder.line().await, "ready");

    let unforced = fixture.leasehold(["release", "orders"]).end().await;
    let released = fixture.leasehold(["release", "-o", "json", "orders", "--force"]).end().await;
    let ended = holder.end().await;
    let again = fixture.leasehold(["release", "orders", "--force"]).end().await;
    let unknown = fixture.leasehold(["release", "no-such-lock", "--force"]).end().await;

    assert_eq!(unforced.code, Some(64));
    assert_eq!(objects(&released)[0]["holder"], Value::Null);
    assert_eq!(ended.code, Some(79), "{ended:?}");
    assert!(ended.stderr_line().contains("lost"), "{ended:?}");
    assert_eq!(fixture.holder("orders").await, None);
    assert_eq!((again.code, unknown.code), (Some(1), Some(1)));
}

#[tokio::test]
async fn every_json_object_has_a_schema_and_every_shell_has_completions() {
    let fixture = Fixture::new().await;

    let schemas = fixture.leasehold(["schema"]).end().await;
    let man = fixture.leasehold(["man"]).end().await;

    let schemas: Value = serde_json::from_str(schemas.text()).unwrap();
    for of in [
        "lock",
        "elect",
        "elect --serve",
        "members",
        "status",
        "watch",
        "sessions",
        "release",
        "release --session",
        "prune",
    ] {
        assert!(schemas[of].is_object(), "{of}");
    }
    assert!(man.text().contains(".TH leasehold") && man.text().contains("LEASEHOLD_GRACE"));
    assert!(man.text().contains(".SH \"LEASEHOLD LOCK\"\n.SS SYNOPSIS"), "{}", man.text());
    for shell in ["bash", "zsh", "fish"] {
        let completions = fixture.leasehold(["completions", shell]).end().await;
        assert!(completions.text().contains("leasehold"), "{shell}");
    }
}

#[tokio::test]
async fn an_unreachable_server_ends_with_69() {
    let fixture = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = fixture.kubeconfig_for("https://127.0.0.1:1", directory.path());
    for args in [&["status"][..], &["members"], &["watch"], &["release", "orders", "--force"]] {
        let ended = fixture.leasehold_of(&kubeconfig, args.iter().copied()).end().await;
        assert_eq!(ended.code, Some(69), "{args:?}: {ended:?}");
        assert!(ended.stderr_line().contains("127.0.0.1:1"), "{ended:?}");
    }
}

#[tokio::test]
async fn members_of_a_queue_are_listed_in_the_order_of_succession_with_their_payloads() {
    let fixture = Fixture::new().await;
    let candidate = |id: &'static str, payload: &'static str| {
        let options = ["elect", "--queue", "--id", id, "--payload", payload];
        fixture.leasehold(options.into_iter().chain([
            "billing",
            "sh",
            "-c",
            "echo $LEASEHOLD_HOLDER; read -r line",
        ]))
    };
    let members = async || objects(&fixture.leasehold(["members", "-o", "json"]).end().await);
    let mut first = candidate("z", "one:8080").piped().start();
    assert_eq!(first.line().await, "z");
    let mut second = candidate("b", "two:8080").piped().start();
    while members().await.len() < 2 {}
    let mut third = candidate("a", "three:8080").piped().start();
    while members().await.len() < 3 {}

    let listed = members().await;
    first.write_line("end\n").await;
    assert_eq!(first.end().await.code, Some(0));
    assert_eq!(second.line().await, "b", "the next in order leads");
    let table = fixture.leasehold(["members"]).end().await;

    let shown: Vec<_> = listed
        .iter()
        .map(|one| (&one["candidate_id"], &one["succession"], &one["payload"], &one["role"]))
        .collect();
    let expected = [
        (json!("z"), json!(0), json!("one:8080"), json!("leader")),
        (json!("b"), json!(1), json!("two:8080"), json!("follower")),
        (json!("a"), json!(2), json!("three:8080"), json!("follower")),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b, c, d)| (a, b, c, d)).collect();
    assert_eq!(shown, expected);
    assert!(table.text().contains("two:8080"), "{table:?}");
    second.write_line("end\n").await;
    assert_eq!(third.line().await, "a");
}
