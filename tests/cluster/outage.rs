//! Deletion of the Lease, and a restart of the API server.

use std::time::Duration;

use kube::api::DeleteParams;
use tokio::time::{Instant, sleep};

use crate::{
    measured,
    node::on_node,
    release::{NAME, Release},
    until,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_deleted_lease_is_created_again_with_a_larger_token() {
    let release = Release::install(&[]).await;
    release.leader().await;
    let before = release.leases().get(NAME).await.unwrap();

    release.leases().delete(NAME, &DeleteParams::default()).await.unwrap();
    let begun = Instant::now();
    let after = until("the Lease", async || {
        let lease = release.leases().get_opt(NAME).await.ok()??;
        let held =
            lease.spec.as_ref()?.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty());
        (held && lease.metadata.uid != before.metadata.uid).then_some(lease)
    })
    .await;

    measured("from deletion of the Lease to the next leader", format!("{:.1?}", begun.elapsed()));
    let version = |lease: &k8s_openapi::api::coordination::v1::Lease| -> u64 {
        lease.metadata.resource_version.as_deref().unwrap().parse().unwrap()
    };
    assert!(version(&before) < version(&after));
    until("one pod that reports that it leads", async || {
        (release.leading().await.len() == 1).then_some(())
    })
    .await;
    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_restart_of_the_api_server_does_not_change_the_leader() {
    let release = Release::install(&[]).await;
    let (leader, lives) = (release.leader().await, release.lives().await);
    let begun = Instant::now();

    // Found by its command line, which is the same in kind and on the node of these tests.
    on_node("kill -KILL $(pgrep -f '[k]ube-apiserver --')").unwrap();
    until("the API server to be away or back", async || {
        let away = release.client.apiserver_version().await.is_err();
        (away || begun.elapsed() > Duration::from_secs(5)).then_some(())
    })
    .await;
    until("the API server", async || release.client.apiserver_version().await.ok()).await;
    measured("API server killed, answers again after", format!("{:.1?}", begun.elapsed()));
    // Wait longer than the TTL, so that a lost leader would show.
    sleep(Duration::from_secs(16)).await;

    assert_eq!(release.leading().await, [leader]);
    assert!(release.history.changes().is_empty(), "{:?}", release.history.changes());
    assert_eq!(release.lives().await, lives, "no pod was replaced");
    let pods = release.pods().list(&kube::api::ListParams::default()).await.unwrap().items;
    let restarts = pods.iter().flat_map(|pod| {
        pod.status.as_ref().unwrap().container_statuses.as_deref().unwrap_or_default()
    });
    assert_eq!(restarts.map(|status| status.restart_count).sum::<i32>(), 0);
    release.end().await;
}
