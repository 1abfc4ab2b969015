//! The leader's pod ends: with grace, and without.

use std::time::Duration;

use kube::api::DeleteParams;

use crate::{history::Change, measured, middle, node::kill_pod, release::Release, until};

/// The time to live that the chart has by default.
const TTL: Duration = Duration::from_secs(15);
/// How often the leader is deleted: a figure of one run says little.
const TIMES: usize = 5;

/// The next change of the leader after `before` of them.
async fn next(release: &Release, before: usize) -> Change {
    until("another leader", async || release.history.changes().get(before).cloned()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_leader_that_is_deleted_hands_the_lead_on() {
    let release = Release::install(&[]).await;
    let mut gaps = Vec::new();

    for time in 0..TIMES {
        release.rolled_out().await;
        let (leader, lives) = (release.leader().await, release.lives().await);
        release.pods().delete(&leader, &DeleteParams::default()).await.unwrap();
        let change = next(&release, time).await;

        assert!(change.freed, "it was not released: {change:?}");
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
async fn a_leader_that_is_killed_is_followed_when_its_lease_has_run_out() {
    let release = Release::install(&[]).await;
    let leader = release.leader().await;

    kill_pod(&release.namespace, &leader);
    let change = next(&release, 0).await;

    measured(
        "leaderless when the leader's process is killed",
        format!("{:.2?}, ttl {TTL:?}", change.gap),
    );
    assert!(!change.freed, "nobody was there to release it");
    assert!(change.gap >= TTL, "taken over from one that might have lived: {change:?}");
    assert!(change.gap <= TTL + Duration::from_millis(1500), "{change:?}");
    assert!(change.tokens.0 < change.tokens.1);
    release.end().await;
}
