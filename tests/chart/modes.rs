//! Containers and settings of the pods in each mode.

use serde_json::{Value, json};

use crate::{MODES, Rendered, SIDECAR, WRAPPER, containers, words};

fn names(rendered: &Rendered, list: &str) -> Vec<String> {
    let names = rendered.pod()[list].as_array().into_iter().flatten();
    names.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let variables = container["env"].as_array().expect("variables");
    variables.iter().find(|one| one["name"] == name)?["value"].as_str()
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_demo_has_three_pods_with_only_leasehold() {
    let rendered = Rendered::of(&[]);

    assert_eq!(rendered.one("StatefulSet")["spec"]["replicas"], 3);
    assert_eq!(names(&rendered, "containers"), ["leasehold"]);
    let leasehold = rendered.container("leasehold");
    assert_eq!(words(&leasehold["args"]), ["elect", "demo-leasehold"]);
    assert_eq!(leasehold["image"], concat!("localhost/leasehold:", env!("CARGO_PKG_VERSION")));
}

#[test]
#[ignore = "needs helm: make chart"]
fn leasehold_is_a_sidecar_init_container_and_ends_after_the_app() {
    let rendered = Rendered::of(&[&SIDECAR[..], &["appCommand={/shop}", "appArgs={-v}"]].concat());

    assert_eq!(names(&rendered, "containers"), ["app"]);
    assert_eq!(names(&rendered, "initContainers"), ["leasehold"]);
    assert_eq!(rendered.container("leasehold")["restartPolicy"], "Always");
    let app = rendered.container("app");
    assert_eq!((words(&app["command"]), words(&app["args"])), (vec!["/shop"], vec!["-v"]));
    assert_eq!(variable(app, "LEASEHOLD_URL"), Some("http://127.0.0.1:8080"));
}

#[test]
#[ignore = "needs helm: make chart"]
fn a_wrapped_command_is_passed_on_unchanged() {
    let values = ["appCommand={sh,-c,exit 7;}", "appArgs={--,--ttl,$HOME}"];
    let rendered = Rendered::of(&[&WRAPPER[..2], &values].concat());

    let app = rendered.container("app");
    let command =
        ["/leasehold-bin/leasehold", "elect", "demo-leasehold", "--", "sh", "-c", "exit 7;"];
    assert_eq!(words(&app["command"]), command);
    assert_eq!(words(&app["args"]), ["--", "--ttl", "$HOME"]);
    let install = rendered.container("install");
    assert_eq!(words(&install["args"]), ["install", "/leasehold-bin"]);
    for (container, read_only) in [(app, json!(true)), (install, Value::Null)] {
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        let program = mounts.iter().find(|mount| mount["name"] == "program").expect("the program");
        assert_eq!(program["mountPath"], "/leasehold-bin");
        assert_eq!(program["readOnly"], read_only);
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn labels_and_annotations_for_leases_are_passed_on() {
    for (mode, name) in MODES.into_iter().zip(["leasehold", "leasehold", "app"]) {
        let values = [
            "leaseLabels.team=shop",
            r"leaseLabels.app\.kubernetes\.io/name=orders",
            "leaseAnnotations.note=a\\, b=c",
            "leaseAnnotations.other=x",
        ];
        let rendered = Rendered::of(&[mode, &values].concat());
        let container = rendered.container(name);

        let labels = variable(container, "LEASEHOLD_LABELS");
        assert_eq!(labels, Some("app.kubernetes.io/name=orders,team=shop"));
        let annotations = variable(container, "LEASEHOLD_ANNOTATIONS");
        assert_eq!(annotations, Some("note=a, b=c\nother=x"));
    }
    assert_eq!(variable(Rendered::of(&[]).container("leasehold"), "LEASEHOLD_LABELS"), None);
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_readiness_probe_uses_readyz_and_the_liveness_probe_does_not() {
    for (mode, name) in MODES.into_iter().zip(["leasehold", "leasehold", "app"]) {
        let rendered = Rendered::of(&[mode, &["servePort=9090"]].concat());
        let container = rendered.container(name);

        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
        assert_ne!(
            container["livenessProbe"]["httpGet"]["path"], "/healthz",
            "an outage of the API server must not restart the container"
        );
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/", "it answers 200 always");
        assert_eq!(container["ports"][0], json!({ "name": "leasehold", "containerPort": 9090 }));
        assert_eq!(variable(container, "LEASEHOLD_SERVE"), Some(":9090"));
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn options_become_environment_variables_or_arguments() {
    let options = [
        "ttl=30s",
        "attempt=4s",
        "grace=2s",
        "output=text",
        "verbose=2",
        "events=true",
        "election=billing",
    ];
    for (mode, name) in MODES.into_iter().zip(["leasehold", "leasehold", "app"]) {
        let rendered = Rendered::of(&[mode, &options].concat());
        let container = rendered.container(name);

        for (name, value) in [
            ("LEASEHOLD_TTL", "30s"),
            ("LEASEHOLD_ATTEMPT", "4s"),
            ("LEASEHOLD_GRACE", "2s"),
            ("LEASEHOLD_OUTPUT", "text"),
            ("LEASEHOLD_VERBOSE", "2"),
            ("LEASEHOLD_EVENTS", "true"),
            ("LEASEHOLD_LABEL_LEADER", "true"),
        ] {
            assert_eq!(variable(container, name), Some(value), "{name}");
        }
        let line = [words(&container["command"]), words(&container["args"])].concat();
        assert!(line.contains(&"billing"), "{line:?}");
        for (variable, field) in
            [("POD_NAME", "name"), ("POD_NAMESPACE", "namespace"), ("POD_UID", "uid")]
        {
            let all = container["env"].as_array().expect("variables");
            let found = all.iter().find(|one| one["name"] == variable).expect(variable);
            assert_eq!(found["valueFrom"]["fieldRef"]["fieldPath"], format!("metadata.{field}"));
        }
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_page_may_be_used_under_the_names_of_the_services_and_of_the_values() {
    let rendered = Rendered::of(&["allowHosts={billing.example.com,.example.org}"]);
    let hosts = variable(rendered.container("leasehold"), "LEASEHOLD_ALLOW_HOST").expect("hosts");
    let hosts: Vec<_> = hosts.split(',').collect();

    for name in ["billing.example.com", ".example.org", "demo-leasehold"] {
        assert!(hosts.contains(&name), "{hosts:?}");
    }
    for service in ["demo-leasehold", "demo-leasehold-members", ".demo-leasehold-members"] {
        let ending =
            |host: &&str| host.starts_with(service) && host.ends_with(".svc.cluster.local");
        assert!(hosts.iter().any(ending), "{service} in {hosts:?}");
    }
    let without = Rendered::of(&["page=false"]);
    assert_eq!(variable(without.container("leasehold"), "LEASEHOLD_ALLOW_HOST"), None);
}

#[test]
#[ignore = "needs helm: make chart"]
fn pod_settings_reach_the_pods() {
    let values = [
        "terminationGracePeriodSeconds=90",
        "priorityClassName=high",
        "nodeSelector.disk=fast",
        "podAnnotations.note=yes",
        "podLabels.team=shop",
        "imagePullSecrets={key}",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.x=1",
        "volumes[0].name=data",
        "topologySpreadKeys={zone}",
    ];
    let rendered = Rendered::of(
        &[&WRAPPER[..], &values, &["appVolumeMounts[0].name=data", "appEnv[0].name=A"]].concat(),
    );
    let (pod, template) = (rendered.pod(), &rendered.one("StatefulSet")["spec"]["template"]);

    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["nodeSelector"]["disk"], "fast");
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "key" }]));
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(pod["affinity"]["nodeAffinity"]["x"], 1);
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "zone");
    assert_eq!(template["metadata"]["labels"]["team"], "shop");
    assert_eq!(template["metadata"]["annotations"]["note"], "yes");
    let has = |list: &Value, name: &str| {
        list.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
    };
    assert!(
        has(&pod["volumes"], "data") && has(&rendered.container("app")["volumeMounts"], "data")
    );
    assert!(has(&rendered.container("app")["env"], "A"));
}

#[test]
#[ignore = "needs helm: make chart"]
fn pod_labels_do_not_contain_the_version_of_the_chart() {
    let rendered = Rendered::of(&[]);

    let labels = &rendered.one("StatefulSet")["spec"]["template"]["metadata"]["labels"];

    let keys: Vec<_> = labels.as_object().expect("labels").keys().collect();
    assert_eq!(keys, ["app.kubernetes.io/instance", "app.kubernetes.io/name"]);
    assert_eq!(containers(rendered.pod()).len(), 1);
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_page_is_on_by_default_only_in_the_demo() {
    let page = |values: &[&str], name| {
        let rendered = Rendered::of(values);
        let container = rendered.container(name);
        let url = variable(container, "LEASEHOLD_LEADER_URL").map(ToOwned::to_owned);
        (variable(container, "LEASEHOLD_PAGE") == Some("true"), url)
    };
    let leader = Some("http://demo-leasehold.shop.svc:80".to_owned());

    assert_eq!(page(&[], "leasehold"), (true, leader.clone()));
    assert_eq!(page(&["page=false"], "leasehold"), (false, None));
    assert_eq!(
        page(&["labelLeader=false"], "leasehold"),
        (true, None),
        "no Service leads to the leader"
    );
    assert_eq!(page(&SIDECAR, "leasehold"), (false, None));
    assert_eq!(page(&[&SIDECAR[..], &["page=true"]].concat(), "leasehold"), (true, leader));
}
