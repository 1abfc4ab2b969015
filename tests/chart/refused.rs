//! Invalid values are rejected with a message.

use crate::{MODES, SIDECAR, WRAPPER, template};

#[track_caller]
fn rejected(values: &[&str], message: &str) {
    let error = template("demo", values).expect_err("helm must reject the values");
    assert!(error.contains(message), "{values:?}: {error}");
}

#[test]
#[ignore = "needs helm: make chart"]
fn every_mode_renders_with_only_its_required_values() {
    for mode in MODES {
        template("demo", mode).unwrap_or_else(|error| panic!("{mode:?}: {error}"));
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn missing_and_contradicting_values_are_rejected_by_name() {
    rejected(&["mode=sidecar"], "mode sidecar needs appImage");
    rejected(&["mode=wrapper"], "mode wrapper needs appImage");
    rejected(&["appImage=shop:1"], "mode is demo");
    rejected(&WRAPPER[..2], "mode wrapper needs appCommand");
    rejected(&[&WRAPPER[..], &["appReadinessProbe.a=b"]].concat(), "are for mode sidecar");
    rejected(&[&SIDECAR[..], &["appPort=8080"]].concat(), "appPort and servePort are both 8080");
    rejected(&["leaseAnnotations.note=a\nb"], "the value of note has more than one line");
}

#[test]
#[ignore = "needs helm: make chart"]
fn values_outside_the_schema_are_rejected() {
    rejected(&["replicaCount=3"], "replicaCount");
    rejected(&["replicas=two"], "/replicas");
    rejected(&["mode=other"], "/mode");
    rejected(&["ttl=soon"], "/ttl");
    rejected(&["attempt=soon"], "/attempt");
    rejected(&["verbose=3"], "/verbose");
    rejected(&["flowSchema=yes"], "/flowSchema");
    rejected(&["servePort=80"], "/servePort");
    rejected(&["election=Not A Name"], "/election");
    rejected(&["imagePullPolicy=Sometimes"], "/imagePullPolicy");
    rejected(&["terminationGracePeriodSeconds=1"], "/terminationGracePeriodSeconds");
}
