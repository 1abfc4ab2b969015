//! What is shown of locks and elections, and taking one away.

use leasehold::{LeaderOptions, Sync as _};
use serde_json::{Value, json};

use crate::{Place, brief, program::Ended};

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
    let leader = sync.leader("billing", LeaderOptions::default().id("me")).await.unwrap();
    let lead = leader.elected().await.unwrap();
    let _follower = other.leader("billing", LeaderOptions::default().id("you")).await.unwrap();

    let all = objects(&place.leasehold(["status", "-o", "json"]).end().await);
    let one = objects(&place.leasehold(["status", "-o", "json", "jobs/nightly"]).end().await);
    let table = place.leasehold(["status"]).end().await;
    let none = place.leasehold(["status", "no-such-lock"]).end().await;

    assert_eq!(all.len(), 2, "{all:?}");
    let election = all.iter().find(|record| record["kind"] == "election").unwrap();
    assert_eq!((&election["name"], &election["holder"]), (&json!("billing"), &json!("me")));
    assert_eq!(election["token"], lead.token().get());
    assert!(election["candidates"].as_u64().unwrap() >= 1, "{election}");
    let [lock] = &one[..] else { panic!("{one:?}") };
    assert_eq!((&lock["name"], &lock["kind"]), (&json!("jobs/nightly"), &json!("lock")));
    assert_eq!((&lock["holder"], &lock["token"]), (&json!(guard.holder()), &json!(guard.token())));
    assert!(lock["left_seconds"].as_u64().unwrap() <= 2, "{lock}");
    let lines: Vec<_> = table.text().lines().collect();
    assert!(lines[0].starts_with("NAME") && lines.len() == 3, "{table:?}");
    assert_eq!(none.code, Some(1));
    assert!(none.said().contains("no-such-lock") && none.said().contains(&place.namespace));
}

#[tokio::test]
async fn members_and_watch_show_who_stands_and_who_leads() {
    let place = Place::new().await;
    let sync = place.handle();
    let leader = sync.leader("billing", LeaderOptions::default().id("me")).await.unwrap();
    let lead = leader.elected().await.unwrap();

    let members = objects(&place.leasehold(["members", "-o", "json", "billing"]).end().await);
    let mut watch = place.leasehold(["watch", "-o", "json", "billing"]).start();
    let events = [watch.line().await, watch.line().await];
    drop(lead);
    leader.resign().await.unwrap();
    let lost = watch.line().await;

    let me = json!({ "election": "billing", "id": "me", "role": "leader", "namespace": place.namespace, "token": members[0]["token"] });
    assert_eq!(members, std::slice::from_ref(&me));
    let events = events.map(|event| serde_json::from_str::<Value>(&event).unwrap());
    assert_eq!(events[0], json!({ "event": "joined", "member": me }));
    assert_eq!(events[1], json!({ "event": "elected", "member": me }));
    assert_eq!(serde_json::from_str::<Value>(&lost).unwrap()["event"], "lost");
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
    assert!(man.text().contains(".TH leasehold") && man.text().contains("grace"));
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
