//! The conformance suite on real Leases: all checks at once, each in namespaces of its own.

use futures::future::join_all;
use leasehold::{Kubernetes, conformance};

use super::Place;
use leasehold_test_support::Link;

#[tokio::test(flavor = "multi_thread")]
async fn the_kubernetes_backend_does_what_every_implementation_must() {
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
