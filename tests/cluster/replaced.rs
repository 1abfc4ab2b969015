//! Replacement of pods: rolling restart, upgrade, scaling, drain.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use leasehold_test_support::helm::{CHART, helm};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    kubectl::Drain,
    measured, middle,
    node::{EARLIER, load_earlier_image},
    release::{NAME, RELEASE, Release, pod_of},
    until,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_rolling_restart_hands_the_lead_over_once_for_each_leader() {
    let release = Release::install(&[]).await;
    release.leader().await;
    let mut gaps = Vec::new();

    // Which pod leads decides how often the lead moves, so restart three times.
    for _ in 0..3 {
        let before = (release.history.changes().len(), release.lives().await);
        let restart = json!({ "spec": { "template": { "metadata": { "annotations": {
            "kubectl.kubernetes.io/restartedAt": format!("{:?}", tokio::time::Instant::now()),
        } } } } });
        release.set().patch(NAME, &PatchParams::default(), &Patch::Merge(restart)).await.unwrap();
        until("the restart to be noticed", async || {
            let set = release.set().get(NAME).await.ok()?;
            (set.status?.observed_generation == set.metadata.generation).then_some(())
        })
        .await;
        release.rolled_out().await;

        let after = release.lives().await;
        assert!(before.1.iter().all(|(pod, uid)| after[pod] != *uid), "every pod is new");
        let changes = release.history.changes().split_off(before.0);
        assert!((1..=3).contains(&changes.len()), "{changes:?}");
        for change in changes {
            assert!(change.freed, "released, not expired: {change:?}");
            assert!(change.tokens.0 < change.tokens.1, "tokens grow: {change:?}");
            assert_ne!(
                pod_of(&change.from),
                pod_of(&change.to),
                "the lead moves to another pod: {change:?}"
            );
            gaps.push(change.gap);
        }
    }

    measured(
        "leaderless at each hand-over of three rolling restarts, p50",
        format!("{:.0?} of {gaps:.0?}", middle(gaps.clone())),
    );
    assert!(middle(gaps) <= Duration::from_millis(500));
    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn an_upgrade_changes_the_leader_only_when_its_pod_is_replaced() {
    load_earlier_image();
    let release = Release::prepare().await;
    let earlier = tempfile::tempdir().unwrap();
    let (version, directory) = (EARLIER, earlier.path().to_str().unwrap());
    let package = ["package", CHART, "--version", version, "--app-version", version];
    helm(package.into_iter().chain(["--destination", directory])).unwrap();
    let chart = format!("{directory}/leasehold-{EARLIER}.tgz");
    release.helm(&["install", RELEASE, &chart, "--wait", "--timeout", "2m"], &[]).await;
    assert_eq!(versions(&release).await, (format!("leasehold-{EARLIER}"), EARLIER.to_owned()));
    let (leader, lives) = (release.leader().await, release.lives().await);

    // Upgrade only the chart, not the program.
    release.upgrade(&[&format!("imageTag={EARLIER}")]).await;

    let present = env!("CARGO_PKG_VERSION");
    assert_eq!(versions(&release).await, (format!("leasehold-{present}"), EARLIER.to_owned()));
    assert_eq!(release.lives().await, lives, "no pod is replaced");
    assert_eq!(release.leading().await, std::slice::from_ref(&leader));
    assert!(release.history.changes().is_empty(), "{:?}", release.history.changes());

    // Upgrade the program, and change the TTL.
    release.upgrade(&["imageTag=", "ttl=20s"]).await;

    assert_eq!(versions(&release).await.1, present);
    assert!(release.lives().await.iter().all(|(pod, uid)| lives[pod] != *uid));
    let changes = release.history.changes();
    assert!(!changes.is_empty(), "the pod of the leader was replaced");
    assert_eq!(pod_of(&changes[0].from), leader);
    for change in &changes {
        assert!(change.freed, "released, not expired: {change:?}");
        assert!(change.tokens.0 < change.tokens.1, "tokens grow: {change:?}");
    }
    let lease = release.leases().get(NAME).await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_duration_seconds, Some(20));
    let gaps: Vec<_> = changes.iter().map(|change| change.gap).collect();
    measured("leaderless at each hand-over of an upgrade", format!("{gaps:.0?}"));
    release.end().await;
}

/// The version of the chart, and the version of the program in its pods.
async fn versions(release: &Release) -> (String, String) {
    let set = release.set().get(NAME).await.unwrap();
    let pod = set.spec.unwrap().template.spec.unwrap();
    let image = pod.containers[0].image.clone().unwrap();
    let (_, tag) = image.rsplit_once(':').expect("an image with a tag");
    (set.metadata.labels.unwrap()["helm.sh/chart"].clone(), tag.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn scaling_to_one_and_to_five_leaves_one_leader() {
    let release = Release::install(&[]).await;

    for replicas in [1, 5] {
        release.upgrade(&[&format!("replicas={replicas}")]).await;
        until("the other pods to go", async || {
            (release.lives().await.len() == replicas).then_some(())
        })
        .await;
        let leader = release.leader().await;
        assert_eq!(release.leading().await, [leader], "{replicas} replicas");
    }

    assert!(
        release.history.changes().iter().all(|change| change.freed),
        "{:?}",
        release.history.changes()
    );
    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_drain_evicts_one_pod_at_a_time_and_the_lead_moves() {
    let release = Release::prepare().await;
    // Drain only pods with this label, because a full drain would empty the only node.
    let selector = format!("leasehold-e2e={}", release.namespace);
    release.begin(&[&format!("podLabels.{selector}")]).await;
    let leader = release.leader().await;
    let node = release.pods().get(&leader).await.unwrap().spec.unwrap().node_name.unwrap();
    let before = release.lives().await;

    let mut drain = Drain::start(&release, &node, &selector);
    until("the first pod to be evicted", async || {
        (release.set().get(NAME).await.ok()?.status?.ready_replicas == Some(2)).then_some(())
    })
    .await;
    // The drain tries again after 5 s. The first pod cannot be replaced on the cordoned node, so no other pod may go.
    sleep(Duration::from_secs(6)).await;
    let lives = release.lives().await;
    let left = before.iter().filter(|(pod, uid)| lives.get(*pod) == Some(*uid)).count();
    assert_eq!(left, 2, "one at a time: {before:?}, then {lives:?}");
    drain.uncordon().await;
    drain.end().await;

    release.rolled_out().await;
    let after = release.lives().await;
    assert!(before.iter().all(|(pod, uid)| after[pod] != *uid), "{before:?}, then {after:?}");
    let changes = release.history.changes();
    assert!(!changes.is_empty(), "the pod of the leader was evicted");
    assert_eq!(pod_of(&changes[0].from), leader);
    assert!(changes.iter().all(|change| change.freed), "{changes:?}");
    let gaps: Vec<_> = changes.iter().map(|change| change.gap).collect();
    measured("leaderless at each hand-over of a drain", format!("{gaps:.0?}"));
    release.end().await;
}
