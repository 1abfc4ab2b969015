//! What refuses Leases of a namespace although RBAC permits them: a policy, and a quota.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// The key of a quota that counts Leases.
const COUNTED: &str = "count/leases.coordination.k8s.io";

/// Refuses new Leases that do not fulfil `validation`, and waits until the server does so for a Lease without labels.
pub(super) async fn require(admin: &Client, namespace: &str, validation: &Value) {
    let name = format!("policy-{namespace}");
    let policy = json!({ "metadata": { "name": name }, "spec": {
        "matchConstraints": { "resourceRules": [{
            "apiGroups": ["coordination.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["leases"],
        }] },
        "validations": [validation],
    } });
    let binding = json!({ "metadata": { "name": name }, "spec": {
        "policyName": name, "validationActions": ["Deny"],
        "matchResources": { "namespaceSelector": {
            "matchLabels": { "kubernetes.io/metadata.name": namespace },
        } },
    } });
    let policy: Policy = serde_json::from_value(policy).expect("a policy");
    let binding: Binding = serde_json::from_value(binding).expect("a binding");
    let (policies, bindings) = (Api::all(admin.clone()), Api::all(admin.clone()));
    policies.create(&PostParams::default(), &policy).await.expect("policy created");
    bindings.create(&PostParams::default(), &binding).await.expect("binding created");
    until_refused(admin, namespace, "denied request").await;
}

/// Limits the number of Leases in `namespace` that are created from now on. Waits until the server does so.
///
/// No controller counts here: this sets the status that a controller would set.
pub(super) async fn limit(admin: &Client, namespace: &str, count: u32) {
    let quotas: Api<ResourceQuota> = Api::namespaced(admin.clone(), namespace);
    let hard = json!({ COUNTED: count.to_string() });
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "few" }, "spec": { "hard": hard },
    });
    let status = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "few" }, "status": { "hard": hard, "used": { COUNTED: "0" } },
    });
    let params = PatchParams::apply("tests").force();
    quotas.patch("few", &params, &Patch::Apply(&quota)).await.expect("quota applied");
    quotas.patch_status("few", &params, &Patch::Apply(&status)).await.expect("status applied");
    if count == 0 {
        until_refused(admin, namespace, "exceeded quota").await;
    }
}

async fn until_refused(admin: &Client, namespace: &str, text: &str) {
    let leases: Api<Lease> = Api::namespaced(admin.clone(), namespace);
    let probe =
        serde_json::from_value(json!({ "metadata": { "name": "probe" } })).expect("a Lease");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for _ in 0..600 {
        let refused = leases.create(&dry_run, &probe).await.err();
        if refused.is_some_and(|error| error.to_string().contains(text)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain for a refusal with `{text}`");
}
