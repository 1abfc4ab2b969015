//! Answers of an API server: statuses and objects.

use http::Response;
use serde_json::{Value, json};

/// One complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn object(status: u16, object: &Value) -> Self {
        Self { status, headers: Vec::new(), body: object.to_string().into_bytes() }
    }

    /// A `Status` object with this code.
    pub(crate) fn failure(status: u16, reason: &str, message: &str) -> Self {
        Self::detailed(status, reason, message, Value::Null)
    }

    pub(crate) fn detailed(status: u16, reason: &str, message: &str, details: Value) -> Self {
        let mut object = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status,
        });
        if !details.is_null() {
            object["details"] = details;
        }
        Self::object(status, &object)
    }

    /// An answer of a proxy, without a `Status` object.
    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self { status, headers: Vec::new(), body: text.into() }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn gone() -> Self {
        Self::failure(410, "Expired", "too old resource version: 1 (2)")
    }

    pub(crate) fn unavailable() -> Self {
        Self::failure(503, "ServiceUnavailable", "apiserver is shutting down")
    }

    pub(crate) fn timed_out() -> Self {
        Self::failure(504, "Timeout", "request did not complete within the allotted timeout")
    }

    pub(crate) fn leader_changed() -> Self {
        Self::failure(500, "", "etcdserver: leader changed")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn forbidden(verb: &str, name: &str) -> Self {
        let message = format!(
            "leases.coordination.k8s.io \"{name}\" is forbidden: User \"u\" cannot {verb} resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"default\""
        );
        let details = json!({ "name": name, "group": "coordination.k8s.io", "kind": "leases" });
        Self::detailed(403, "Forbidden", &message, details)
    }

    pub(crate) fn conflict(name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on leases.coordination.k8s.io \"{name}\": the object has been modified; please apply your changes to the latest version and try again"
        );
        let details = json!({ "name": name, "group": "coordination.k8s.io", "kind": "leases" });
        Self::detailed(409, "Conflict", &message, details)
    }

    pub(crate) fn already_exists(name: &str) -> Self {
        let message = format!("leases.coordination.k8s.io \"{name}\" already exists");
        let details = json!({ "name": name, "group": "coordination.k8s.io", "kind": "leases" });
        Self::detailed(409, "AlreadyExists", &message, details)
    }

    pub(crate) fn not_found(name: &str) -> Self {
        let message = format!("leases.coordination.k8s.io \"{name}\" not found");
        let details = json!({ "name": name, "group": "coordination.k8s.io", "kind": "leases" });
        Self::detailed(404, "NotFound", &message, details)
    }

    pub(crate) fn no_namespace(namespace: &str) -> Self {
        let message = format!("namespaces \"{namespace}\" not found");
        let details = json!({ "name": namespace, "kind": "namespaces" });
        Self::detailed(404, "NotFound", &message, details)
    }

    pub(crate) fn terminating(namespace: &str, name: &str) -> Self {
        let message = format!(
            "leases.coordination.k8s.io \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        );
        let causes = json!([{ "reason": "NamespaceTerminating", "message": "namespace is being terminated", "field": "metadata.namespace" }]);
        let details = json!({ "name": name, "group": "coordination.k8s.io", "kind": "leases", "causes": causes });
        Self::detailed(403, "Forbidden", &message, details)
    }

    pub(crate) fn response<B>(&self, body: B) -> Response<B> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response.header("content-type", "application/json").body(body).expect("a response")
    }
}
