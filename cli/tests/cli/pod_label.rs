//! `leasehold elect --label-leader`: the label of the pod.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use leasehold::Sync as _;
use leasehold_test_support::{ADMIN, Link, Rule};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::{Fixture, brief, program::Program};

const LABEL: &str = "leasehold.dev/leader";
const ARGS: [&str; 7] = ["elect", "--ttl", "2s", "--label-leader", "--id", "me", "billing"];

impl Fixture {
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.plane.client(ADMIN), &self.namespace)
    }

    /// A Pod object. No kubelet runs it.
    pub(crate) async fn pod(&self, name: &str) -> Pod {
        let pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "app": "billing" } },
            "spec": { "containers": [{ "name": "main", "image": "none" }], "automountServiceAccountToken": false },
        }));
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.plane.client(ADMIN), &self.namespace);
        let account = serde_json::from_value(json!({ "metadata": { "name": "default" } })).unwrap();
        // Without a controller manager the account does not exist yet.
        let _ = accounts.create(&PostParams::default(), &account).await;
        self.pods().create(&PostParams::default(), &pod.unwrap()).await.unwrap()
    }

    async fn label(&self, pod: &str, key: &str) -> Option<String> {
        let labels = self.pods().get(pod).await.unwrap().metadata.labels.unwrap();
        assert_eq!(labels["app"], "billing", "other labels are kept");
        labels.get(key).cloned()
    }

    async fn until_label(&self, pod: &str, key: &str, wanted: Option<&str>) {
        for _ in 0..400 {
            if self.label(pod, key).await.as_deref() == wanted {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("label {key} of {pod} is not {wanted:?}");
    }
}

fn of(program: Program, pod: &Pod) -> Program {
    let metadata = &pod.metadata;
    program
        .env("POD_NAME", metadata.name.as_ref().unwrap())
        .env("POD_NAMESPACE", metadata.namespace.as_ref().unwrap())
        .env("POD_UID", metadata.uid.as_ref().unwrap())
}

/// Whether the last write to the pod came before the last write to the Lease, which is the release. The server counts
/// the resource versions of all objects together.
async fn removed_before_the_release(fixture: &Fixture) -> bool {
    let lease = fixture.leases().get("billing").await.unwrap();
    assert_eq!(fixture.holder("billing").await, None, "released");
    assert_eq!(fixture.label("a", LABEL).await, None, "removed");
    let pod = fixture.pods().get("a").await.unwrap();
    let version = |version: Option<String>| version.unwrap().parse::<u64>().unwrap();
    version(pod.metadata.resource_version) < version(lease.metadata.resource_version)
}

#[tokio::test]
async fn the_label_is_set_while_leading_and_removed_before_the_release() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let program = of(fixture.leasehold(ARGS), &pod).start();
    fixture.until_label("a", LABEL, Some("true")).await;

    program.signal(Signal::TERM);
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(removed_before_the_release(&fixture).await);
}

#[tokio::test]
async fn with_a_command_the_label_is_removed_before_the_release_too() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let args = ARGS.into_iter().chain(["sh", "-c", "read -r line; exit 7"]);
    let mut program = of(fixture.leasehold(args), &pod).piped().start();
    fixture.until_label("a", LABEL, Some("true")).await;

    program.write_line("enough\n").await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(removed_before_the_release(&fixture).await);
}

#[tokio::test]
async fn a_starting_follower_removes_a_label_of_an_earlier_process() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let stale = json!({ "metadata": { "labels": { LABEL: "true" } } });
    let params = PatchParams::default();
    fixture.pods().patch("a", &params, &Patch::Merge(&stale)).await.unwrap();
    let other = fixture.handle();
    let guard = other.lock("billing", brief()).await.unwrap();

    let program = of(fixture.leasehold(ARGS), &pod).start();
    fixture.until_label("a", LABEL, None).await;

    assert!(guard.is_held());
    drop(program);
}

#[tokio::test]
async fn a_pod_that_was_cut_off_loses_the_label_after_it_reconnects() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let program = of(fixture.leasehold_of(&kubeconfig, ARGS), &pod).start();
    fixture.until_label("a", LABEL, Some("true")).await;

    proxy.set(Link::BLACK_HOLE);
    let other = fixture.handle();
    let guard = other.lock("billing", brief()).await.unwrap();
    proxy.reset();
    proxy.set(Link::default());
    fixture.until_label("a", LABEL, None).await;

    assert!(guard.is_held(), "no process waits for the label");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn two_elections_can_use_two_label_keys() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let key = "example.com/reports-leader";
    let args = ["elect", "--label-leader", "--label-key", key, "--pod", "a", "reports"];

    let first = of(fixture.leasehold(ARGS), &pod).start();
    let second = fixture.leasehold(args).env("POD_NAMESPACE", &fixture.namespace).start();
    fixture.until_label("a", LABEL, Some("true")).await;
    fixture.until_label("a", key, Some("true")).await;
    second.signal(Signal::TERM);
    second.end().await;

    assert_eq!(fixture.label("a", LABEL).await.as_deref(), Some("true"));
    assert_eq!(fixture.label("a", key).await, None);
    drop(first);
}

#[tokio::test]
async fn a_label_that_cannot_be_written_is_reported_before_the_election_is_joined() {
    let fixture = Fixture::new().await;
    let mut pod = fixture.pod("a").await;
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    fixture.plane.allow("alice", &fixture.namespace, &[Rule::leases(&verbs)]).await;
    let kubeconfig = fixture.plane.kubeconfig("alice");

    let refused = of(fixture.leasehold_of(&kubeconfig, ARGS), &pod).end().await;
    let unknown = fixture.leasehold(ARGS).end().await;
    pod.metadata.uid = Some("e5b4e1f0-0000-4000-8000-000000000000".into());
    let another = of(fixture.leasehold(ARGS), &pod).end().await;
    pod.metadata.name = Some("b".into());
    let missing = of(fixture.leasehold(ARGS), &pod).end().await;

    assert_eq!(refused.code, Some(69), "{refused:?}");
    for text in ["patch", "pods/a", &fixture.namespace, "Role"] {
        assert!(refused.stderr_line().contains(text), "{text}: {refused:?}");
    }
    assert_eq!(unknown.code, Some(64), "{unknown:?}");
    assert!(unknown.stderr_line().contains("POD_NAME"), "{unknown:?}");
    for ended in [another, missing] {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(ended.stderr_line().contains("pods/"), "{ended:?}");
    }
    assert!(
        fixture.leases().get_opt("billing").await.unwrap().is_none(),
        "the election was not joined"
    );
}

#[tokio::test]
async fn a_label_that_cannot_be_removed_does_not_delay_the_end() {
    let fixture = Fixture::new().await;
    let pod = fixture.pod("a").await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = fixture.behind_proxy(directory.path()).await;
    let mut program = of(
        fixture.leasehold_of(
            &kubeconfig,
            [
                "elect",
                "--ttl",
                "60s",
                "--label-leader",
                "billing",
                "sh",
                "-c",
                "echo in; read -r line; exit 7",
            ],
        ),
        &pod,
    )
    .piped()
    .start();
    assert_eq!(program.line().await, "in");
    fixture.until_label("a", LABEL, Some("true")).await;

    proxy.set(Link::BLACK_HOLE);
    let begun = Instant::now();
    program.write_line("enough\n").await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(7), "{ended:?}");
    // Two seconds for the label, and five to resign.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}
