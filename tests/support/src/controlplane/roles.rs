//! Permissions of users in a namespace.

use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

/// Permits some verbs on one resource, for all objects or for named ones.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    group: &'a str,
    resource: &'a str,
    verbs: &'a [&'a str],
    names: &'a [&'a str],
}

impl<'a> Rule<'a> {
    /// Permits `verbs` on Leases.
    pub fn leases(verbs: &'a [&'a str]) -> Self {
        Self::new("coordination.k8s.io", "leases", verbs)
    }

    /// Permits `verbs` on `resource` of the API group `group`; "" is the core group.
    pub fn new(group: &'a str, resource: &'a str, verbs: &'a [&'a str]) -> Self {
        Self { group, resource, verbs, names: &[] }
    }

    /// Restricts the rule to objects with these names. RBAC cannot restrict `create` in this way.
    #[must_use]
    pub fn named(self, names: &'a [&'a str]) -> Self {
        Self { names, ..self }
    }

    fn role(&self) -> Value {
        json!({
            "apiGroups": [self.group], "resources": [self.resource],
            "verbs": self.verbs, "resourceNames": self.names,
        })
    }

    /// Each single permission, as a `SubjectAccessReview` needs it.
    fn permissions(self, namespace: &str) -> Vec<Value> {
        let names = if self.names.is_empty() { &[""] } else { self.names };
        let mut permissions = Vec::new();
        for verb in self.verbs {
            permissions.extend(names.iter().map(|name| {
                json!({
                    "group": self.group, "resource": self.resource,
                    "verb": verb, "name": name, "namespace": namespace,
                })
            }));
        }
        permissions
    }
}

/// Binds a new role, and waits until the server applies it.
pub(super) async fn allow(admin: &Client, user: &str, namespace: &str, rules: &[Rule<'_>]) {
    let name = format!("{user}-{}", uuid::Uuid::new_v4().simple());
    let group = "rbac.authorization.k8s.io";
    let permitted: Vec<_> = rules.iter().map(Rule::role).collect();
    let role = json!({ "metadata": { "name": name }, "rules": permitted });
    let binding = json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": group, "kind": "Role", "name": name },
        "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
    });
    let role: Role = serde_json::from_value(role).expect("a role");
    let binding: RoleBinding = serde_json::from_value(binding).expect("a binding");
    let api = Api::namespaced(admin.clone(), namespace);
    api.create(&PostParams::default(), &role).await.expect("role created");
    let api = Api::namespaced(admin.clone(), namespace);
    api.create(&PostParams::default(), &binding).await.expect("binding created");
    for permission in rules.iter().flat_map(|rule| rule.permissions(namespace)) {
        in_force(admin, user, &permission).await;
    }
}

/// Waits until a permission is in force. The authorizer learns of new roles through a watch, so with a delay.
async fn in_force(admin: &Client, user: &str, permission: &Value) {
    let review = json!({ "spec": { "user": user, "resourceAttributes": permission } });
    let review: SubjectAccessReview = serde_json::from_value(review).expect("a review");
    let reviews: Api<SubjectAccessReview> = Api::all(admin.clone());
    let begun = Instant::now();
    loop {
        let answer = reviews.create(&PostParams::default(), &review).await.expect("an answer");
        if answer.status.is_some_and(|status| status.allowed) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{user} is not allowed {permission}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
