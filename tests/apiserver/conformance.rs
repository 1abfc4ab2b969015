//! The conformance suite on real Leases: all checks in parallel, each in its own namespaces.

use std::time::Duration;

use futures::future::join_all;
use leasehold::{Kubernetes, SessionOptions, conformance};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_session_on_kubernetes_passes_every_conformance_check() {
    join_all(conformance::CHECKS.iter().map(check_session)).await;
}

async fn check_session(check: &conformance::Check) {
    // All checks run at once: a session outlasts what the server then needs for a heartbeat.
    const TTL: Duration = Duration::from_secs(10);
    let (place, other) = (Place::new().await, Place::new().await);
    let (proxy, config) = place.behind_proxy().await;
    let options = SessionOptions::default().ttl(TTL);
    let a =
        Kubernetes::from_config(config, place.options()).unwrap().session(options.clone()).await;
    let (a, b) = (a.unwrap(), place.handle().session(options).await.unwrap());
    let cut = |cut| proxy.set(if cut { Link::BLACK_HOLE } else { Link::default() });
    let pair = conformance::Pair::new(&a, &b).other(&other.namespace).cut(&cut).session(TTL);
    check.run(pair).await;
}
