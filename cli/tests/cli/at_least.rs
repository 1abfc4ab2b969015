//! `leasehold lock --at-least`: no other run starts for a time.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};

use leasehold::Sync as _;

use crate::{Fixture, brief};

/// The annotation with the time before which no other run may start.
const NOT_BEFORE: &str = "leasehold.dev/not-before";

impl Fixture {
    /// Lets a lock look as if the run had started this long before.
    async fn shift(&self, name: &str, ago: Duration) {
        self.edit(name, |lease| {
            let annotations = lease.metadata.annotations.as_mut().unwrap();
            let mut stated = stated(annotations).expect("a time");
            let time: jiff::Timestamp = stated["time"].as_str().unwrap().parse().unwrap();
            stated["time"] = (time - ago).to_string().into();
            annotations.insert(NOT_BEFORE.into(), stated.to_string());
        })
        .await;
    }

    async fn stated(&self, name: &str) -> Option<Value> {
        let lease: Lease = self.leases().get(name).await.unwrap();
        stated(&lease.metadata.annotations.unwrap())
    }
}

fn stated(annotations: &std::collections::BTreeMap<String, String>) -> Option<Value> {
    annotations.get(NOT_BEFORE).map(|text| serde_json::from_str(text).unwrap())
}

#[tokio::test]
async fn a_second_host_does_not_run_a_short_job_again_until_the_time_has_passed() {
    let fixture = Fixture::new().await;
    let run = async |id: &'static str| {
        let args = ["lock", "--try", "--at-least", "10m", "--id", id, "nightly", "echo", "ran"];
        fixture.leasehold(args).end().await
    };

    let first = run("host-a").await;
    let second = run("host-b").await;
    let code = fixture.leasehold(["lock", "--try", "--busy-code", "0", "nightly", "echo", "ran"]);
    let code = code.end().await;
    fixture.shift("nightly", Duration::from_secs(600)).await;
    let later = run("host-b").await;

    assert_eq!((first.code, first.text()), (Some(0), "ran\n"), "{first:?}");
    assert_eq!((second.code, second.text()), (Some(75), ""), "{second:?}");
    let line = second.stderr_line();
    for part in
        ["lock `nightly`", &fixture.namespace, "host-a", "before 20", "Z, in ", "--at-least"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!((code.code, code.text()), (Some(0), ""), "{code:?}");
    assert_eq!((later.code, later.text()), (Some(0), "ran\n"), "{later:?}");
    let stated = fixture.stated("nightly").await.unwrap();
    assert_eq!((&stated["holder"], &stated["length"]), (&json!("host-b"), &json!("10m")));
}

#[tokio::test]
async fn a_wait_ends_with_the_time_or_with_75_if_it_is_shorter() {
    let fixture = Fixture::new().await;
    let first = fixture.leasehold(["lock", "nightly", "true"]);
    let first = first.env("LEASEHOLD_AT_LEAST", "8s").end().await;
    assert_eq!(first.code, Some(0), "{first:?}");

    let short = fixture.leasehold(["lock", "--wait", "1s", "nightly", "true"]).end().await;
    let long = fixture.leasehold(["lock", "--wait", "60s", "nightly", "date", "+%s"]);
    let stated = fixture.stated("nightly").await.unwrap();
    let long = long.end().await;

    assert_eq!(short.code, Some(75), "{short:?}");
    assert_eq!(long.code, Some(0), "{long:?}");
    let line = "free, but may not be acquired before 20";
    assert!(long.stderr.contains(line) && long.stderr.lines().count() == 1, "{long:?}");
    let start: f64 = long.text().trim().parse().unwrap();
    let time: jiff::Timestamp = stated["time"].as_str().unwrap().parse().unwrap();
    assert!(start + 1.0 > time.as_duration().as_secs_f64(), "{start} {stated}");
    assert_eq!(fixture.stated("nightly").await, None, "the next holder states no time");
}

#[tokio::test]
async fn status_shows_the_time_and_release_removes_it() {
    let fixture = Fixture::new().await;
    let held = fixture.leasehold(["lock", "--at-least", "1d", "--id", "host-a", "nightly", "true"]);
    assert_eq!(held.end().await.code, Some(0));

    let text = fixture.leasehold(["status"]).end().await;
    let json = fixture.leasehold(["status", "-o", "json", "nightly"]).end().await;
    let pruned = fixture.leasehold(["prune", "--older-than", "0", "--dry-run"]).end().await;
    let unforced = fixture.leasehold(["release", "nightly"]).end().await;
    let released = fixture.leasehold(["release", "--force", "--yes", "nightly"]).end().await;
    let again = fixture.leasehold(["release", "--force", "--yes", "nightly"]).end().await;
    let next = fixture.leasehold(["lock", "--try", "nightly", "true"]).end().await;

    let row = text.text().lines().nth(1).unwrap().to_owned();
    assert!(row.contains("free") && row.contains("not before 20"), "{row}");
    let json: Value = serde_json::from_str(json.text()).unwrap();
    assert_eq!((&json["state"], &json["not_before_holder"]), (&json!("free"), &json!("host-a")));
    let time: jiff::Timestamp = json["not_before"].as_str().unwrap().parse().unwrap();
    let ahead = Duration::try_from(time.duration_since(jiff::Timestamp::now())).unwrap();
    assert!((86_000..=86_401).contains(&ahead.as_secs()), "{ahead:?}");
    assert!(pruned.text().starts_with("no lock or election in namespace "), "{pruned:?}");
    assert_eq!(unforced.code, Some(64));
    assert_eq!(released.code, Some(0), "{released:?}");
    assert!(released.text().contains("`nightly`") && released.text().contains("at once"));
    assert_eq!(again.code, Some(1), "nothing is left to release: {again:?}");
    assert_eq!(next.code, Some(0), "{next:?}");
}

#[tokio::test]
async fn a_watch_reports_the_tenures_and_no_event_for_the_time() {
    let fixture = Fixture::new().await;
    let mut watch = fixture.leasehold(["watch", "-o", "json", "nightly"]).start();
    fixture.until_requested("watch", 1).await;
    let sync = fixture.handle();
    let mut events = Vec::new();
    let mut next = async || {
        let line: Value = serde_json::from_str(&watch.line().await).unwrap();
        events.push((line["event"].clone(), line["why"].clone()));
    };

    for _ in 0..2 {
        let options = brief().at_least(Duration::from_secs(2));
        let guard = sync.lock("nightly", options).await.unwrap();
        next().await;
        guard.release().await.unwrap();
        next().await;
    }

    let tenure = [(json!("acquired"), Value::Null), (json!("lost"), json!("released"))];
    assert_eq!(events, [tenure.clone(), tenure].concat());
}

#[tokio::test]
async fn runs_with_a_queue_obey_the_time_and_set_it() {
    let fixture = Fixture::new().await;
    let run = async |id: &'static str, more: &'static [&'static str]| {
        let args = ["lock", "--at-least", "8s", "--id", id];
        let args = args.iter().chain(more).chain(&["nightly", "date", "+%s"]);
        fixture.leasehold(args.copied()).end().await
    };

    let first = run("host-a", &["--queue", "--try"]).await;
    let stated = fixture.stated("nightly").await.unwrap();
    let second = run("host-b", &["--queue", "--try"]).await;
    let third = run("host-c", &["--try"]).await;
    let short = run("host-d", &["--queue", "--wait", "1s"]).await;
    let later = run("host-e", &["--queue", "--wait", "60s"]).await;
    let next = fixture.stated("nightly").await.unwrap();
    let shared = run("host-f", &["--shared"]).await;

    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!((&stated["holder"], &stated["length"]), (&json!("host-a"), &json!("8s")));
    for early in [&second, &third, &short] {
        assert_eq!((early.code, early.text()), (Some(75), ""), "{early:?}");
        let line = early.stderr_line();
        assert!(line.contains("host-a") && line.contains("--at-least"), "{line}");
    }
    assert_eq!(later.code, Some(0), "{later:?}");
    let start: f64 = later.text().trim().parse().unwrap();
    let time: jiff::Timestamp = stated["time"].as_str().unwrap().parse().unwrap();
    assert!(start + 1.0 > time.as_duration().as_secs_f64(), "{start} {stated}");
    assert_eq!(next["holder"], "host-e");
    assert_eq!(shared.code, Some(64), "{shared:?}");
}

#[tokio::test]
async fn a_time_that_cannot_be_used_is_a_usage_error() {
    let fixture = Fixture::new().await;
    for length in ["0", "367d", "soon"] {
        let args = ["lock", "--at-least", length, "nightly", "true"];
        let ended = fixture.leasehold(args).end().await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
    }
}
