//! How the simulated API server handles one request. Each rule was measured on a real API server.

use std::{collections::BTreeMap, mem, sync::Arc};

use bytes::Bytes;
use leasehold_test_support::patch;
use serde_json::{Value, json};

use crate::store::{Commit, Object, Store};

/// A request as the client sent it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The Kubernetes verb: `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub(crate) verb: &'static str,
    pub(crate) name: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Request {
    /// Whether this request renews a tenure.
    pub(crate) fn is_renewal(&self) -> bool {
        let annotation = self.body["metadata"]["annotations"]["leasehold.dev/tenure"].as_str();
        self.verb == "update"
            && annotation.is_some_and(|annotation| annotation.contains("\"token\""))
    }

    /// Whether the request names the version and the uid of the object that it changes, or what stands for them.
    pub(crate) fn is_conditional(&self) -> bool {
        if self.verb == "patch" {
            return self.is_conditional_patch();
        }
        let part = if self.verb == "delete" { "preconditions" } else { "metadata" };
        let given = &self.body[part];
        given["uid"].is_string() && given["resourceVersion"].is_string()
    }

    /// A patch of a lock tests the object, its holder and its turn. One that only adds claims tests the object and its
    /// epoch.
    fn is_conditional_patch(&self) -> bool {
        const JOINED: &str = "/metadata/annotations/queue.leasehold.dev~1";
        let operations = self.body.as_array().map(Vec::as_slice).unwrap_or_default();
        let (tests, changes): (Vec<_>, Vec<_>) =
            operations.iter().partition(|operation| operation["op"] == "test");
        let tests = |path: &str| tests.iter().any(|test| test["path"] == path);
        let joins = changes.iter().all(|change| {
            let path = change["path"].as_str().unwrap_or_default();
            change["op"] == "add" && path.starts_with(JOINED)
        });
        let state = if joins {
            tests("/metadata/annotations/leasehold.dev~1epoch")
        } else {
            tests("/metadata/annotations/leasehold.dev~1turn") && tests("/spec/holderIdentity")
        };
        state && tests("/metadata/uid")
    }

    /// The selectors of a list or a watch, as one text.
    pub(crate) fn selection(&self) -> String {
        let given = |key: &str| self.query.get(key).cloned().unwrap_or_default();
        given("fieldSelector") + &given("labelSelector")
    }

    /// Whether a list or a watch selects this object.
    pub(crate) fn selects(&self, lease: &Value) -> bool {
        let metadata = &lease["metadata"];
        let named = self.query.get("fieldSelector").is_none_or(|selector| {
            selector.strip_prefix("metadata.name=") == metadata["name"].as_str()
        });
        let labels = &metadata["labels"];
        let labelled =
            self.query.get("labelSelector").is_none_or(|selector| match selector.split_once('=') {
                Some((key, value)) => labels[key] == value,
                None => labels.get(selector).is_some(),
            });
        named && labelled
    }
}

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn object(status: u16, object: &Object) -> Self {
        Self::new(status, object.text())
    }

    fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, retry_after: None, body: body.into() }
    }

    pub(crate) fn failure(status: u16, reason: &str, name: &str) -> Self {
        let kind = "leases";
        let given = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
            "reason": reason, "message": format!("{reason}: leases.coordination.k8s.io \"{name}\""),
            "details": { "name": name, "group": "coordination.k8s.io", "kind": kind },
        });
        Self::new(status, given.to_string())
    }
}

/// Handles every verb except `watch`. A stored object is moved out of the request.
pub(crate) fn carry_out(store: &mut Store, at: u64, request: &mut Request) -> Answer {
    match request.verb {
        "get" => match store.lease(&request.name) {
            Some(lease) => Answer::object(200, lease),
            None => Answer::failure(404, "NotFound", &request.name),
        },
        "list" => list(store, request),
        "create" => create(store, at, request),
        "update" => update(store, at, request),
        "delete" => delete(store, at, request),
        "patch" => patched(store, at, request),
        _ => Answer::failure(405, "MethodNotAllowed", &request.name),
    }
}

/// The line that a watch sends for a commit; `None` if the watch never selected the object.
///
/// An object that starts or stops matching the selectors looks created or deleted to the watch.
pub(crate) fn watch_line(request: &Request, commit: &Commit) -> Option<Bytes> {
    let selected = |object: &Option<Arc<Object>>| {
        object.as_ref().is_some_and(|object| request.selects(object))
    };
    let (before, after) = (selected(&commit.before), selected(&commit.after));
    if !before && !after {
        return None;
    }
    if before == commit.before.is_some() && after == commit.after.is_some() {
        return Some(commit.line());
    }
    Some(if after { commit.added_line() } else { commit.deleted_line() })
}

/// Lists the objects that the request selects.
pub(crate) fn list(store: &Store, request: &Request) -> Answer {
    let leases = store.leases().filter(|(_, lease)| request.selects(lease));
    let items: Vec<Bytes> = leases.map(|(_, lease)| lease.text()).collect();
    let head = br#"{"apiVersion":"coordination.k8s.io/v1","kind":"LeaseList","items":["#;
    let version = store.version;
    let tail = format!(r#"],"metadata":{{"resourceVersion":"{version}"}}}}"#);
    Answer::new(200, [&head[..], &items.join(&b','), tail.as_bytes()].concat())
}

fn create(store: &mut Store, at: u64, request: &mut Request) -> Answer {
    if let Some(invalid) = invalid(&request.body) {
        return invalid;
    }
    let name = request.body["metadata"]["name"].as_str().unwrap_or_default();
    if store.lease(name).is_some() {
        return Answer::failure(409, "AlreadyExists", name);
    }
    store_object(store, at, request, 201)
}

fn update(store: &mut Store, at: u64, request: &mut Request) -> Answer {
    let given =
        |field: &str| request.body["metadata"][field].as_str().filter(|given| !given.is_empty());
    let Some(old) = store.lease(&request.name).map(Arc::clone) else {
        if given("uid").is_some() {
            return Answer::failure(409, "Conflict", &request.name);
        }
        // For Leases, an update of a missing object creates it, whatever version the request names.
        let invalid = invalid(&request.body);
        return invalid.unwrap_or_else(|| store_object(store, at, request, 201));
    };
    for field in ["uid", "resourceVersion"] {
        let current = old["metadata"][field].as_str();
        match given(field) {
            None if field == "resourceVersion" => {
                return Answer::failure(422, "Invalid", &request.name);
            }
            Some(given) if Some(given) != current => {
                return Answer::failure(409, "Conflict", &request.name);
            }
            _ => {}
        }
    }
    if let Some(invalid) = invalid(&request.body) {
        return invalid;
    }
    if request.body["spec"] == old["spec"] {
        let mut same = request.body.clone();
        same["metadata"]["uid"] = old["metadata"]["uid"].clone();
        if same == **old {
            return Answer::object(200, &old);
        }
    }
    store_object(store, at, request, 200)
}

/// A patch needs no version. If it states one, that must be the present one.
fn patched(store: &mut Store, at: u64, request: &mut Request) -> Answer {
    let name = request.name.as_str();
    let Some(old) = store.lease(name).map(Arc::clone) else {
        return Answer::failure(404, "NotFound", name);
    };
    let new = match patch::apply(&old, &request.body) {
        Ok(new) => without_empty_maps(new),
        Err((status, reason)) => return Answer::failure(status, reason, name),
    };
    if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
        return Answer::failure(409, "Conflict", name);
    }
    let same = |field: &str| new["metadata"][field] == old["metadata"][field];
    if !same("uid") || !same("name") {
        return Answer::failure(422, "Invalid", name);
    }
    if let Some(invalid) = invalid(&new) {
        return invalid;
    }
    if new == **old {
        return Answer::object(200, &old);
    }
    request.body = new;
    store_object(store, at, request, 200)
}

/// The object as it is stored: a map without content is left out.
fn without_empty_maps(mut lease: Value) -> Value {
    for field in ["labels", "annotations"] {
        let metadata = lease["metadata"].as_object_mut();
        let is_empty = |map: &Value| map.as_object().is_some_and(serde_json::Map::is_empty);
        if let Some(metadata) =
            metadata.filter(|metadata| metadata.get(field).is_some_and(is_empty))
        {
            metadata.remove(field);
        }
    }
    lease
}

fn store_object(store: &mut Store, at: u64, request: &mut Request, status: u16) -> Answer {
    let commit = store.commit(at, &request.name, Some(mem::take(&mut request.body)));
    Answer::new(status, commit.text())
}

fn delete(store: &mut Store, at: u64, request: &Request) -> Answer {
    let Some(old) = store.lease(&request.name) else {
        return Answer::failure(404, "NotFound", &request.name);
    };
    for field in ["uid", "resourceVersion"] {
        let wanted = request.body["preconditions"][field].as_str();
        if wanted.is_some() && wanted != old["metadata"][field].as_str() {
            return Answer::failure(409, "Conflict", &request.name);
        }
    }
    store.commit(at, &request.name, None);
    let status =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    Answer::new(200, status.to_string())
}

/// Validates a Lease. Returns the error response if the Lease is invalid.
fn invalid(lease: &Value) -> Option<Answer> {
    let out_of_range = |field: &str, min: i64| {
        lease["spec"][field].as_i64().is_some_and(|n| n < min || i32::try_from(n).is_err())
    };
    let is_invalid = out_of_range("leaseDurationSeconds", 1) || out_of_range("leaseTransitions", 0);
    is_invalid.then(|| Answer::failure(422, "Invalid", ""))
}
