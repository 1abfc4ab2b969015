//! The conformance suite on real Leases: all checks in parallel, each in its own namespaces.

use futures::future::join_all;
use leasehold::{Kubernetes, conformance};
use leasehold_test_support::Link;

use super::Place;

#[tokio::test(flavor = "multi_thread")]
async fn the_kubernetes_backend_passes_every_conformance_check() {
    join_all(conformance::CHECKS.iter().map(check)).await;
}

async fn check(check: &conformance::Check) {
    let (place, other) = (Place::new().await, Place::new().await);
    let (proxy, config) = place.behind_proxy().await;
    let a = Kubernetes::from_config(config, place.options()).unwrap();
    let b = place.handle();
    let cut = |cut| proxy.set(if cut { Link::BLACK_HOLE } else { Link::default() });
    check.run(conformance::Pair::new(&a, &b).other(&other.namespace).cut(&cut)).await;
}
