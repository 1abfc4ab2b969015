//! The Kubernetes backend on a real kube-apiserver and etcd.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says where it fails, and reads the clock"
)]

#[cfg(feature = "conformance")]
#[path = "apiserver/conformance.rs"]
mod conformance;
#[path = "apiserver/contract.rs"]
mod contract;
#[path = "apiserver/cut_off.rs"]
mod cut_off;
#[path = "apiserver/hands.rs"]
mod hands;
#[path = "apiserver/outage.rs"]
mod outage;
#[path = "apiserver/peers.rs"]
mod peers;
#[path = "apiserver/permissions.rs"]
mod permissions;
#[path = "apiserver/processes.rs"]
mod processes;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use leasehold::{Kubernetes, LockOptions, Options};
use leasehold_test_support::{ADMIN, Audited, ControlPlane, Proxy};
use serde_json::{Value, json};

/// A namespace of a test's own on the shared control plane, and handles in it.
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

    /// A way to the server that can be cut, and the configuration to go it.
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

    /// Changes a Lease as somebody else would: what is there, edited and put back.
    async fn edit(&self, name: &str, edit: impl Fn(&mut Lease)) {
        let leases = self.leases();
        loop {
            let mut lease = leases.get(name).await.expect("there is a Lease");
            edit(&mut lease);
            match leases.replace(name, &PostParams::default(), &lease).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => panic!("the edit of {name} failed: {error}"),
            }
        }
    }

    /// Makes a Lease as another program would.
    async fn foreign(&self, name: &str, spec: Value) {
        let lease = json!({ "metadata": { "name": name }, "spec": spec });
        let lease = serde_json::from_value(lease).expect("a Lease");
        self.leases().create(&PostParams::default(), &lease).await.expect("created");
    }

    /// Waits until the Lease `orders` is so.
    async fn until(&self, what: &str, so: impl Fn(Lease) -> bool + Send + Sync) {
        for _ in 0..600 {
            if so(self.leases().get("orders").await.expect("a Lease")) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("waited in vain for {what}");
    }

    /// The requests on Leases here, by verb, as the server counted them on arrival.
    fn requests(&self) -> BTreeMap<String, u64> {
        self.plane.audit_of(|request| request.namespace == self.namespace)
    }

    /// Waits until a request of this verb has arrived here.
    async fn until_requested(&self, verb: &str) {
        self.until_counted(verb, |request| request.namespace == self.namespace).await;
    }

    /// Waits until `user` has sent a request of this verb.
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

/// How often something on the server is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Short, so that an expiry is soon.
const BRIEF: Duration = Duration::from_secs(2);

fn brief() -> LockOptions {
    LockOptions::default().ttl(BRIEF)
}
