//! What makes no sense is refused, and said.

use crate::{MODES, SIDECAR, WRAPPER, template};

#[track_caller]
fn refused(values: &[&str], told: &str) {
    let error = template("demo", values).expect_err("refused");
    assert!(error.contains(told), "{values:?}: {error}");
}

#[test]
#[ignore = "needs helm: make chart"]
fn every_mode_is_fine_with_the_least_it_needs() {
    for mode in MODES {
        template("demo", mode).unwrap_or_else(|error| panic!("{mode:?}: {error}"));
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn what_is_missing_or_contradicts_is_named() {
    refused(&["mode=sidecar"], "mode sidecar needs appImage");
    refused(&["mode=wrapper"], "mode wrapper needs appImage");
    refused(&["appImage=shop:1"], "mode is demo");
    refused(&WRAPPER[..2], "mode wrapper needs appCommand");
    refused(&[&WRAPPER[..], &["appReadinessProbe.a=b"]].concat(), "are for mode sidecar");
    refused(&[&SIDECAR[..], &["appPort=8080"]].concat(), "appPort and servePort are both 8080");
}

#[test]
#[ignore = "needs helm: make chart"]
fn values_that_the_schema_does_not_know_are_refused() {
    refused(&["replicaCount=3"], "replicaCount");
    refused(&["replicas=two"], "/replicas");
    refused(&["mode=other"], "/mode");
    refused(&["ttl=soon"], "/ttl");
    refused(&["verbose=3"], "/verbose");
    refused(&["servePort=80"], "/servePort");
    refused(&["election=Not A Name"], "/election");
    refused(&["imagePullPolicy=Sometimes"], "/imagePullPolicy");
    refused(&["terminationGracePeriodSeconds=1"], "/terminationGracePeriodSeconds");
}
