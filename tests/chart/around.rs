//! Objects around the pods: Services, budget, monitor, policy, notes, test.

use serde_json::{Value, json};

use crate::{CHART, MODES, Rendered, SIDECAR, helm};

#[test]
#[ignore = "needs helm: make chart"]
fn the_service_leads_to_the_leader() {
    for (values, port) in
        [(&[][..], "leasehold"), (&[&SIDECAR[..], &["appPort=9000"]].concat()[..], "app")]
    {
        let rendered = Rendered::of(values);
        let service = rendered.named_one("Service", "demo-leasehold");

        assert_eq!(service["spec"]["selector"]["leasehold.dev/leader"], "true");
        assert_eq!(service["spec"]["selector"]["app.kubernetes.io/instance"], "demo");
        assert_eq!(
            service["spec"]["ports"],
            json!([{ "name": "http", "port": 80, "targetPort": port }])
        );
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn without_the_leader_label_there_is_only_the_headless_service() {
    let rendered = Rendered::of(&["labelLeader=false"]);

    let services = rendered.all("Service");

    assert_eq!(services.len(), 1);
    assert_eq!(services[0]["metadata"]["name"], "demo-leasehold-members");
    assert_eq!(services[0]["spec"]["clusterIP"], "None");
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_disruption_budget_allows_one_pod_at_a_time_and_needs_two_replicas() {
    let budgets = |values: &[&str]| Rendered::of(values).all("PodDisruptionBudget").len();

    assert_eq!(Rendered::of(&[]).one("PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    assert_eq!(budgets(&["replicas=1"]), 0, "a budget for one pod has no effect");
    assert_eq!(budgets(&["podDisruptionBudget=false"]), 0);
}

#[test]
#[ignore = "needs helm: make chart"]
fn service_monitor_and_network_policy_are_created_only_if_enabled() {
    let without = Rendered::of(&[]);
    let values = [
        "serviceMonitor=true",
        "serviceMonitorLabels.release=prometheus",
        "networkPolicy=true",
        "networkPolicyFrom[0].podSelector.matchLabels.app=x",
    ];
    let with = Rendered::of(&[&SIDECAR[..], &values, &["appPort=9000"]].concat());

    assert!(without.all("ServiceMonitor").is_empty() && without.all("NetworkPolicy").is_empty());
    let (monitor, policy) = (with.one("ServiceMonitor"), &with.one("NetworkPolicy")["spec"]);
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let members = with.named_one("Service", "demo-leasehold-members");
    let selected = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(selected.iter().all(|(key, value)| members["metadata"]["labels"][key] == *value));
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], members["spec"]["ports"][0]["name"]);
    let ports: Vec<_> = policy["ingress"][0]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| &port["port"])
        .collect();
    assert_eq!(ports, [&json!(8080), &json!(9000)]);
    assert_eq!(policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app"], "x");
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
}

#[test]
#[ignore = "needs helm: make chart"]
fn every_object_has_the_name_label_and_namespace_of_the_release() {
    for mode in MODES {
        let rendered =
            Rendered::of(&[mode, &["networkPolicy=true", "serviceMonitor=true"]].concat());
        for object in &rendered.0 {
            let metadata = &object["metadata"];
            assert!(metadata["name"].as_str().unwrap().starts_with("demo-leasehold"), "{metadata}");
            assert_eq!(metadata["namespace"], "shop", "{metadata}");
            assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "demo", "{metadata}");
        }
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn names_stay_within_the_limits_of_kubernetes() {
    let long = "a".repeat(53);
    let rendered = Rendered::named(&long, &[]);

    for object in &rendered.0 {
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.len() <= 60, "{name} with the number of a pod must fit into a label value");
    }
    let named = |release, values: &[&str]| {
        Rendered::named(release, values).one("StatefulSet")["metadata"]["name"].clone()
    };
    assert_eq!(named("leasehold", &[]), "leasehold");
    assert_eq!(named("demo", &["fullnameOverride=billing"]), "billing");
}

#[test]
#[ignore = "needs helm: make chart"]
fn helm_test_tries_to_lock_the_lease_of_the_election() {
    let rendered = Rendered::of(&["election=billing"]);
    let pod = rendered.one("Pod");

    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    let args = crate::words(&pod["spec"]["containers"][0]["args"]);
    assert_eq!(
        args,
        ["lock", "--try", "--busy-code", "0", "billing", "--", "/leasehold", "nobody-leads"]
    );
    let selected = |service: &&Value| {
        let selector = service["spec"]["selector"].as_object().unwrap();
        selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
    };
    assert!(!rendered.all("Service").iter().any(selected), "no Service selects the test pod");
}

#[track_caller]
fn notes(values: &[&str]) -> String {
    let sets = values.iter().flat_map(|value| ["--set", value]);
    let install = ["install", "demo", CHART, "--dry-run=client", "--namespace", "shop"];
    let output = helm(install.into_iter().chain(sets)).unwrap_or_else(|error| panic!("{error}"));
    output.split("NOTES:").nth(1).expect("notes").to_owned()
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_notes_show_three_commands() {
    for (values, third) in
        [(&[][..], "delete pod"), (&["labelLeader=false"][..], "rollout restart")]
    {
        let notes = notes(values);
        let commands: Vec<_> =
            notes.lines().map(str::trim).filter(|line| line.starts_with("kubectl")).collect();
        assert_eq!(commands.len(), 3, "{notes}");
        assert!(commands.iter().all(|command| command.contains("--namespace shop")), "{notes}");
        assert!(commands[2].contains(third), "{notes}");
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_notes_mention_the_button_only_if_the_service_leads_to_a_page() {
    let button = |values: &[&str]| notes(values).contains("Press the page's button");

    assert!(button(&[]));
    assert!(button(&[&SIDECAR[..], &["page=true"]].concat()));
    assert!(!button(&SIDECAR));
    assert!(!button(&["page=false"]));
    assert!(!button(&["labelLeader=false"]), "no Service leads to the leader");
    assert!(
        !button(&[&SIDECAR[..], &["page=true", "appPort=9000"]].concat()),
        "the Service leads to the app"
    );
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_notes_say_that_the_port_forward_ends_with_its_pod() {
    for values in MODES.into_iter().chain([&["labelLeader=false"][..]]) {
        let notes = notes(values);

        let (_, after) = notes.split_once("\n  3. ").expect("a third step");
        assert!(after.contains("The forward of step 2 is to one pod, and ends with it"), "{notes}");
    }
}
