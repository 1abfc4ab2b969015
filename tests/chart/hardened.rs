//! Security settings and resources of the containers.

use serde_json::{Value, json};

use crate::{MODES, Rendered, SIDECAR, containers};

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn has_token(container: &Value) -> bool {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    mounts.filter(|mount| mount["mountPath"] == TOKEN).count() == 1
}

/// The pod of the release, and the pod of `helm test`.
fn pods(rendered: &Rendered) -> [&Value; 2] {
    [rendered.pod(), &rendered.one("Pod")["spec"]]
}

#[test]
#[ignore = "needs helm: make chart"]
fn every_container_of_every_mode_is_hardened() {
    for mode in MODES {
        let rendered = Rendered::of(mode);
        for pod in pods(&rendered) {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            for container in containers(pod) {
                let wanted = json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                    "runAsGroup": 65532,
                    "runAsNonRoot": true,
                    "runAsUser": 65532,
                    "seccompProfile": { "type": "RuntimeDefault" },
                });
                assert_eq!(container["securityContext"], wanted, "{}", container["name"]);
            }
            for host in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
                assert_eq!(pod[host], Value::Null);
            }
        }
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn leasehold_has_resource_requests_and_a_memory_limit() {
    for mode in MODES {
        let rendered = Rendered::of(mode);
        for container in pods(&rendered).into_iter().flat_map(containers) {
            if container["name"] != "app" {
                let resources = &container["resources"];
                assert!(resources["requests"]["cpu"].is_string(), "{container}");
                assert!(resources["requests"]["memory"].is_string(), "{container}");
                assert!(resources["limits"]["memory"].is_string(), "{container}");
            }
        }
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn only_the_container_that_runs_leasehold_mounts_the_token() {
    for (mode, with) in MODES.into_iter().zip([&["leasehold"], &["leasehold"], &["app"]]) {
        let rendered = Rendered::of(mode);
        for pod in pods(&rendered) {
            assert_eq!(pod["automountServiceAccountToken"], false);
        }
        assert_eq!(rendered.one("ServiceAccount")["automountServiceAccountToken"], false);
        let holders =
            containers(rendered.pod()).into_iter().filter(|container| has_token(container));
        let names: Vec<_> =
            holders.map(|container| container["name"].as_str().unwrap_or_default()).collect();
        assert_eq!(names, with);
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn app_token_mounts_the_token_in_the_app_container() {
    let rendered = Rendered::of(&[&SIDECAR[..], &["appToken=true"]].concat());

    assert!(has_token(rendered.container("app")));
}

#[test]
#[ignore = "needs helm: make chart"]
fn app_security_context_overrides_single_fields_of_the_app_container() {
    let values =
        ["appSecurityContext.runAsUser=1000", "appSecurityContext.readOnlyRootFilesystem=false"];
    let rendered = Rendered::of(&[&SIDECAR[..], &values].concat());

    let (app, leasehold) = (
        &rendered.container("app")["securityContext"],
        &rendered.container("leasehold")["securityContext"],
    );

    assert_eq!((&app["runAsUser"], &app["readOnlyRootFilesystem"]), (&json!(1000), &json!(false)));
    assert_eq!(app["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(
        (&leasehold["runAsUser"], &leasehold["readOnlyRootFilesystem"]),
        (&json!(65532), &json!(true))
    );
}
