//! What is shown of locks and elections, and taking one away.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use leasehold::{Kubernetes, LeaderOptions, Options, Sync as _};
use leasehold_test_support::ADMIN;
use serde_json::{Value, json};

use crate::{
    Place, brief,
    program::{Ended, Running},
};

/// Its output, one JSON object a line.
#[track_caller]
fn objects(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn status_shows_locks_and_elections_with_holder_and_token() {
    let place = Place::new().await;
    let (sync, other) = (place.handle(), place.handle());
    let guard = sync.lock("jobs/nightly", brief()).await.unwrap();
    let leader = sync.leader("billing", LeaderOptions::default().candidate_id("me")).await.unwrap();
    let lead = leader.elected().await.unwrap();
    let _follower =
        other.leader("billing", LeaderOptions::default().candidate_id("you")).await.unwrap();

    let all = objects(&place.leasehold(["status", "-o", "json"]).end().await);
    let one = objects(&place.leasehold(["status", "-o", "json", "jobs/nightly"]).end().await);
    let table = place.leasehold(["status"]).end().await;
    let none = place.leasehold(["status", "no-such-lock"]).end().await;

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
    assert!(none.said().contains("no-such-lock") && none.said().contains(&place.namespace));
}

#[tokio::test]
async fn members_and_watch_show_who_stands_and_who_leads() {
    let place = Place::new().await;
    let sync = place.handle();
    let leader = sync.leader("billing", LeaderOptions::default().candidate_id("me")).await.unwrap();
    let lead = leader.elected().await.unwrap();

    let members = objects(&place.leasehold(["members", "-o", "json", "billing"]).end().await);
    let mut watch = place.leasehold(["watch", "-o", "json", "billing"]).start();
    let events = [watch.line().await, watch.line().await];
    drop(lead);
    leader.resign().await.unwrap();
    let lost = watch.line().await;

    let [me] = &members[..] else { panic!("{members:?}") };
    assert_eq!(
        (&me["election"], &me["id"], &me["role"], &me["namespace"], me["token"].is_u64()),
        (&json!("billing"), &json!("me"), &json!("leader"), &json!(place.namespace), true)
    );
    let event = |event, token: &Value, why| {
        json!({ "event": event, "kind": "election", "name": "billing", "namespace": place.namespace,
                "id": "me", "token": token, "why": why })
    };
    let events = events.map(|event| timeless(&event));
    assert_eq!(events[0], event("joined", &Value::Null, Value::Null));
    assert_eq!(events[1], event("elected", &me["token"], Value::Null));
    assert_eq!(timeless(&lost), event("lost", &me["token"], json!("released")));
}

/// A line of `watch` without the time, which is one.
fn timeless(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap();
    event["at"].take().as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    event.as_object_mut().unwrap().remove("at");
    event
}

/// The next line for which `so` holds.
async fn until(program: &mut Running, so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line: Value = serde_json::from_str(&program.line().await).unwrap();
        if so(&line) {
            return line;
        }
    }
}

#[tokio::test]
async fn watching_judges_an_expiry_by_its_own_clock_and_not_by_what_is_written() {
    let place = Place::new().await;
    let guard = place.handle().lock("orders", brief()).await.unwrap();
    // Its writer's clock is an hour behind, and it lives for a minute: alive, whatever is written.
    let slow =
        lease("slow", "behind", 60, jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1));
    place.leases().create(&PostParams::default(), &slow).await.unwrap();
    // Its writer's clock is an hour ahead, and it has died.
    let fast =
        lease("fast", "ahead", 1, jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1));
    place.leases().create(&PostParams::default(), &fast).await.unwrap();

    let once = objects(&place.leasehold(["status", "-o", "json"]).end().await);
    let mut watch = place.leasehold(["status", "-w", "-o", "json"]).start();
    let expired = until(&mut watch, |line| line["state"] == "expired").await;
    let slow = objects(&place.leasehold(["status", "-o", "json", "slow"]).end().await);
    let token = guard.token();
    drop(guard);
    let freed = until(&mut watch, |line| line["name"] == "orders" && line["state"] != "held").await;

    let states: Vec<_> = once.iter().map(|line| (&line["name"], &line["state"])).collect();
    let [held, overdue] = [json!("held"), json!("overdue")];
    let names = ["fast", "orders", "slow"].map(|name| json!(name));
    assert_eq!(states, [(&names[0], &held), (&names[1], &held), (&names[2], &overdue)]);
    assert_eq!((&expired["name"], &expired["left_seconds"]), (&json!("fast"), &json!(0)));
    assert_eq!(slow[0]["state"], "overdue", "it has not been renewed");
    assert_eq!((&freed["state"], &freed["token"]), (&json!("free"), &Value::Null), "after {token}");
}

/// A Lease as this crate writes them, of a writer that will not come again.
fn lease(name: &str, holder: &str, ttl: i32, renewed: jiff::Timestamp) -> Lease {
    serde_json::from_value(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "labels": { "leasehold.dev/kind": "lock", "team": "shop" } },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": ttl, "renewTime": format!("{renewed:.6}") },
    }))
    .unwrap()
}

#[tokio::test]
async fn watch_tells_of_locks_who_has_them_and_how_they_were_lost() {
    let place = Place::new().await;
    let sync = place.handle();
    let mut watch = place.leasehold(["watch", "-o", "json"]).start();
    place.until_requested("watch", 1).await;

    let guard = sync.lock("orders", brief()).await.unwrap();
    let acquired = until(&mut watch, |_| true).await;
    let (token, holder) = (guard.token(), guard.holder().to_owned());
    guard.release().await.unwrap();
    let released = until(&mut watch, |_| true).await;
    let dead = lease("dead", "nobody", 1, jiff::Timestamp::now());
    place.leases().create(&PostParams::default(), &dead).await.unwrap();
    let expired = until(&mut watch, |line| line["event"] == "lost").await;

    let event = |event, why: Value| {
        json!({ "event": event, "kind": "lock", "name": "orders", "namespace": place.namespace,
                "id": holder, "token": token, "why": why })
    };
    assert_eq!(timeless(&acquired.to_string()), event("acquired", Value::Null));
    assert_eq!(timeless(&released.to_string()), event("lost", json!("released")));
    assert_eq!((&expired["name"], &expired["why"]), (&json!("dead"), &json!("expired")));
}

#[tokio::test]
async fn what_is_shown_can_be_chosen_as_with_kubectl() {
    let (place, other) = (Place::new().await, Place::new().await);
    for place in [&place, &other] {
        let lease = lease("labelled", "somebody", 60, jiff::Timestamp::now());
        place.leases().create(&PostParams::default(), &lease).await.unwrap();
    }
    let guard = place.handle().lock("orders", brief()).await.unwrap();
    let names = async |args: &[&'static str]| {
        let all = ["status", "-o", "json"].iter().chain(args).copied();
        let ended = place.leasehold(all).end().await;
        let mine = |line: &Value| {
            [&place, &other].iter().any(|place| line["namespace"] == *place.namespace)
        };
        let lines = objects(&ended).into_iter().filter(mine);
        lines.map(|line| line["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(names(&[]).await, ["labelled", "orders"]);
    assert_eq!(names(&["-l", "team=shop"]).await, ["labelled"]);
    assert_eq!(names(&["-l", "team in (shop),team!=x"]).await, ["labelled"]);
    assert_eq!(names(&["-l", "team=other"]).await, [""; 0]);
    assert_eq!(names(&["-A", "-l", "team=shop"]).await, ["labelled", "labelled"]);
    let table = place.leasehold(["status", "-A", "labelled"]).end().await;
    assert!(table.text().starts_with("NAMESPACE "), "{table:?}");
    let wrong = place.leasehold(["status", "-l", "team in shop"]).end().await;
    assert_eq!(wrong.code, Some(69), "{wrong:?}");
    assert!(wrong.said().contains("unable to parse requirement"), "{wrong:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn of_two_records_of_one_name_the_lease_says_which_to_release() {
    let place = Place::new().await;
    let of = |prefix: &str| {
        let options = Options::default().namespace(&place.namespace).prefix(prefix);
        Kubernetes::from_config(place.plane.config(ADMIN), options).unwrap()
    };
    let (one, two) = (of("one-"), of("two-"));
    let (first, second) =
        (one.lock("orders", brief()).await.unwrap(), two.lock("orders", brief()).await.unwrap());

    let listed = objects(&place.leasehold(["status", "-o", "json", "orders"]).end().await);
    let unclear = place.leasehold(["release", "--force", "orders"]).end().await;
    let released = place.leasehold(["release", "--force", "two-orders"]).end().await;

    let leases: Vec<_> = listed.iter().map(|line| line["lease"].as_str().unwrap()).collect();
    assert_eq!(leases, ["one-orders", "two-orders"]);
    assert_eq!(unclear.code, Some(1), "{unclear:?}");
    assert!(unclear.said().contains("one-orders, two-orders"), "{unclear:?}");
    assert_eq!(released.code, Some(0), "{released:?}");
    assert_eq!(place.holder("one-orders").await.as_deref(), Some(first.holder()));
    assert_eq!(place.holder("two-orders").await, None);
    drop((first, second));
}

#[tokio::test]
async fn an_operators_release_stops_the_command_of_the_holder() {
    let place = Place::new().await;
    let script = "echo ready; while :; do sleep 0.1; done";
    let mut holder = place.leasehold(["lock", "--ttl", "3s", "orders", "sh", "-c", script]).start();
    assert_eq!(holder.line().await, "ready");

    let unforced = place.leasehold(["release", "orders"]).end().await;
    let released = place.leasehold(["release", "-o", "json", "orders", "--force"]).end().await;
    let ended = holder.end().await;
    let again = place.leasehold(["release", "orders", "--force"]).end().await;
    let unknown = place.leasehold(["release", "no-such-lock", "--force"]).end().await;

    assert_eq!(unforced.code, Some(64));
    assert_eq!(objects(&released)[0]["holder"], Value::Null);
    assert_eq!(ended.code, Some(79), "{ended:?}");
    assert!(ended.said().contains("lost"), "{ended:?}");
    assert_eq!(place.holder("orders").await, None);
    assert_eq!((again.code, unknown.code), (Some(1), Some(1)));
}

#[tokio::test]
async fn every_json_object_has_a_schema_and_every_shell_its_completions() {
    let place = Place::new().await;

    let schemas = place.leasehold(["schema"]).end().await;
    let man = place.leasehold(["man"]).end().await;

    let schemas: Value = serde_json::from_str(schemas.text()).unwrap();
    for of in ["lock", "elect", "members", "status", "release", "watch", "elect --serve"] {
        assert!(schemas[of].is_object(), "{of}");
    }
    assert!(man.text().contains(".TH leasehold") && man.text().contains("LEASEHOLD_GRACE"));
    assert!(man.text().contains(".SH \"LEASEHOLD LOCK\"\n.SS SYNOPSIS"), "{}", man.text());
    for shell in ["bash", "zsh", "fish"] {
        let completions = place.leasehold(["completions", shell]).end().await;
        assert!(completions.text().contains("leasehold"), "{shell}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_69() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = place.kubeconfig_for("https://127.0.0.1:1", directory.path());
    for args in [&["status"][..], &["members"], &["watch"], &["release", "orders", "--force"]] {
        let ended = place.leasehold_of(&kubeconfig, args.iter().copied()).end().await;
        assert_eq!(ended.code, Some(69), "{args:?}: {ended:?}");
        assert!(ended.said().contains("127.0.0.1:1"), "{ended:?}");
    }
}
