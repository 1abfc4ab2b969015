//! The Service that leads to the leader.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::DeleteParams};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    measured,
    node::on_node,
    release::{NAME, Release, pod_of},
    until,
};

/// The address of the Service that leads to the leader, once it does.
pub(crate) async fn to_the_leader(release: &Release) -> String {
    let services: Api<Service> = Api::namespaced(release.client.clone(), &release.namespace);
    let address = services.get(NAME).await.unwrap().spec.unwrap().cluster_ip.unwrap();
    let leader = release.leader().await;
    until("the Service to reach the leader", async || {
        (through(&address).await.as_ref() == Some(&leader)).then_some(())
    })
    .await;
    address
}

/// Asks through the Service, from the node, who answers: the pod, if it says that it leads.
pub(crate) async fn through(address: &str) -> Option<String> {
    let script = format!("curl --silent --fail --max-time 1 http://{address}/");
    let answer = tokio::task::spawn_blocking(move || on_node(&script)).await.unwrap().ok()?;
    let stand: Value = serde_json::from_str(&answer).expect("JSON");
    let id = stand["id"].as_str().expect("an id");
    (stand["leader"]["id"] == id).then(|| pod_of(id).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn the_service_reaches_the_leader_and_after_a_hand_over_the_next() {
    let release = Release::install(&[]).await;
    let (address, leader) = (to_the_leader(&release).await, release.leader().await);

    release.pods().delete(&leader, &DeleteParams::default()).await.unwrap();
    let begun = Instant::now();
    let next = until("another leader", async || {
        release.history.changes().first().map(|change| pod_of(&change.to).to_owned())
    })
    .await;
    let reached = until("the Service to reach the next leader", async || {
        through(&address).await.filter(|pod| *pod == next)
    })
    .await;

    measured(
        "from deletion of the leader's pod to the next one through the Service",
        format!("{:.2?}", begun.elapsed()),
    );
    assert_ne!(reached, leader);
    release.rolled_out().await;
    for _ in 0..20 {
        assert_eq!(through(&address).await.as_ref(), Some(&next), "and nobody else");
        sleep(Duration::from_millis(50)).await;
    }
    release.end().await;
}
