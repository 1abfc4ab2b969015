//! The etcd backend on real clusters of etcd, of one node and of three.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says where it fails, and reads the clock"
)]

mod at_least;
#[cfg(feature = "conformance")]
mod conformance;
mod connections;
mod credentials;
mod faults;
mod held;
mod inspect;
mod refusals;
mod sessions;
mod values;
mod watches;

use std::time::Duration;

use leasehold::{Etcd, Options};
use leasehold_test_support::EtcdCluster;
use tokio::sync::OnceCell;

/// The cluster of one node that tests share. Each test uses its own prefix of keys, and none stops the node.
async fn shared() -> Option<&'static EtcdCluster> {
    static SHARED: OnceCell<Option<EtcdCluster>> = OnceCell::const_new();
    SHARED.get_or_init(|| EtcdCluster::start(1)).await.as_ref()
}

/// A prefix of keys that no other test uses.
fn unique() -> String {
    format!("/{}", uuid::Uuid::new_v4().simple())
}

fn options(cluster: &EtcdCluster, prefix: &str) -> Options {
    Options::default().nodes(cluster.addresses()).prefix(prefix)
}

async fn handle(cluster: &EtcdCluster, prefix: &str) -> Etcd {
    Etcd::connect(options(cluster, prefix)).await.unwrap()
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Waits until `so` returns true.
async fn until<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    for _ in 0..1200 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("waited in vain for {what}");
}
