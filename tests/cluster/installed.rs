//! Installing and uninstalling the chart.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{
    measured,
    release::{NAME, RELEASE, Release},
    until,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn of_three_pods_one_leads_and_all_are_ready() {
    let begun = Instant::now();
    let release = Release::install(&[]).await;
    let leader = release.leader().await;
    measured(
        "install of three replicas to all ready and a leader",
        format!("{:.1?}", begun.elapsed()),
    );

    assert_eq!(release.lives().await.len(), 3);
    assert_eq!(release.leading().await, std::slice::from_ref(&leader));
    for pod in release.lives().await.into_keys() {
        let (status, body) = release.ask(&pod, "/").await.unwrap();
        assert_eq!(status, 200);
        assert!(
            body["leader"]["candidate_id"].as_str().unwrap().starts_with(&leader),
            "{pod}: {body}"
        );
        let (_, metrics) = release.ask(&pod, "/metrics").await.unwrap();
        assert!(metrics.as_str().is_some_and(|text| text.contains("leasehold_")), "{metrics}");
    }
    release.helm(&["test", RELEASE, "--timeout", "1m"], &[]).await;
    release.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn uninstalling_leaves_only_the_lease() {
    let release = Release::install(&[]).await;
    release.leader().await;

    release.helm(&["uninstall", RELEASE, "--wait", "--timeout", "2m"], &[]).await;
    until("the end of the pods", async || release.lives().await.is_empty().then_some(())).await;

    let leases = release.leases().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(leases.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [NAME]);
    let left = [
        names::<Service>(&release).await,
        names::<ServiceAccount>(&release).await,
        names::<Role>(&release).await,
        names::<RoleBinding>(&release).await,
        names::<PodDisruptionBudget>(&release).await,
        names::<Secret>(&release).await,
        names::<ConfigMap>(&release).await,
    ]
    .concat();
    assert_eq!(left, ["default", "kube-root-ca.crt"], "the objects that every namespace has");
    release.namespace_end().await;
}

async fn names<K>(release: &Release) -> Vec<String>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(release.client.clone(), &release.namespace);
    api.list(&ListParams::default()).await.unwrap().items.iter().map(K::name_any).collect()
}
