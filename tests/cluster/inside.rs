//! Programs that use the library, run inside the cluster with the documented permissions.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, Pod, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{measured, node::load_program, until};

const ACCOUNT: &str = "program";

/// A namespace with a service account.
struct Place {
    client: Client,
    namespace: String,
}

impl Place {
    async fn new() -> Self {
        let client = Client::try_default().await.expect("a cluster, by KUBECONFIG");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let labels = json!({ "app.kubernetes.io/managed-by": "leasehold-tests" });
        let new = json!({ "metadata": { "generateName": "leasehold-e2e-", "labels": labels } });
        let new = serde_json::from_value(new).expect("a namespace");
        let namespace = namespaces.create(&PostParams::default(), &new).await.unwrap().name_any();
        let place = Self { client, namespace };
        place.create::<ServiceAccount>(json!({ "metadata": { "name": ACCOUNT } })).await;
        place
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Send
            + Sync
            + Serialize
            + DeserializeOwned,
        K::DynamicType: Default,
    {
        let object = serde_json::from_value(object).expect("an object of that kind");
        self.api().create(&PostParams::default(), &object).await.unwrap()
    }

    /// Grants `rules` in this namespace to the service account of `of`.
    async fn allow(&self, of: &Self, rules: &Value) {
        let metadata = json!({ "name": ACCOUNT });
        self.create::<Role>(json!({ "metadata": metadata, "rules": rules })).await;
        self.create::<RoleBinding>(json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": of.namespace }],
        }))
        .await;
    }

    async fn end(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

/// The spec of a pod, with its name, namespace and uid in the environment.
fn spec(image: &str, args: &[&str], restart: &str) -> Value {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    json!({
        "serviceAccountName": ACCOUNT,
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 10,
        "containers": [{
            "name": "program", "image": image, "imagePullPolicy": "Never", "args": args,
            "env": [
                field("POD_NAME", "metadata.name"),
                field("POD_NAMESPACE", "metadata.namespace"),
                field("POD_UID", "metadata.uid"),
            ],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn the_conformance_suite_passes_inside_the_cluster() {
    let image = load_program("conformance");
    let (place, other) = (Place::new().await, Place::new().await);
    // The suite locks any name and lists candidates, so it needs all Leases, as documented.
    let rules = json!([{
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["get", "create", "update", "delete", "list", "watch"],
    }]);
    place.allow(&place, &rules).await;
    other.allow(&place, &rules).await;
    let begun = Instant::now();

    let spec = spec(&image, &[&other.namespace], "Never");
    let job = json!({ "metadata": { "name": "conformance" }, "spec": { "backoffLimit": 0, "template": { "spec": spec } } });
    place.create::<Job>(job).await;
    let mut ended = None;
    while ended.is_none() && begun.elapsed().as_secs() < 900 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let status =
            place.api::<Job>().get_status("conformance").await.unwrap().status.unwrap_or_default();
        ended = status
            .succeeded
            .filter(|&n| n > 0)
            .map(|_| true)
            .or(status.failed.filter(|&n| n > 0).map(|_| false));
    }

    let pods: Api<Pod> = place.api();
    let pod = pods.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let log = pods.logs(&pod, &LogParams::default()).await.unwrap_or_default();
    assert_eq!(ended, Some(true), "{log}");
    measured(
        "conformance suite in a Job",
        format!("{:.0?}: {}", begun.elapsed(), log.lines().last().unwrap()),
    );
    place.end().await;
    other.end().await;
}

/// The rules from the documentation of the example.
pub(crate) fn documented_rules() -> Value {
    let source = include_str!("../../examples/controller.rs");
    let yaml = source.split("//! ```yaml\n").nth(1).and_then(|rest| rest.split("//! ```").next());
    let yaml: String = yaml
        .expect("a Role")
        .lines()
        .map(|line| line.trim_start_matches("//! ").to_owned() + "\n")
        .collect();
    serde_saphyr::from_str::<Value>(&yaml).expect("YAML")["rules"].take()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn the_controller_example_works_with_its_documented_permissions() {
    let image = load_program("controller");
    let place = Place::new().await;
    place.allow(&place, &documented_rules()).await;
    let metadata = |name: &str, labels: Value| json!({ "name": name, "labels": labels });

    for pod in ["first", "second"] {
        let spec = spec(&image, &["--kubernetes", "--namespace", &place.namespace], "Always");
        place.create::<Pod>(json!({ "metadata": metadata(pod, json!({})), "spec": spec })).await;
    }
    let poem = json!({ "text": "the fog comes on little cat feet" });
    let labels = json!({ "leasehold.dev/example": "controller" });
    place
        .create::<ConfigMap>(json!({ "metadata": metadata("poem", labels.clone()), "data": poem }))
        .await;

    let words = async |name: &'static str| {
        until("the words to be counted", async || {
            let object = place.api::<ConfigMap>().get(name).await.ok()?;
            let token: u64 =
                object.annotations().get("leasehold.dev/example-token")?.parse().ok()?;
            Some((object.data?.get("words")?.clone(), token))
        })
        .await
    };
    let (counted, first_token) = words("poem").await;
    assert_eq!(counted, "7");

    // Delete the leader. The other pod continues with a larger token.
    let lease: k8s_openapi::api::coordination::v1::Lease =
        place.api().get("leasehold-example-controller").await.unwrap();
    let holder = lease.spec.unwrap().holder_identity.unwrap();
    let leader = holder.split('_').next().unwrap().to_owned();
    place.api::<Pod>().delete(&leader, &DeleteParams::default()).await.unwrap();
    let song = json!({ "metadata": metadata("song", labels), "data": { "text": "row row row your boat" } });
    until("the leader's pod to go", async || {
        place.api::<Pod>().get_opt(&leader).await.unwrap().is_none().then_some(())
    })
    .await;
    place.create::<ConfigMap>(song).await;
    let (counted, second_token) = words("song").await;

    assert_eq!(counted, "5");
    assert!(first_token < second_token);
    place.end().await;
}
