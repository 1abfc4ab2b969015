//! The chart, installed in a namespace for one test.

use std::collections::BTreeMap;

use http_body_util::BodyExt as _;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    coordination::v1::Lease,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
    client::Body,
};
use leasehold_test_support::helm::{CHART, helm};
use serde_json::{Value, json};

use crate::{history::History, node::load_image, until};

/// The name of the release, and of its objects.
pub(crate) const RELEASE: &str = "demo";
pub(crate) const NAME: &str = "demo-leasehold";

/// An installed chart. [`end`](Self::end) removes it. A failed test leaves it for inspection.
pub(crate) struct Release {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) history: History,
}

impl Release {
    /// Installs the chart in a new namespace and waits until all pods are ready.
    pub(crate) async fn install(values: &[&str]) -> Self {
        let release = Self::prepare().await;
        release.begin(values).await;
        release
    }

    /// Creates the namespace, without the chart.
    pub(crate) async fn prepare() -> Self {
        load_image().await;
        let mut config = kube::Config::infer().await.expect("a cluster, by KUBECONFIG");
        // A pod that does not lead answers 503, which must not be retried.
        config.default_retry = false;
        let client = Client::try_from(config).expect("a client");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let new = serde_json::from_value(json!({ "metadata": {
            "generateName": "leasehold-e2e-",
            "labels": {
                "app.kubernetes.io/managed-by": "leasehold-tests",
                // The pods must run under the strictest policy.
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        } }))
        .expect("a namespace");
        let namespace = namespaces.create(&PostParams::default(), &new).await.unwrap().name_any();
        let history = History::watch(Api::namespaced(client.clone(), &namespace), NAME);
        Self { client, namespace, history }
    }

    /// Installs the chart and waits until all pods are ready.
    pub(crate) async fn begin(&self, values: &[&str]) {
        self.helm(&["install", RELEASE, CHART, "--wait", "--timeout", "2m"], values).await;
    }

    /// Upgrades the release to other values, and waits until all pods are replaced.
    pub(crate) async fn upgrade(&self, values: &[&str]) {
        self.helm(&["upgrade", RELEASE, CHART, "--wait", "--timeout", "3m"], values).await;
        self.rolled_out().await;
    }

    pub(crate) async fn helm(&self, words: &[&str], values: &[&str]) -> String {
        let sets = values.iter().flat_map(|value| ["--set", value]);
        let words: Vec<String> = words
            .iter()
            .copied()
            .chain(["--namespace", &self.namespace])
            .chain(sets)
            .map(ToOwned::to_owned)
            .collect();
        let done = tokio::task::spawn_blocking(move || helm(words.iter().map(String::as_str)));
        done.await.unwrap().unwrap_or_else(|error| panic!("helm: {error}"))
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn set(&self) -> Api<StatefulSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The uids of the pods, by name.
    pub(crate) async fn lives(&self) -> BTreeMap<String, String> {
        let ours = ListParams::default().labels("app.kubernetes.io/name=leasehold");
        let pods = self.pods().list(&ours).await.unwrap().items.into_iter();
        pods.map(|pod| (pod.name_any(), pod.uid().expect("a uid"))).collect()
    }

    /// Waits until the Lease has a holder; the pod of the holder.
    pub(crate) async fn leader(&self) -> String {
        let holder = until("a leader", async || {
            let lease = self.leases().get_opt(NAME).await.ok()??;
            lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
        });
        pod_of(&holder.await).to_owned()
    }

    /// The answer of a pod to a GET request.
    pub(crate) async fn ask(&self, pod: &str, path: &str) -> Result<(u16, Value), String> {
        self.send(http::Request::get(self.path(pod, path))).await
    }

    /// Sends a resign request to a pod, as the button of the page does.
    pub(crate) async fn ask_to_resign(&self, pod: &str) -> Result<(u16, Value), String> {
        let request = http::Request::post(self.path(pod, "/resign"));
        self.send(request.header("x-leasehold", "resign")).await
    }

    /// The path of the API server that forwards to a pod.
    fn path(&self, pod: &str, path: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy{path}", self.namespace)
    }

    async fn send(&self, request: http::request::Builder) -> Result<(u16, Value), String> {
        let request = request.body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body =
            answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::String(text))))
    }

    /// The pods that report that they lead, asked one after the other.
    pub(crate) async fn leading(&self) -> Vec<String> {
        let mut leading = Vec::new();
        for pod in self.lives().await.into_keys() {
            let (status, answer) = self.ask(&pod, "/leading").await.expect("an answer");
            assert_eq!(answer["leading"], json!(status == 200), "{pod}: {status} {answer}");
            if status == 200 {
                leading.push(pod);
            }
        }
        leading
    }

    /// Waits until every pod has the current template and is ready.
    pub(crate) async fn rolled_out(&self) {
        until("the rollout", async || {
            let set = self.set().get(NAME).await.ok()?;
            let (spec, status) = (set.spec?, set.status?);
            let wanted = spec.replicas;
            (status.observed_generation == set.metadata.generation
                && status.update_revision == status.current_revision.clone()
                && Some(status.replicas) == wanted
                && status.updated_replicas.or(Some(status.replicas)) == wanted
                && status.ready_replicas == wanted)
                .then_some(())
        })
        .await;
    }

    /// Uninstalls the chart and removes the namespace.
    pub(crate) async fn end(self) {
        self.helm(&["uninstall", RELEASE, "--wait", "--timeout", "2m"], &[]).await;
        self.namespace_end().await;
    }

    /// Removes the namespace with everything in it.
    pub(crate) async fn namespace_end(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

/// The pod of an identity: the part before the random suffix.
pub(crate) fn pod_of(identity: &str) -> &str {
    identity.split('_').next().unwrap_or_default()
}
