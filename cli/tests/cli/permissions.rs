//! The Role of the documentation: `create`, and four verbs on the Leases in use.

use leasehold::{LeaderOptions, Sync as _};
use leasehold_test_support::Rule;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{BRIEF, Fixture, brief, program::Program};

/// The user that has the Role.
const USER: &str = "bob";

/// Grants the Role of the documentation for Leases with these names.
async fn grant(fixture: &Fixture, names: &[&str]) {
    let verbs = ["get", "update", "list", "watch"];
    let rules = [Rule::leases(&["create"]), Rule::leases(&verbs).named(names)];
    fixture.plane.allow(USER, &fixture.namespace, &rules).await;
}

fn as_user<'a>(fixture: &Fixture, args: impl IntoIterator<Item = &'a str>) -> Program {
    fixture.leasehold_of(&fixture.plane.kubeconfig(USER), args)
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[tokio::test]
async fn status_of_a_name_needs_no_rights_on_other_leases() {
    let fixture = Fixture::new().await;
    grant(&fixture, &["orders", "jobs-nightly-340c65cc94e15599", "billing", "free"]).await;
    let sync = fixture.handle();
    let guard = sync.lock("orders", brief()).await.unwrap();
    let _nightly = sync.lock("jobs/nightly", brief()).await.unwrap();
    let leader = sync.leader("billing", LeaderOptions::default().ttl(BRIEF)).await.unwrap();
    let _lead = leader.elected().await.unwrap();

    let status = |name| as_user(&fixture, ["status", "-o", "json", name]).end();
    let lock = status("orders").await;
    let slug = status("jobs/nightly").await;
    let election = status("billing").await;
    let table = as_user(&fixture, ["status", "billing"]).end().await;
    let none = status("free").await;
    let unreleased = as_user(&fixture, ["release", "--force", "--yes", "free"]).end().await;

    for ended in [&lock, &slug, &election, &table] {
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    }
    assert_eq!(json(lock.text())["holder"], json!(guard.holder()));
    assert_eq!(json(slug.text())["name"], json!("jobs/nightly"));
    let election = json(election.text());
    assert_eq!((&election["kind"], &election["state"]), (&json!("election"), &json!("held")));
    let unknown = (&election["candidates"], &election["waiting"]);
    assert_eq!(unknown, (&Value::Null, &Value::Null), "the candidates are other Leases");
    let columns: Vec<_> = table.text().lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(columns.iter().filter(|column| **column == "?").count(), 2, "{table:?}");
    for none in [none, unreleased] {
        assert_eq!(none.code, Some(1), "{none:?}");
        let line = none.stderr_line();
        assert!(line.contains("`free`") && line.contains("`list`"), "{line}");
        assert!(!line.contains("lists all names"), "{line}");
    }
}

#[tokio::test]
async fn status_shows_what_may_be_read_and_reports_what_may_not() {
    let fixture = Fixture::new().await;
    grant(&fixture, &["orders"]).await;
    let _guard = fixture.handle().lock("billing", brief()).await.unwrap();

    let other = as_user(&fixture, ["status", "billing"]).end().await;
    let all = as_user(&fixture, ["status"]).end().await;
    let members = as_user(&fixture, ["members", "orders"]).end().await;

    assert_eq!([other.code, all.code, members.code], [Some(69); 3]);
    assert!(other.stderr_line().contains("leases.coordination.k8s.io/billing"), "{other:?}");
    assert!(other.stderr_line().contains("to get"), "{other:?}");
    // The records of candidates have names that are not known in advance.
    for ended in [all, members] {
        assert!(ended.stderr_line().contains("no resourceNames"), "{ended:?}");
    }
}

#[tokio::test]
async fn watch_and_status_of_a_name_follow_one_lease() {
    let fixture = Fixture::new().await;
    grant(&fixture, &["billing"]).await;
    let options = |id| LeaderOptions::default().ttl(BRIEF).candidate_id(id);
    let sync = fixture.handle();
    let first = sync.leader("billing", options("first")).await.unwrap();
    let lead = first.elected().await.unwrap();

    let mut watch = as_user(&fixture, ["watch", "-o", "json", "billing"]).start();
    let mut status = as_user(&fixture, ["status", "-w", "-o", "json", "billing"]).start();
    let elected = json(&watch.line().await);
    let held = json(&status.line().await);
    // A list that is refused precedes each watch.
    fixture.until_requested("watch", 2).await;
    drop(lead);
    first.resign().await.unwrap();
    let lost = json(&watch.line().await);
    let second = sync.leader("billing", options("second")).await.unwrap();
    let _lead = second.elected().await.unwrap();
    let next = json(&watch.line().await);
    let mut shown = json(&status.line().await);
    while shown["holder"] != "second" {
        shown = json(&status.line().await);
    }

    let event = |line: &Value| [line["event"].clone(), line["holder"].clone(), line["why"].clone()];
    assert_eq!(event(&elected), [json!("elected"), json!("first"), Value::Null]);
    assert_eq!(event(&lost), [json!("lost"), json!("first"), json!("released")]);
    assert_eq!(event(&next), [json!("elected"), json!("second"), Value::Null]);
    assert_eq!((&held["holder"], &held["candidates"]), (&json!("first"), &Value::Null));
    for mut program in [watch, status] {
        program.signal(Signal::TERM);
        program.code().await;
        assert_eq!(program.end().await.stderr, "");
    }
}

#[tokio::test]
async fn release_of_a_name_needs_get_and_update_on_its_lease() {
    let fixture = Fixture::new().await;
    let rules = [Rule::leases(&["get", "update"]).named(&["orders"])];
    fixture.plane.allow(USER, &fixture.namespace, &rules).await;
    let guard = fixture.handle().lock("orders", brief().ttl(BRIEF * 10)).await.unwrap();

    let args = ["release", "--force", "--yes", "-o", "json", "orders"];
    let released = as_user(&fixture, args).end().await;
    let again = as_user(&fixture, ["release", "--force", "--yes", "orders"]).end().await;

    assert_eq!((released.code, &*released.stderr), (Some(0), ""), "{released:?}");
    assert_eq!(json(released.text())["state"], "free");
    assert_eq!(fixture.holder("orders").await, None);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr_line().contains("already free"), "{again:?}");
    drop(guard);
}

#[tokio::test]
async fn a_lock_and_an_election_wait_by_a_watch_of_their_lease() {
    let fixture = Fixture::new().await;
    grant(&fixture, &["orders", "billing"]).await;
    let sync = fixture.handle();
    let guard = sync.lock("orders", brief().ttl(BRIEF * 30)).await.unwrap();
    let leader = sync.leader("billing", LeaderOptions::default().ttl(BRIEF * 30)).await.unwrap();
    let lead = leader.elected().await.unwrap();

    let mut lock = as_user(&fixture, ["lock", "orders", "echo", "in"]).start();
    let mut elect = as_user(&fixture, ["elect", "-o", "json", "billing"]).start();
    fixture.until_requested("watch", 2).await;
    let follows = json(&elect.line().await);
    guard.release().await.unwrap();
    drop(lead);
    leader.resign().await.unwrap();
    let inside = lock.line().await;
    let mut leads = json(&elect.line().await);
    while leads["status"] != "leading" {
        leads = json(&elect.line().await);
    }

    assert_eq!(inside, "in");
    assert_eq!(follows["status"], "follower");
    assert_eq!(lock.end().await.stderr, "");
    elect.signal(Signal::TERM);
    let ended = elect.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // It has no right to write the record that lists it, and says so once.
    assert!(ended.stderr.lines().count() <= 1, "{ended:?}");
}
