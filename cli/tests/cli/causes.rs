//! What the program says about a lock of a session whose record a person changed, and about a holder that crashed.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use rustix::process::Signal;
use serde_json::Value;

use crate::{Fixture, program::Running};

const QUEUE: &str = "leasehold.dev/queue";

impl Fixture {
    /// A process that holds `orders` through a session.
    async fn holder_of_orders(&self) -> Running {
        let held = ["lock", "--queue", "--ttl", "3s", "--id", "worker-1", "orders"];
        let mut program =
            self.leasehold(held).arg("sh").arg("-c").arg("echo held; sleep 60").start();
        assert_eq!(program.line().await, "held");
        program
    }

    async fn delete_orders(&self) {
        let _ = self.leases().delete("orders", &DeleteParams::default()).await;
    }

    /// `orders` in `status -o json`.
    async fn status_of_orders(&self) -> Value {
        let status = self.leasehold(["status", "-o", "json", "orders"]).end().await;
        serde_json::from_slice(&status.stdout).unwrap()
    }
}

/// Makes the record name another holder, or none.
fn name(lease: &mut Lease, holder: &str) {
    lease.spec.as_mut().unwrap().holder_identity = Some(holder.into());
}

/// Makes the queue of the record unreadable.
fn damage(lease: &mut Lease) {
    lease.metadata.annotations.as_mut().unwrap().insert(QUEUE.into(), "{".into());
}

#[tokio::test]
async fn a_loss_names_what_became_of_the_record_of_a_session() {
    let fixture = Fixture::new().await;
    let changes: [(&str, &[&str]); 4] = [
        ("deleted", &["its record was deleted"]),
        ("emptied", &["no longer names this holder", "it names none", "release --force"]),
        ("taken", &["no longer names this holder", "it names `other`"]),
        ("damaged", &["its record was changed by another client"]),
    ];
    for (change, texts) in changes {
        let program = fixture.holder_of_orders().await;

        match change {
            "deleted" => fixture.delete_orders().await,
            "emptied" => fixture.edit("orders", |lease| name(lease, "")).await,
            "taken" => fixture.edit("orders", |lease| name(lease, "other")).await,
            _ => fixture.edit("orders", damage).await,
        }
        let ended = program.end().await;

        assert_eq!(ended.code, Some(79), "{change}: {ended:?}");
        for text in texts {
            assert!(ended.stderr_line().contains(text), "{change}: {text}: {ended:?}");
        }
        fixture.delete_orders().await;
    }
}

#[tokio::test]
async fn a_damaged_queue_is_named_to_processes_that_want_the_lock() {
    let fixture = Fixture::new().await;
    let program = fixture.holder_of_orders().await;
    fixture.edit("orders", damage).await;
    program.end().await;

    let tried = fixture.leasehold(["lock", "--queue", "--try", "orders", "true"]).end().await;
    let waited =
        fixture.leasehold(["lock", "--queue", "--wait", "9s", "orders", "true"]).end().await;
    let waiting = fixture.leasehold(["lock", "--queue", "--ttl", "3s", "orders", "true"]).start();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let released = fixture.leasehold(["release", "--force", "--yes", "orders"]).end().await;
    let got = waiting.end().await;

    for ended in [&tried, &waited] {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        for text in ["the record of `orders` cannot be used", "its queue", "release --force"] {
            assert!(ended.stderr.contains(text), "{text}: {ended:?}");
        }
    }
    assert_eq!((released.code, got.code), (Some(0), Some(0)), "{released:?} {got:?}");
    assert!(got.stderr.contains("has to wait: the record of `orders` cannot be used"), "{got:?}");
    assert!(got.stderr.contains("the problem is over"), "{got:?}");
}

#[tokio::test]
async fn status_shows_that_the_session_of_a_crashed_holder_is_overdue() {
    let fixture = Fixture::new().await;
    let program = fixture.holder_of_orders().await;

    let held = fixture.status_of_orders().await;
    let mut watch = fixture.leasehold(["status", "-w", "-o", "json", "orders"]).start();
    let first: Value = serde_json::from_str(&watch.line().await).unwrap();
    program.signal(Signal::KILL);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let overdue = fixture.status_of_orders().await;
    let second: Value = serde_json::from_str(&watch.line().await).unwrap();
    let text = fixture.leasehold(["status"]).end().await;

    assert_eq!((&held["state"], &held["ttl_seconds"]), (&"held".into(), &3.into()), "{held}");
    assert!(held["renewed_seconds"].as_u64().unwrap() <= 3, "{held}");
    assert_eq!(overdue["state"], "overdue", "{overdue}");
    assert_eq!(
        (&first["state"], &second["state"]),
        (&"held".into(), &"overdue".into()),
        "{second}"
    );
    assert!(text.text().contains("overdue") && text.text().contains(" of 3s"), "{text:?}");
}
