//! Checks the permissions of a handle before it needs them.

use k8s_openapi::api::authorization::v1::SelfSubjectRulesReview;
use kube::{Resource as _, api::PostParams, core::Request};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    codec::Extras,
    error::RequestContext,
    http::{Http, LEASES, leases},
};
use crate::api::{
    error::{Error, Result},
    name::Namespace,
};

/// The verbs without which neither locks nor elections work.
const REQUIRED: [&str; 3] = ["get", "create", "update"];
/// The verbs without which something works less well, each with the consequence.
const RECOMMENDED: [(&str, &str); 3] = [
    ("list", "waiters poll, and members and events of elections cannot be listed"),
    ("watch", "waiters poll, and events of elections come late"),
    (
        "delete",
        "a candidate that resigns stays listed until its record expires, and the records of dead candidates remain",
    ),
];

/// Checks that the server can be reached, that the namespace exists, and that each required verb is granted.
/// A verb that is granted for some names only counts as granted, because the names are not known yet.
pub(super) async fn check(http: &Http, namespace: &Namespace, extras: &Extras) -> Result<()> {
    let rules = rules(http, namespace).await?;
    for verb in REQUIRED {
        if !rules.allow(verb) {
            let reason = format!(
                "no rule grants it. Add {verb:?} on \"leases\" in apiGroup \"coordination.k8s.io\" \
                 to a Role bound to this user"
            );
            return Err(Error::PermissionDenied {
                verb,
                resource: LEASES.into(),
                namespace: namespace.to_string(),
                reason,
            });
        }
    }
    for (verb, without) in RECOMMENDED {
        if !rules.allow(verb) {
            tracing::warn!(
                %namespace,
                "the verb `{verb}` is not granted on leases: {without}. Add it to a Role bound to this user"
            );
        }
    }
    // A dry run does everything except storing: it shows whether the namespace exists and admission accepts a Lease.
    let context = RequestContext {
        verb: "create",
        resource: LEASES,
        name: None,
        namespace: namespace.as_str(),
    };
    let name = format!("leasehold-check-{}", Uuid::new_v4().simple());
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name }, "spec": {},
    });
    // A policy may require labels of every Lease.
    extras.set(&mut lease);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let request = leases(Some(namespace)).create(&dry_run, lease.to_string().into_bytes());
    match http.send(request, &context).await.map_err(|failure| failure.into_error(&context)) {
        // The Leases that exist can be used. A lock or an election without one waits, and says so.
        Err(Error::QuotaExceeded { .. }) => Ok(()),
        checked => checked.map(drop),
    }
}

/// What this user may do in one namespace, as the server reports it.
struct Rules {
    rules: Vec<Value>,
    /// The list may be incomplete: a verb that is not in it may still be granted.
    incomplete: bool,
}

async fn rules(http: &Http, namespace: &Namespace) -> Result<Rules> {
    let context = RequestContext {
        verb: "create",
        resource: "selfsubjectrulesreviews.authorization.k8s.io",
        name: None,
        namespace: namespace.as_str(),
    };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": namespace.as_str() },
    });
    let request = Request::new(SelfSubjectRulesReview::url_path(&(), None))
        .create(&PostParams::default(), review.to_string().into_bytes());
    let answer =
        http.send(request, &context).await.map_err(|failure| failure.into_error(&context))?;
    let rules = answer["status"]["resourceRules"].as_array().cloned().unwrap_or_default();
    Ok(Rules { rules, incomplete: answer["status"]["incomplete"].as_bool().unwrap_or(false) })
}

impl Rules {
    fn allow(&self, verb: &str) -> bool {
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
