//! The wrapper mode: a command that runs only while its pod leads.

use k8s_openapi::api::{
    core::v1::ConfigMap,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use serde_json::json;

use crate::{
    inside::documented_rules,
    node::load_program,
    release::{NAME, Release},
    until,
};

/// Grants the wrapped program the permissions that it needs besides those of leasehold.
async fn allow(release: &Release) {
    let object = |object| serde_json::from_value(object).expect("an object");
    let roles: Api<Role> = Api::namespaced(release.client.clone(), &release.namespace);
    let role = json!({ "metadata": { "name": "work" }, "rules": documented_rules() });
    roles.create(&PostParams::default(), &object(role)).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(release.client.clone(), &release.namespace);
    let binding = serde_json::from_value(json!({
        "metadata": { "name": "work" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "work" },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": release.namespace }],
    }));
    bindings.create(&PostParams::default(), &binding.unwrap()).await.unwrap();
}

/// The pods in which the program has started to work.
async fn working(release: &Release) -> Vec<String> {
    let mut working = Vec::new();
    for pod in release.lives().await.into_keys() {
        let log = release.pods().logs(&pod, &LogParams::default()).await.unwrap_or_default();
        if log.contains("is a candidate in `leasehold-example-controller`") {
            working.push(pod);
        }
    }
    working
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn a_wrapped_command_runs_only_in_the_pod_of_the_leader() {
    let image = load_program("controller");
    let app = format!("appImage={image}");
    let release = Release::prepare().await;
    allow(&release).await;
    release.begin(&["mode=wrapper", &app, "appCommand={/controller,--kubernetes}"]).await;
    let leader = release.leader().await;
    let poem = json!({
        "metadata": { "name": "poem", "labels": { "leasehold.dev/example": "controller" } },
        "data": { "text": "the fog comes on little cat feet" },
    });
    let objects: Api<ConfigMap> = Api::namespaced(release.client.clone(), &release.namespace);
    objects.create(&PostParams::default(), &serde_json::from_value(poem).unwrap()).await.unwrap();

    until("the words to be counted", async || {
        objects.get("poem").await.ok()?.data?.remove("words")
    })
    .await;
    assert_eq!(working(&release).await, std::slice::from_ref(&leader));

    release.pods().delete(&leader, &DeleteParams::default()).await.unwrap();
    let next = until("another pod to work", async || {
        working(&release).await.into_iter().find(|pod| *pod != leader)
    })
    .await;
    assert_eq!(next, release.leader().await);
    release.end().await;
}
