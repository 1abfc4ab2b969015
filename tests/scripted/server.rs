//! The store of the API server, and how it handles one request, as measured on a real server.

use std::{collections::BTreeMap, time::Duration};

use leasehold_test_support::patch;
use serde_json::{Value, json};

use super::{answer::Answer, script::Edit};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`; `review` for a `SelfSubjectRulesReview`.
    pub(crate) verb: &'static str,
    pub(crate) namespace: String,
    /// The name of the object; for a list or a watch, the name that it selects.
    pub(crate) name: String,
    /// The client that sent it.
    pub(crate) by: String,
    /// When it was sent, on the clock of the cluster.
    pub(crate) at: Duration,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.verb, "create" | "update" | "patch" | "delete")
    }
}

/// A change of the store.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) at: Duration,
    pub(crate) by: String,
    pub(crate) number: u64,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

impl Commit {
    pub(crate) fn event(&self) -> Value {
        let mut object = self.after.clone().or_else(|| self.before.clone()).unwrap_or_default();
        object["metadata"]["resourceVersion"] = self.number.to_string().into();
        let kind = match (&self.before, &self.after) {
            (None, _) => "ADDED",
            (_, Some(_)) => "MODIFIED",
            (_, None) => "DELETED",
        };
        json!({ "type": kind, "object": object })
    }
}

/// The phase of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Active,
    Terminating,
}

/// The store. One counter gives all versions, as in etcd.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) leases: BTreeMap<(String, String), Value>,
    pub(crate) namespaces: BTreeMap<String, Phase>,
    pub(crate) version: u64,
    uids: u64,
    pub(crate) commits: Vec<Commit>,
    /// Verbs on Leases that are forbidden to all clients.
    pub(crate) denied: Vec<&'static str>,
    /// The rest of each list that has further pages, by the token of the next one.
    pages: BTreeMap<String, (u64, Vec<Value>)>,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            leases: BTreeMap::new(),
            namespaces: [("default".to_owned(), Phase::Active)].into(),
            version: 1000,
            uids: 0,
            commits: Vec::new(),
            denied: Vec::new(),
            pages: BTreeMap::new(),
        }
    }
}

impl Objects {
    /// Carries out any request except a watch; `webhook` changes a written object.
    pub(crate) fn apply(
        &mut self,
        at: Duration,
        request: &Request,
        webhook: Option<&Edit>,
    ) -> Answer {
        if self.denied.contains(&request.verb) {
            return Answer::forbidden(request.verb, &request.name);
        }
        let admitted = || {
            let mut object = request.body.clone();
            if let Some(webhook) = webhook {
                webhook(&mut object);
            }
            object
        };
        match request.verb {
            "get" => match self.leases.get(&place(request)) {
                Some(lease) => Answer::object(200, lease),
                None => Answer::not_found(&request.name),
            },
            "list" => self.list(request),
            "create" => self.create(at, request, admitted()),
            "update" => self.update(at, request, admitted()),
            "patch" => self.patch(at, request, webhook),
            "delete" => self.delete(at, request),
            "review" => self.review(),
            _ => Answer::failure(405, "MethodNotAllowed", "the server does not allow this method"),
        }
    }

    fn create(&mut self, at: Duration, request: &Request, object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match self.namespaces.get(&request.namespace) {
            None => return Answer::no_namespace(&request.namespace),
            Some(Phase::Terminating) => return Answer::terminating(&request.namespace, &name),
            Some(Phase::Active) => {}
        }
        if let Some(invalid) = invalid(&object) {
            return invalid;
        }
        if self.leases.contains_key(&(request.namespace.clone(), name.clone())) {
            return Answer::already_exists(&name);
        }
        if request.query.contains_key("dryRun") {
            return Answer::object(201, &object);
        }
        Answer::object(201, &self.store(at, &request.by, &request.namespace, object))
    }

    fn update(&mut self, at: Duration, request: &Request, object: Value) -> Answer {
        let given =
            |field: &str| object["metadata"][field].as_str().filter(|given| !given.is_empty());
        let Some(old) = self.leases.get(&place(request)) else {
            if given("uid").is_some() {
                return Answer::conflict(&request.name);
            }
            // A PUT creates a missing Lease, whichever version it names.
            return Answer::object(201, &self.store(at, &request.by, &request.namespace, object));
        };
        let differs = |field| {
            given(field).is_some_and(|given| Some(given) != old["metadata"][field].as_str())
        };
        if differs("uid") {
            return Answer::conflict(&request.name);
        }
        if given("resourceVersion").is_none() {
            return Answer::failure(
                422,
                "Invalid",
                "metadata.resourceVersion: must be specified for an update",
            );
        }
        if differs("resourceVersion") {
            return Answer::conflict(&request.name);
        }
        if let Some(invalid) = invalid(&object) {
            return invalid;
        }
        let mut same = object.clone();
        same["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        if same == *old {
            return Answer::object(200, old);
        }
        Answer::object(200, &self.store(at, &request.by, &request.namespace, object))
    }

    fn patch(&mut self, at: Duration, request: &Request, webhook: Option<&Edit>) -> Answer {
        let Some(old) = self.leases.get(&place(request)) else {
            return Answer::not_found(&request.name);
        };
        let mut object = match patch::apply(old, &request.body) {
            Ok(object) => object,
            Err((status, reason)) => {
                return Answer::failure(status, reason, "the patch was not carried out");
            }
        };
        if let Some(webhook) = webhook {
            webhook(&mut object);
        }
        self.update(at, request, object)
    }

    fn delete(&mut self, at: Duration, request: &Request) -> Answer {
        let Some(old) = self.leases.get(&place(request)) else {
            return Answer::not_found(&request.name);
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = request.body["preconditions"][field].as_str();
            if wanted.is_some() && wanted != old["metadata"][field].as_str() {
                return Answer::conflict(&request.name);
            }
        }
        self.remove(at, &request.by, &place(request));
        Answer::object(
            200,
            &json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }),
        )
    }

    /// A page. All pages of one list show the state at its first one, as those of a real server do.
    fn list(&mut self, request: &Request) -> Answer {
        let (version, mut items) = match request.query.get("continue") {
            None => (self.version, self.selected(request)),
            Some(token) => match self.pages.get(token).cloned() {
                None => return Answer::gone(),
                Some(rest) => rest,
            },
        };
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        let limit = request.query.get("limit").and_then(|limit| limit.parse().ok());
        if let Some(limit) = limit.filter(|&limit| limit < items.len()) {
            let rest = items.split_off(limit);
            let token = format!("{version}-{}", rest.len());
            metadata["continue"] = token.clone().into();
            self.pages.insert(token, (version, rest));
        }
        Answer::object(
            200,
            &json!({
                "kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1",
                "metadata": metadata, "items": items,
            }),
        )
    }

    fn selected(&self, request: &Request) -> Vec<Value> {
        let matches = |(place, lease): &(&(String, String), &Value)| {
            place.0 == request.namespace && selects(request, lease)
        };
        self.leases.iter().filter(matches).map(|(_, lease)| lease.clone()).collect()
    }

    fn review(&self) -> Answer {
        let verbs: Vec<&str> = ["get", "list", "watch", "create", "update", "patch", "delete"]
            .into_iter()
            .filter(|verb| !self.denied.contains(verb))
            .collect();
        let rule = json!({ "verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"] });
        Answer::object(
            201,
            &json!({ "status": { "resourceRules": [rule], "nonResourceRules": [], "incomplete": false } }),
        )
    }

    /// Stores `object` as the next version, without validation.
    pub(crate) fn store(
        &mut self,
        at: Duration,
        by: &str,
        namespace: &str,
        mut object: Value,
    ) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let place = (namespace.to_owned(), name);
        let before = self.leases.get(&place).cloned();
        self.version += 1;
        let uid = if let Some(before) = &before {
            before["metadata"]["uid"].clone()
        } else {
            self.uids += 1;
            format!("uid-{}", self.uids).into()
        };
        object["metadata"]["namespace"] = namespace.into();
        object["metadata"]["uid"] = uid;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.leases.insert(place, object.clone());
        self.commits.push(Commit {
            at,
            by: by.into(),
            number: self.version,
            before,
            after: Some(object.clone()),
        });
        object
    }

    pub(crate) fn remove(&mut self, at: Duration, by: &str, place: &(String, String)) {
        let Some(before) = self.leases.remove(place) else { return };
        self.version += 1;
        self.commits.push(Commit {
            at,
            by: by.into(),
            number: self.version,
            before: Some(before),
            after: None,
        });
    }
}

fn place(request: &Request) -> (String, String) {
    (request.namespace.clone(), request.name.clone())
}

/// Validates a Lease; the error if it is invalid.
fn invalid(lease: &Value) -> Option<Answer> {
    let spec = &lease["spec"];
    let bad = spec["leaseDurationSeconds"].as_i64().is_some_and(|n| n < 1)
        || spec["leaseTransitions"].as_i64().is_some_and(|n| n < 0)
        || ["leaseDurationSeconds", "leaseTransitions"]
            .iter()
            .any(|field| spec[field].as_i64().is_some_and(|n| i32::try_from(n).is_err()));
    bad.then(|| Answer::failure(422, "Invalid", "Lease.coordination.k8s.io is invalid: spec"))
}

/// Whether a list or a watch selects this object.
pub(crate) fn selects(request: &Request, lease: &Value) -> bool {
    let named = request.query.get("fieldSelector").and_then(|selector| {
        Some(selector.strip_prefix("metadata.name=")? == lease["metadata"]["name"].as_str()?)
    });
    let labels = &lease["metadata"]["labels"];
    let labelled =
        request.query.get("labelSelector").map(|selector| match selector.split_once('=') {
            Some((key, value)) => labels[key] == value,
            None => labels.get(selector).is_some(),
        });
    named.unwrap_or(true) && labelled.unwrap_or(true)
}
