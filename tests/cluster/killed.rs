//! The end of the leader's pod: deleted, and killed.

use std::time::Duration;

use kube::api::DeleteParams;

use crate::{history::Change, measured, middle, node::kill_pod, release::Release, until};

/// The default TTL of the chart.
const TTL: Duration = Duration::from_secs(15);
/// How often the leader is deleted. One measurement would say little.
const TIMES: usize = 5;

/// The next change of the leader after the first `before` changes.
async fn next(release: &Release, before: usize) -> Change {
    until("another leader", async || release.history.changes().get(before).cloned()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn deleting_the_leaders_pod_hands_the_lead_over_at_once() {
    let release = Release::install(&[]).await;
    let mut gaps = Vec::new();

    for time in 0..TIMES {
        release.rolled_out().await;
        let (leader, lives) = (release.leader().await, release.lives().await);
        release.pods().delete(&leader, &DeleteParams::default()).await.unwrap();
        let change = next(&release, time).await;

        assert!(change.freed, "the lock was not released: {change:?}");
        assert_ne!(change.from, change.to);
        assert!(change.tokens.0 < change.tokens.1, "tokens grow: {change:?}");
        gaps.push(change.gap);
        let old = &lives[&leader];
        until("a new pod", async || {
            release.lives().await.get(&leader).filter(|&new| new != old).map(drop)
        })
        .await;
    }

    measured(
        "leaderless when the leader's pod is deleted, p50",
        format!("{:.0?} of {gaps:.0?}", middle(gaps.clone())),
    );
    assert!(middle(gaps) <= Duration::from_millis(500));
    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_killed_leader_is_replaced_after_one_ttl() {
    let release = Release::install(&[]).await;
    let leader = release.leader().await;

    kill_pod(&release.namespace, &leader);
    let change = next(&release, 0).await;

    measured(
        "leaderless when the leader's process is killed",
        format!("{:.2?}, ttl {TTL:?}", change.gap),
    );
    assert!(!change.freed, "a killed process cannot release");
    assert!(change.gap >= TTL, "taken over before the TTL had passed: {change:?}");
    assert!(change.gap <= TTL + Duration::from_millis(1500), "{change:?}");
    assert!(change.tokens.0 < change.tokens.1);
    release.end().await;
}
