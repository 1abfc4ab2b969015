//! Permissions of the pods.

use serde_json::json;

use crate::{MODES, Rendered, SIDECAR};

#[test]
#[ignore = "needs helm: make chart"]
fn the_role_has_two_rules_for_the_lease_of_the_election() {
    let rendered =
        Rendered::of(&[&SIDECAR[..], &["labelLeader=false", "election=billing"]].concat());

    let wanted = json!([
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["billing"],
          "verbs": ["get", "update", "list", "watch"] },
    ]);
    assert_eq!(rendered.one("Role")["rules"], wanted);
}

#[test]
#[ignore = "needs helm: make chart"]
fn list_members_grants_all_leases_and_is_on_only_in_the_demo_by_default() {
    for (mode, list, all) in [
        (MODES[0], None, true),
        (MODES[0], Some("listMembers=false"), false),
        (MODES[1], None, false),
        (MODES[1], Some("listMembers=true"), true),
        (MODES[2], None, false),
    ] {
        let values: Vec<_> = mode.iter().copied().chain(list).collect();
        let rendered = Rendered::of(&values);

        let rule = &rendered.one("Role")["rules"][1];
        assert_eq!(rule["resourceNames"].is_null(), all, "{values:?}: {rule}");
        assert_eq!(rule["verbs"].as_array().unwrap().contains(&json!("delete")), all);
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn a_queue_grants_all_leases_and_is_off_by_default() {
    for (queue, all) in [("queue=false", false), ("queue=true", true)] {
        let rendered = Rendered::of(&[&SIDECAR[..], &["labelLeader=false", queue]].concat());

        let rule = &rendered.one("Role")["rules"][1];
        assert_eq!(rule["resourceNames"].is_null(), all, "{queue}: {rule}");
        let verbs = rule["verbs"].as_array().unwrap();
        assert_eq!(verbs.contains(&json!("delete")), all);
        assert_eq!(verbs.contains(&json!("patch")), all, "claims join a queue by patches");
        let environment = rendered.one("StatefulSet")["spec"].to_string();
        assert_eq!(environment.contains("LEASEHOLD_QUEUE"), all);
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn a_namespace_for_sessions_has_a_role_of_its_own_and_leaves_one_lease_to_write_in_the_other() {
    let values = [
        "labelLeader=false",
        "election=billing",
        "queue=true",
        "sessionNamespace=sessions",
        "flowSchema=true",
    ];
    let rendered = Rendered::of(&[&SIDECAR[..], &values].concat());

    let own = &rendered.named_one("Role", "demo-leasehold")["rules"];
    let sessions = rendered.named_one("Role", "demo-leasehold.shop");
    let binding = rendered.named_one("RoleBinding", "demo-leasehold.shop");

    let rule = |verbs: &[&str]| json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs });
    let mut named = rule(&["get", "update", "patch"]);
    named["resourceNames"] = json!(["billing"]);
    assert_eq!(*own, json!([rule(&["create"]), named, rule(&["list", "watch"])]));
    assert_eq!(sessions["rules"], json!([rule(&["create", "get", "list", "update", "delete"])]));
    for object in [sessions, binding] {
        assert_eq!(object["metadata"]["namespace"], "sessions");
    }
    assert_eq!(binding["subjects"][0]["namespace"], "shop");
    let rule = &rendered.one("FlowSchema")["spec"]["rules"][0]["resourceRules"][0];
    assert_eq!(rule["namespaces"], json!(["shop", "sessions"]), "heartbeats come first too");
    let environment = rendered.one("StatefulSet")["spec"].to_string();
    assert!(environment.contains("LEASEHOLD_SESSION_NAMESPACE"), "{environment}");
    for without in ["sessionNamespace=", "sessionNamespace=shop"] {
        let values = [&SIDECAR[..], &values, &[without]].concat();
        let rendered = Rendered::of(&values);
        assert_eq!(rendered.all("Role").len(), 1, "{without}");
        let environment = rendered.one("StatefulSet")["spec"].to_string();
        assert!(!environment.contains("LEASEHOLD_SESSION_NAMESPACE"), "{without}");
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn pods_may_patch_only_the_pods_of_the_release() {
    let rendered = Rendered::of(&["replicas=2"]);

    let rule = &rendered.one("Role")["rules"][2];

    assert_eq!((&rule["resources"], &rule["verbs"]), (&json!(["pods"]), &json!(["patch"])));
    assert_eq!(rule["resourceNames"], json!(["demo-leasehold-0", "demo-leasehold-1"]));
}

/// A rule without names of objects allows all of them.
#[test]
#[ignore = "needs helm: make chart"]
fn without_pods_the_role_allows_no_pod() {
    let rendered = Rendered::of(&["replicas=0"]);

    let rules = rendered.one("Role")["rules"].to_string();
    assert!(!rules.contains("pods"), "{rules}");
}

#[test]
#[ignore = "needs helm: make chart"]
fn the_role_grants_events_only_if_they_are_enabled() {
    let without = Rendered::of(&[]);
    let with = Rendered::of(&["events=true"]);

    let mentions =
        |rendered: &Rendered| rendered.one("Role")["rules"].to_string().contains("\"events\"");
    assert!(!mentions(&without));
    assert!(mentions(&with));
}

#[test]
#[ignore = "needs helm: make chart"]
fn no_rule_has_a_wildcard_or_covers_the_whole_cluster() {
    for mode in MODES {
        let rendered = Rendered::of(&[mode, &["events=true", "listMembers=true"]].concat());

        assert!(!rendered.one("Role")["rules"].to_string().contains('*'));
        assert!(
            rendered.all("ClusterRole").is_empty() && rendered.all("ClusterRoleBinding").is_empty()
        );
    }
}

/// The documented manifest is created on a real API server by a test in `tests/apiserver`.
#[test]
#[ignore = "needs helm: make chart"]
fn flow_schema_creates_the_documented_manifest_for_the_service_account() {
    let documented = include_str!("../../docs/library.md");
    let block = documented.split("```").find(|block| block.contains("kind: FlowSchema")).unwrap();
    let block = block.trim_start_matches("yaml");
    let wanted: serde_json::Value = serde_saphyr::from_str(block).unwrap();
    for account in ["demo-leasehold", "given"] {
        let mut wanted = wanted["spec"].clone();
        wanted["rules"][0]["subjects"][0]["serviceAccount"]["name"] = account.into();
        let given = (account == "given").then_some("serviceAccountName=given");

        for mode in MODES {
            let values = [mode, &["flowSchema=true"], given.as_slice()].concat();
            let rendered = Rendered::of(&values);

            assert_eq!(rendered.one("FlowSchema")["spec"], wanted, "{values:?}");
            assert_eq!(rendered.one("FlowSchema")["metadata"]["name"], "demo-leasehold.shop");
        }
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn by_default_every_object_belongs_to_the_namespace() {
    for mode in MODES {
        let rendered = Rendered::of(mode);
        assert!(rendered.all("FlowSchema").is_empty());
        assert!(rendered.0.iter().all(|object| object["metadata"]["namespace"] == "shop"));
    }
}

#[test]
#[ignore = "needs helm: make chart"]
fn a_given_service_account_is_bound_and_none_is_created() {
    let rendered = Rendered::of(&["serviceAccountName=shop"]);

    assert!(rendered.all("ServiceAccount").is_empty());
    assert_eq!(rendered.pod()["serviceAccountName"], "shop");
    assert_eq!(rendered.one("RoleBinding")["subjects"][0]["name"], "shop");
}

#[test]
#[ignore = "needs helm: make chart"]
fn rbac_false_creates_no_role() {
    let rendered = Rendered::of(&["rbac=false"]);

    assert!(rendered.all("Role").is_empty() && rendered.all("RoleBinding").is_empty());
    assert_eq!(rendered.one("ServiceAccount")["metadata"]["name"], "demo-leasehold");
}
