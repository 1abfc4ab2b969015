//! Invalid values are rejected with a message.

use leasehold_test_support::helm::{CHART, helm};

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
    rejected(&["sessionNamespace=sessions"], "sessionNamespace has no effect without queue");
    rejected(&["queue=true", "attempt=1s"], "attempt has no effect with queue");
    rejected(&["page=false", "allowHosts={a}"], "allowHosts has no effect without the page");
    for value in
        ["appCommand={a}", "appArgs={a}", "appPort=9000", "appToken=true", "appEnv[0].name=A"]
    {
        rejected(&[value], "is set, but mode is demo");
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn a_name_that_the_objects_cannot_have_is_rejected() {
    for release in ["9shop", "shop.example"] {
        let error = template(release, &[]).expect_err("helm must reject the release");
        assert!(error.contains("set fullnameOverride"), "{release}: {error}");
        template(release, &["fullnameOverride=shop"]).expect("a name that fits");
    }
    for session in ["s15-k2j5q7w3x4y6z2a3b4c5", "s9-k2j5q7w3x4y6z2a3b4c5-abcdefghij"] {
        rejected(&[&format!("election={session}")], "has the form of the name of a session");
    }
    template("demo", &["election=s15-orders"]).expect("no name of a session");
}

#[test]
#[ignore = "needs helm: make chart"]
fn what_the_chart_sets_itself_is_rejected_in_the_values_of_the_app() {
    for (variable, message) in [
        ("LEASEHOLD_TTL", "appEnv: LEASEHOLD_TTL is set by the chart"),
        ("LEASEHOLD_ATTEMPT", "appEnv: LEASEHOLD_ATTEMPT is set by the chart"),
        ("LEASEHOLD_EVENTS", "appEnv: LEASEHOLD_EVENTS is set by the chart"),
        ("POD_NAME", "appEnv: POD_NAME is set by the chart"),
    ] {
        let value = format!("appEnv[0].name={variable}");
        rejected(&[&WRAPPER[..], &[&*value]].concat(), message);
    }
    rejected(&[&SIDECAR[..], &["appEnv[0].name=LEASEHOLD_URL"]].concat(), "LEASEHOLD_URL is set");
    rejected(&[&WRAPPER[..], &["volumes[0].name=program"]].concat(), "volumes: program is");
    rejected(&[&SIDECAR[..], &["volumes[0].name=token"]].concat(), "volumes: token is");
    rejected(&[&WRAPPER[..2], &["appCommand={,a}"]].concat(), "appCommand: its first entry");
    for values in [
        [&WRAPPER[..], &["appEnv[0].name=LEASEHOLD_PAYLOAD"]].concat(),
        [&SIDECAR[..], &["appEnv[0].name=POD_NAME", "volumes[0].name=program"]].concat(),
    ] {
        template("demo", &values).unwrap_or_else(|error| panic!("{values:?}: {error}"));
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn durations_that_the_program_refuses_at_its_start_are_rejected() {
    for (values, message) in [
        (&["ttl=0s"][..], "ttl: 0s is not 1s to 86400s"),
        (&["ttl=0ns"], "ttl: 0ns is not"),
        (&["ttl=2d"], "ttl: 2d is not"),
        (&["ttl=999999999999999999d"], "is not 1s to 86400s"),
        (&["ttl=30m1h"], "the largest unit first"),
        (&["ttl=1s1s"], "the largest unit first"),
        (&["ttl=1.5d"], "ttl: 1.5d is no duration"),
        (&["ttl=1.5h30m"], "ttl: 1.5h30m is no duration"),
        (&["attempt=5s"], "attempt: 5s is not 1ms to 2666ms, with a ttl of 15s"),
        (&["attempt=2667ms"], "attempt: 2667ms is not"),
        (&["attempt=0s"], "attempt: 0s is not"),
        (&["attempt=999us"], "attempt: 999us is not"),
        (&["ttl=3s", "attempt=1s"], "attempt: 1s is not 1ms to 533ms, with a ttl of 3s"),
        (&["grace=7s"], "grace: 7s is more than 6000ms, with a ttl of 15s"),
        (&["grace=6s", "attempt=2500ms"], "grace: 6s is more than 5500ms"),
        (&["grace=1m0.5m"], "grace: 1m0.5m is no duration"),
    ] {
        rejected(values, message);
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn durations_at_the_bounds_of_the_program_are_accepted() {
    for values in [
        &["ttl=1s"][..],
        &["ttl=1ns"],
        &["ttl=1d"],
        &["ttl=24h"],
        &["attempt=2666ms"],
        &["attempt=1000us"],
        &["grace=6s"],
        &["grace=0s"],
        &["grace=5.5s", "attempt=2.5s"],
        &["ttl=14001ms", "attempt=2666ms"],
    ] {
        template("demo", values).unwrap_or_else(|error| panic!("{values:?}: {error}"));
    }
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
    rejected(&["election=a..b"], "/election");
    rejected(&["allowHosts={a:80}"], "/allowHosts/0");
    rejected(&["allowHosts={.}"], "/allowHosts/0");
    rejected(&["allowHosts={http://a}"], "/allowHosts/0");
    rejected(&["leaseLabels.team=a b"], "/leaseLabels/team");
    rejected(&["leaseLabels.te am=a"], "/leaseLabels");
    rejected(&["leaseAnnotations.-a=b"], "/leaseAnnotations");
    for reserved in ["leaseLabels", "leaseAnnotations"] {
        rejected(&[&*format!("{reserved}.leasehold\\.dev/kind=lock")], reserved);
    }
    for ttl in [
        "99999999999999999999d",
        "15.0000000001s",
        "0000000000000000000015s",
        "0d0000000000000000001s",
    ] {
        rejected(&[&format!("ttl={ttl}")], "/ttl");
    }
    for selects in [r"leasehold\.dev/leader", r"app\.kubernetes\.io/name"] {
        rejected(&[&format!("podLabels.{selects}=a")], "/podLabels");
    }
    rejected(&["podLabels.team=a b"], "/podLabels/team");
    let error = helm(["template", "demo", CHART, "--set-json", "networkPolicyApiServerPorts=[]"]);
    assert!(error.expect_err("without a port, all are allowed").contains("minItems"));
    rejected(&["networkPolicyApiServerPorts={0}"], "/networkPolicyApiServerPorts/0");
    rejected(&["topologySpreadKeys={a,a}"], "/topologySpreadKeys");
    rejected(&["serviceMonitorInterval=5s1m"], "/serviceMonitorInterval");
    rejected(&["serviceMonitorInterval="], "/serviceMonitorInterval");
    for name in ["serviceAccountName", "priorityClassName"] {
        rejected(&[&format!("{name}=A b")], &format!("/{name}"));
    }
    rejected(&["imagePullSecrets={A b}"], "/imagePullSecrets/0");
    rejected(&["imagePullPolicy=Sometimes"], "/imagePullPolicy");
    rejected(&["terminationGracePeriodSeconds=1"], "/terminationGracePeriodSeconds");
}

#[test]
#[ignore = "needs helm: make chart"]
fn every_form_of_a_duration_that_the_program_accepts_is_accepted() {
    for ttl in ["15s", "1.5s", "1h0.5s", "1d", "0d12h", "500ms", "2000us", "3000000ns"] {
        let value = format!("ttl={ttl}");
        template("demo", &[&value]).unwrap_or_else(|error| panic!("{ttl}: {error}"));
    }
}
