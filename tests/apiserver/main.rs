//! The Kubernetes backend on a real kube-apiserver and etcd.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says where it fails, and reads the clock"
)]

mod at_least;
#[cfg(feature = "conformance")]
mod conformance;
mod connections;
mod contract;
mod credentials;
mod cut_off;
mod fairness;
mod hands;
mod labels;
mod leftovers;
mod managers;
mod many;
mod outage;
mod peers;
mod permissions;
mod processes;
mod prune;
mod refusals;
mod session_at_least;
mod session_cut_off;
mod session_leftovers;
mod sessions;
mod slow;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use leasehold::{Kubernetes, LockOptions, Options};
use leasehold_test_support::{ADMIN, Audited, ControlPlane, Proxy};
use serde_json::{Value, json};

/// A namespace for one test on the shared control plane, and handles in it.
struct Place {
    plane: &'static ControlPlane,
    namespace: String,
}

impl Place {
    async fn new() -> Self {
        let plane = ControlPlane::shared().await;
        Self { plane, namespace: plane.namespace().await }
    }

    fn options(&self) -> Options {
        Options::default().namespace(&self.namespace)
    }

    fn handle(&self) -> Kubernetes {
        self.handle_of(ADMIN, self.options())
    }

    fn handle_of(&self, user: &str, options: Options) -> Kubernetes {
        Kubernetes::from_config(self.plane.config(user), options).expect("usable options")
    }

    /// A proxy in front of the server, and the configuration that uses it.
    async fn behind_proxy(&self) -> (Proxy, kube::Config) {
        let mut config = self.plane.config(ADMIN);
        let authority = config.cluster_url.authority().expect("a host").to_string();
        let proxy = Proxy::start(authority.parse().expect("an address")).await;
        config.cluster_url = proxy.url().parse().expect("a URL");
        (proxy, config)
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.plane.client(ADMIN), &self.namespace)
    }

    /// Edits a Lease like another client: get, change, put.
    async fn edit(&self, name: &str, edit: impl Fn(&mut Lease)) {
        let leases = self.leases();
        loop {
            let mut lease = leases.get(name).await.expect("the Lease exists");
            edit(&mut lease);
            match leases.replace(name, &PostParams::default(), &lease).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => panic!("the edit of {name} failed: {error}"),
            }
        }
    }

    /// Creates a Lease like another program.
    async fn foreign(&self, name: &str, spec: Value) {
        let lease = json!({ "metadata": { "name": name }, "spec": spec });
        let lease = serde_json::from_value(lease).expect("a Lease");
        self.leases().create(&PostParams::default(), &lease).await.expect("created");
    }

    /// Waits until `so` is true for the Lease `orders`.
    async fn until(&self, what: &str, so: impl Fn(Lease) -> bool + Send + Sync) {
        for _ in 0..600 {
            if so(self.leases().get("orders").await.expect("a Lease")) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("waited in vain for {what}");
    }

    /// The number of requests for Leases in this namespace, by verb, as the server counted them on arrival.
    fn requests(&self) -> BTreeMap<String, u64> {
        self.plane.audit_of(|request| request.namespace == self.namespace)
    }

    /// Waits until a request with this verb for this namespace has arrived.
    async fn until_requested(&self, verb: &str) {
        self.until_counted(verb, |request| request.namespace == self.namespace).await;
    }

    /// Waits until `user` has sent a request with this verb.
    async fn until_audited(&self, user: &str, verb: &str) {
        self.until_counted(verb, |request| {
            request.namespace == self.namespace && request.user == user
        })
        .await;
    }

    async fn until_counted(&self, verb: &str, counts: impl Fn(&Audited) -> bool) {
        for _ in 0..600 {
            if self.plane.audit_of(&counts).contains_key(verb) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("waited in vain for a {verb}");
    }

    /// The names of all Leases.
    async fn names(&self) -> Vec<String> {
        let leases = self.leases().list(&kube::api::ListParams::default()).await.expect("a list");
        leases.items.into_iter().filter_map(|lease| lease.metadata.name).collect()
    }
}

/// The pause between two looks at the server.
const POLL: Duration = Duration::from_millis(50);

/// A short TTL, so that tests do not wait long for an expiry.
const BRIEF: Duration = Duration::from_secs(2);

fn brief() -> LockOptions {
    LockOptions::default().ttl(BRIEF)
}
