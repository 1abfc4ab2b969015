//! The label of the own pod.

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

use crate::{Place, brief, program::Program};

const LABEL: &str = "leasehold.dev/leader";
const ARGS: [&str; 7] = ["elect", "--ttl", "2s", "--label-leader", "--id", "me", "billing"];

impl Place {
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.plane.client(ADMIN), &self.namespace)
    }

    /// A Pod object, which nobody runs.
    pub(crate) async fn pod(&self, name: &str) -> Pod {
        let pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "app": "billing" } },
            "spec": { "containers": [{ "name": "main", "image": "none" }], "automountServiceAccountToken": false },
        }));
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.plane.client(ADMIN), &self.namespace);
        let account = serde_json::from_value(json!({ "metadata": { "name": "default" } })).unwrap();
        // Nobody makes it where there is no controller manager.
        let _ = accounts.create(&PostParams::default(), &account).await;
        self.pods().create(&PostParams::default(), &pod.unwrap()).await.unwrap()
    }

    async fn label(&self, pod: &str, key: &str) -> Option<String> {
        let labels = self.pods().get(pod).await.unwrap().metadata.labels.unwrap();
        assert_eq!(labels["app"], "billing", "not touched");
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

/// Whether the last write to the pod came before the last one to the election's Lease: its release. Versions of all
/// objects come from one count.
async fn removed_before_the_release(place: &Place) -> bool {
    let lease = place.leases().get("billing").await.unwrap();
    assert_eq!(place.holder("billing").await, None, "released");
    assert_eq!(place.label("a", LABEL).await, None, "removed");
    let pod = place.pods().get("a").await.unwrap();
    let version = |version: Option<String>| version.unwrap().parse::<u64>().unwrap();
    version(pod.metadata.resource_version) < version(lease.metadata.resource_version)
}

#[tokio::test]
async fn the_pod_has_the_label_while_it_leads_and_loses_it_before_the_release() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let program = of(place.leasehold(ARGS), &pod).start();
    place.until_label("a", LABEL, Some("true")).await;

    program.signal(Signal::TERM);
    let ended = program.end().await;

    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(removed_before_the_release(&place).await);
}

#[tokio::test]
async fn with_a_command_the_label_goes_before_the_release_too() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let args = ARGS.into_iter().chain(["sh", "-c", "read -r line; exit 7"]);
    let mut program = of(place.leasehold(args), &pod).piped().start();
    place.until_label("a", LABEL, Some("true")).await;

    program.say("enough\n").await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(removed_before_the_release(&place).await);
}

#[tokio::test]
async fn a_follower_that_starts_removes_what_its_former_life_has_left() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let stale = json!({ "metadata": { "labels": { LABEL: "true" } } });
    let params = PatchParams::default();
    place.pods().patch("a", &params, &Patch::Merge(&stale)).await.unwrap();
    let other = place.handle();
    let guard = other.lock("billing", brief()).await.unwrap();

    let program = of(place.leasehold(ARGS), &pod).start();
    place.until_label("a", LABEL, None).await;

    assert!(guard.is_held());
    drop(program);
}

#[tokio::test]
async fn a_pod_that_was_cut_off_loses_the_label_once_it_is_back() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let program = of(place.leasehold_of(&kubeconfig, ARGS), &pod).start();
    place.until_label("a", LABEL, Some("true")).await;

    proxy.set(Link::BLACK_HOLE);
    let other = place.handle();
    let guard = other.lock("billing", brief()).await.unwrap();
    proxy.reset();
    proxy.set(Link::default());
    place.until_label("a", LABEL, None).await;

    assert!(guard.is_held(), "nobody has waited for the label");
    program.signal(Signal::TERM);
    assert_eq!(program.end().await.code, Some(0));
}

#[tokio::test]
async fn another_key_stands_for_another_election() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let key = "example.com/reports-leader";
    let args = ["elect", "--label-leader", "--label-key", key, "--pod", "a", "reports"];

    let first = of(place.leasehold(ARGS), &pod).start();
    let second = place.leasehold(args).env("POD_NAMESPACE", &place.namespace).start();
    place.until_label("a", LABEL, Some("true")).await;
    place.until_label("a", key, Some("true")).await;
    second.signal(Signal::TERM);
    second.end().await;

    assert_eq!(place.label("a", LABEL).await.as_deref(), Some("true"));
    assert_eq!(place.label("a", key).await, None);
    drop(first);
}

#[tokio::test]
async fn what_keeps_it_from_being_written_is_told_before_anything_is_joined() {
    let place = Place::new().await;
    let mut pod = place.pod("a").await;
    let verbs = ["get", "create", "update", "list", "watch", "delete"];
    place.plane.allow("alice", &place.namespace, &[Rule::leases(&verbs)]).await;
    let kubeconfig = place.plane.kubeconfig("alice");

    let refused = of(place.leasehold_of(&kubeconfig, ARGS), &pod).end().await;
    let unknown = place.leasehold(ARGS).end().await;
    pod.metadata.uid = Some("e5b4e1f0-0000-4000-8000-000000000000".into());
    let another = of(place.leasehold(ARGS), &pod).end().await;
    pod.metadata.name = Some("b".into());
    let missing = of(place.leasehold(ARGS), &pod).end().await;

    assert_eq!(refused.code, Some(69), "{refused:?}");
    for told in ["patch", "pods/a", &place.namespace, "Role"] {
        assert!(refused.said().contains(told), "{told}: {refused:?}");
    }
    assert_eq!(unknown.code, Some(64), "{unknown:?}");
    assert!(unknown.said().contains("POD_NAME"), "{unknown:?}");
    for ended in [another, missing] {
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(ended.said().contains("pods/"), "{ended:?}");
    }
    assert!(place.leases().get_opt("billing").await.unwrap().is_none(), "nothing was joined");
}

#[tokio::test]
async fn a_label_that_cannot_be_removed_does_not_hold_up_the_end() {
    let place = Place::new().await;
    let pod = place.pod("a").await;
    let directory = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = place.behind_proxy(directory.path()).await;
    let mut program = of(
        place.leasehold_of(
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
    place.until_label("a", LABEL, Some("true")).await;

    proxy.set(Link::BLACK_HOLE);
    let begun = Instant::now();
    program.say("enough\n").await;
    let ended = program.end().await;

    assert_eq!(ended.code, Some(7), "{ended:?}");
    // Two seconds for the label, five to resign.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}
