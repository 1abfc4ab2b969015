//! Whether a handle may do what it will need to do, asked before it needs it.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    error::Asked,
    http::{Api, LEASES},
};
use crate::api::{
    error::{Error, Result},
    name::Namespace,
};

/// Without these nothing works.
const NEEDED: [&str; 3] = ["get", "create", "update"];
/// Without these something works less well, and what.
const USEFUL: [(&str, &str); 3] = [
    ("list", "waiters poll, and members and events of elections cannot be listed"),
    ("watch", "waiters poll, and events of elections come late"),
    ("delete", "candidates that resign stay listed until their record lapses"),
];

/// Reaches the server, finds the namespace, and finds each verb granted, be it for some names only.
pub(super) async fn check(api: &Api, namespace: &Namespace) -> Result<()> {
    let rules = rules(api, namespace).await?;
    for verb in NEEDED {
        if !rules.grant(verb) {
            let reason = format!(
                "no rule grants it: add {verb:?} on \"leases\" in apiGroup \"coordination.k8s.io\" to a Role bound to this user"
            );
            return Err(Error::Refused {
                verb,
                resource: LEASES.into(),
                namespace: namespace.to_string(),
                reason,
            });
        }
    }
    for (verb, without) in USEFUL {
        if !rules.grant(verb) {
            tracing::warn!(%namespace, verb, "not granted on leases: {without}");
        }
    }
    // Carried out in every respect but storing: does the namespace exist, does admission let a Lease pass?
    let asked =
        Asked { verb: "create", resource: LEASES, name: None, namespace: namespace.as_str() };
    let name = format!("leasehold-check-{}", Uuid::new_v4().simple());
    let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name }, "spec": {} });
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases?dryRun=All");
    api.send(Method::POST, &path, Some(&lease), &asked)
        .await
        .map_err(|failed| failed.into_error(&asked))?;
    Ok(())
}

/// What the server says that this user may do in one namespace.
struct Rules {
    rules: Vec<Value>,
    /// The server does not know all: what is not listed may be granted all the same.
    incomplete: bool,
}

async fn rules(api: &Api, namespace: &Namespace) -> Result<Rules> {
    let asked = Asked {
        verb: "create",
        resource: "selfsubjectrulesreviews.authorization.k8s.io",
        name: None,
        namespace: namespace.as_str(),
    };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": { "namespace": namespace.as_str() },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = api
        .send(Method::POST, path, Some(&review), &asked)
        .await
        .map_err(|failed| failed.into_error(&asked))?;
    let rules = answer["status"]["resourceRules"].as_array().cloned().unwrap_or_default();
    Ok(Rules { rules, incomplete: answer["status"]["incomplete"].as_bool().unwrap_or(false) })
}

impl Rules {
    fn grant(&self, verb: &str) -> bool {
        let has = |rule: &Value, field: &str, wanted: &str| {
            rule[field]
                .as_array()
                .is_some_and(|values| values.iter().any(|value| value == wanted || value == "*"))
        };
        self.incomplete
            || self.rules.iter().any(|rule| {
                has(rule, "verbs", verb)
                    && has(rule, "apiGroups", "coordination.k8s.io")
                    && has(rule, "resources", "leases")
            })
    }
}
