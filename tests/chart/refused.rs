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
    rejected(&["ttl=15x"], "/ttl");
    rejected(&["attempt=soon"], "/attempt");
    rejected(&["verbose=3"], "/verbose");
    rejected(&["flowSchema=yes"], "/flowSchema");
    rejected(&["servePort=80"], "/servePort");
    rejected(&["election=Not A Name"], "/election");
    rejected(&["imagePullPolicy=Sometimes"], "/imagePullPolicy");
    rejected(&["terminationGracePeriodSeconds=1"], "/terminationGracePeriodSeconds");
}

#[test]
#[ignore = "needs helm: make chart"]
fn every_form_of_a_duration_that_the_program_accepts_is_accepted() {
    for ttl in ["15s", "1.5s", "1h0.5s", "1d", "1d12h", "500ms", "2000us", "3000000ns"] {
        let value = format!("ttl={ttl}");
        template("demo", &[&value]).unwrap_or_else(|error| panic!("{ttl}: {error}"));
    }
}
