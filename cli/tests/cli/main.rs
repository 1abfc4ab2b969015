//! Tests of the built program `leasehold`, on a real kube-apiserver and etcd.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test panics where it fails, and reads the clock"
)]

#[cfg(target_os = "linux")]
mod adopted;
mod at_least;
mod attempt;
mod busy;
mod causes;
mod client;
mod commands;
mod configuration;
mod crashed;
mod credentials;
mod demo;
mod elect;
mod environment;
mod etcd;
mod kubeconfigs;
mod labels;
mod leftovers;
mod limits;
mod lost;
mod namespaces;
mod page;
mod patience;
mod permissions;
mod plugin;
mod pod_events;
mod pod_label;
mod program;
mod proxies;
mod prune;
mod queue;
mod queue_events;
mod records;
mod refused;
mod sessions;
mod sidecar;
mod signals;
mod stalled;
mod succession;
#[cfg(target_os = "linux")]
mod survivors;
#[cfg(target_os = "linux")]
mod systemd;
#[cfg(target_os = "linux")]
mod terminal;
mod unavailable;
mod untrusted;
mod waits;
mod warnings;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use leasehold::{Inspect as _, Kubernetes, LockOptions, Options, RecordKind, RecordOptions};
use leasehold_test_support::{ADMIN, ControlPlane, Proxy};
use program::Program;

/// A namespace for one test, on the shared control plane.
struct Fixture {
    plane: &'static ControlPlane,
    namespace: String,
    kubeconfig: PathBuf,
}

impl Fixture {
    async fn new() -> Self {
        let plane = ControlPlane::shared().await;
        let (namespace, kubeconfig) = (plane.namespace().await, plane.kubeconfig(ADMIN));
        Self { plane, namespace, kubeconfig }
    }

    /// The program with these arguments. It is not started yet.
    fn leasehold<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        self.leasehold_of(&self.kubeconfig, args)
    }

    fn leasehold_of<'a>(
        &self,
        kubeconfig: &Path,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Program {
        Program::new(args)
            .env("KUBECONFIG", kubeconfig.to_str().unwrap())
            .env("LEASEHOLD_NAMESPACE", &self.namespace)
    }

    /// A handle of the library, for another contender in this process.
    fn handle(&self) -> Kubernetes {
        let options = Options::default().namespace(&self.namespace);
        Kubernetes::from_config(self.plane.config(ADMIN), options).unwrap()
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.plane.client(ADMIN), &self.namespace)
    }

    /// The holder in the record.
    async fn holder(&self, name: &str) -> Option<String> {
        let lease = self.leases().get_opt(name).await.unwrap()?;
        lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
    }

    /// Changes a Lease like an operator.
    async fn edit(&self, name: &str, edit: impl Fn(&mut Lease)) {
        loop {
            let mut lease = self.leases().get(name).await.unwrap();
            edit(&mut lease);
            match self.leases().replace(name, &PostParams::default(), &lease).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => panic!("the edit of {name} failed: {error}"),
            }
        }
    }

    /// The number of requests with this verb in this namespace.
    fn requests(&self, verb: &str) -> u64 {
        let seen = self.plane.audit_of(|request| request.namespace == self.namespace);
        seen.get(verb).copied().unwrap_or(0)
    }

    /// Writes the admin's kubeconfig with another server into `directory`.
    fn kubeconfig_for(&self, url: &str, directory: &Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let own = std::fs::read_to_string(&self.kubeconfig).unwrap();
        std::fs::write(&path, own.replace(&self.plane.url(), url)).unwrap();
        path
    }

    /// A proxy in front of the server, and a kubeconfig that uses it.
    async fn behind_proxy(&self, directory: &Path) -> (Proxy, PathBuf) {
        let config = self.plane.config(ADMIN);
        let server = config.cluster_url.authority().unwrap().to_string();
        let proxy = Proxy::start(server.parse().unwrap()).await;
        let kubeconfig = self.kubeconfig_for(&proxy.url(), directory);
        (proxy, kubeconfig)
    }

    /// Waits until the server has received `count` requests with this verb in this namespace.
    async fn until_requested(&self, verb: &str, count: u64) {
        for _ in 0..600 {
            if self.requests(verb) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {count} {verb}");
    }

    /// Waits until this many records state the token of their holder, which they do from its first renewal on.
    async fn until_tokens(&self, count: usize) {
        let sync = self.handle();
        for _ in 0..600 {
            let records = sync.list_records(RecordOptions::default()).await.unwrap();
            let stated = records.iter().filter(|record| record.token.is_some());
            if stated.filter(|record| record.kind != RecordKind::Candidate).count() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {count} tokens");
    }
}

/// A short ttl, so that expiries come soon.
const BRIEF: Duration = Duration::from_secs(2);

fn brief() -> LockOptions {
    LockOptions::default().ttl(BRIEF)
}
