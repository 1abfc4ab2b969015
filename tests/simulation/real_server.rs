//! Compares the simulated API server with a real kube-apiserver: same requests, same responses, same events.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt as _;
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use leasehold_test_support::{ADMIN, ControlPlane, Rng};

use crate::{
    api::{self, Request},
    scripted_request::{NAMES, SELECTIONS, ScriptedRequest},
    store::Store,
    watches,
};

/// How many requests each script has.
const REQUESTS: u64 = 150;

/// One of the two servers, and each state of each object that it has shown.
struct TestedServer {
    kind: ServerKind,
    shown: BTreeMap<&'static str, Vec<Value>>,
    highest: u64,
}

enum ServerKind {
    Simulated(Store),
    Real(Client, String),
}

/// The parts of a response that both servers must agree on.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: u16,
    reason: String,
    /// The objects without the fields that the server sets, and whether each version is new.
    objects: Vec<(Value, VersionOrder)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum VersionOrder {
    /// A version that is not above all earlier ones.
    Old,
    /// A version above all earlier ones.
    New,
}

/// `LEASEHOLD_SEED_FROM=n` runs other scripts.
#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_server_answers_like_a_real_one() {
    let plane = ControlPlane::shared().await;
    let from = crate::from_env("LEASEHOLD_SEED_FROM").unwrap_or(0);
    let mut statuses = BTreeMap::new();
    for seed in from..from + 3 {
        let mut rng = Rng::new(seed);
        let mut servers = [
            TestedServer::new(ServerKind::Simulated(Store::new())),
            TestedServer::new(ServerKind::Real(plane.client(ADMIN), plane.namespace().await)),
        ];
        let starts = [servers[0].version().await, servers[1].version().await];
        for number in 0..REQUESTS {
            let scripted = ScriptedRequest::random(&mut rng, number);
            let simulated = servers[0].send(&scripted).await;
            let real = servers[1].send(&scripted).await;
            assert_eq!(
                simulated, real,
                "seed {seed}, request {number}, simulated and real: {scripted:?}"
            );
            *statuses.entry(real.status).or_insert(0) += 1;
        }
        for selection in SELECTIONS {
            let simulated = servers[0].events(selection, starts[0]).await;
            let real = servers[1].events(selection, starts[1]).await;
            assert_eq!(simulated, real, "seed {seed}, the events of {selection:?}");
            assert!(real.len() > 3, "{real:?}");
        }
    }
    println!("{statuses:?}");
    let seen_statuses: Vec<u16> = statuses.into_keys().collect();
    assert_eq!(
        seen_statuses,
        [200, 201, 404, 409, 422],
        "every status must occur, or the comparison proves nothing"
    );
}

/// Patches of a Lease as it is stored.
fn patches(lease: &Value) -> Vec<Value> {
    let (version, uid) = (&lease["metadata"]["resourceVersion"], &lease["metadata"]["uid"]);
    let path = "/metadata/annotations/example.com~1queue";
    let test = |path: &str, value: &Value| json!({ "op": "test", "path": path, "value": value });
    let set = |op: &str, path: &str, value: &str| json!({ "op": op, "path": path, "value": value });
    vec![
        json!({ "metadata": { "annotations": { "example.com/queue": "1" } } }),
        json!({ "metadata": { "annotations": { "example.com/queue": "1" } } }),
        json!({ "metadata": { "resourceVersion": version }, "spec": { "holderIdentity": "a" } }),
        json!({ "metadata": { "resourceVersion": version, "uid": uid }, "spec": { "leaseTransitions": 7 } }),
        json!({ "metadata": { "resourceVersion": "1" }, "spec": { "holderIdentity": "b" } }),
        json!({ "metadata": { "uid": "other" }, "spec": { "holderIdentity": "b" } }),
        json!({ "spec": { "leaseDurationSeconds": 0 } }),
        json!({ "metadata": { "annotations": { "example.com/queue": null } } }),
        // Without any annotation, there is no object to add one to.
        json!([set("add", path, "2"), test("/metadata/uid", uid)]),
        json!({ "metadata": { "annotations": { "example.com/queue": "1" } } }),
        json!([set("add", path, "2"), test("/metadata/uid", uid)]),
        json!([test(path, &"2".into()), set("replace", path, "3")]),
        json!([test(path, &"2".into()), set("replace", path, "4")]),
        json!([test("/metadata/resourceVersion", version), set("replace", path, "5")]),
        json!([test("/metadata/resourceVersion", &"1".into()), set("replace", path, "6")]),
        json!([set("replace", "/metadata/resourceVersion", "1")]),
        json!([set("replace", "/metadata/annotations/none", "7")]),
        json!([{ "op": "remove", "path": "/metadata/annotations/none" }]),
        json!([{ "op": "remove", "path": "/metadata/annotations/none" }]),
        json!([{ "op": "remove", "path": path }]),
        json!([set("add", "/spec/holderIdentity", "c")]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_server_patches_like_a_real_one() {
    let plane = ControlPlane::shared().await;
    let mut servers = [
        ServerKind::Simulated(Store::new()),
        ServerKind::Real(plane.client(ADMIN), plane.namespace().await),
    ];
    let request = |verb, body| Request { verb, name: "a".into(), query: BTreeMap::new(), body };
    let mut all = Vec::new();
    for server in &mut servers {
        let mut seen = vec![server.carry_out(&request("patch", json!({ "spec": {} }))).await.0];
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "a" },
            "spec": { "holderIdentity": "x" },
        });
        server.carry_out(&request("create", lease)).await;
        let mut states = Vec::new();
        for at in 0..patches(&Value::Null).len() {
            let before = server.carry_out(&request("get", Value::Null)).await.1;
            let patch = patches(&before).swap_remove(at);
            seen.push(server.carry_out(&request("patch", patch)).await.0);
            let after = server.carry_out(&request("get", Value::Null)).await.1;
            let annotation = after["metadata"]["annotations"]["example.com/queue"].clone();
            states.push((number(&after) > number(&before), annotation, client_fields(&after)));
        }
        all.push((seen, states));
    }
    assert_eq!(all[0].0, all[1].0, "the status of each patch");
    for (at, (simulated, real)) in all[0].1.iter().zip(&all[1].1).enumerate() {
        assert_eq!(simulated, real, "after patch {at}");
    }
    assert!([200, 404, 409, 422].iter().all(|status| all[1].0.contains(status)), "{:?}", all[1].0);
}

/// The real server is restarted, because its watch cache would still serve the versions that etcd has compacted.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_compacted_version_ends_like_on_a_real_server() {
    let plane = ControlPlane::start().await;
    if !plane.own() {
        return;
    }
    let mut servers = [
        TestedServer::new(ServerKind::Simulated(Store::new())),
        TestedServer::new(ServerKind::Real(plane.client(ADMIN), plane.namespace().await)),
    ];
    let starts = [servers[0].version().await, servers[1].version().await];
    let mut rng = Rng::new(0);
    for number in 0..20 {
        let scripted = ScriptedRequest::random(&mut rng, number);
        assert_eq!(
            servers[0].send(&scripted).await,
            servers[1].send(&scripted).await,
            "{scripted:?}"
        );
    }

    for tested in &mut servers {
        let version = tested.version().await;
        match &mut tested.kind {
            ServerKind::Simulated(store) => store.compact(0),
            ServerKind::Real(client, _) => {
                compact_and_restart(&plane, version).await;
                *client = plane.client(ADMIN);
            }
        }
    }

    let versions_after = [servers[0].version().await, servers[1].version().await];
    for selection in SELECTIONS {
        let simulated = servers[0].events(selection, starts[0]).await;
        let real = servers[1].events(selection, starts[1]).await;
        assert_eq!(simulated, real, "{selection:?}");
        let expired =
            json!({ "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired" });
        assert_eq!(real, [("ERROR".to_owned(), expired)], "{selection:?}");
        for (tested, end) in servers.iter_mut().zip(versions_after) {
            assert_eq!(
                tested.events(selection, end).await,
                [],
                "{selection:?} from the current version"
            );
        }
    }
}

/// Compacts etcd up to `version`, and restarts the server because that clears its watch cache.
async fn compact_and_restart(plane: &ControlPlane, version: u64) {
    let etcd = plane.etcd().parse().expect("an address");
    let etcd = Client::try_from(kube::Config::new(etcd)).expect("a client");
    let compaction = json!({ "revision": version.to_string(), "physical": true });
    let request = http::Request::post("/v3/kv/compaction")
        .body(compaction.to_string().into_bytes())
        .expect("a request");
    etcd.request_text(request).await.expect("compacted");
    plane.restart_apiserver().await;
}

impl TestedServer {
    fn new(kind: ServerKind) -> Self {
        Self { kind, shown: BTreeMap::new(), highest: 0 }
    }

    async fn send(&mut self, scripted: &ScriptedRequest) -> Outcome {
        let name = scripted.name();
        let request = scripted.request(self.shown.get(name).map_or(&[], Vec::as_slice));
        let (status, answer) = self.kind.carry_out(&request).await;
        let objects = match answer["kind"].as_str() {
            Some("Lease") => vec![answer.clone()],
            Some("LeaseList") => answer["items"].as_array().cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut seen = Vec::new();
        for object in objects {
            let number = number(&object);
            let version = if number > self.highest { VersionOrder::New } else { VersionOrder::Old };
            seen.push((number, (client_fields(&object), version)));
            let named =
                NAMES.iter().find(|name| object["metadata"]["name"] == **name).expect("asked for");
            let shown = self.shown.entry(named).or_default();
            // Keep only newer states: a list repeats known ones.
            if shown.last().is_none_or(|last| self::number(last) < number) {
                shown.push(object);
            }
        }
        self.highest = seen.iter().map(|(number, _)| *number).max().unwrap_or(0).max(self.highest);
        let reason = if status < 300 { "" } else { answer["reason"].as_str().unwrap_or_default() };
        let objects = seen.into_iter().map(|(_, seen)| seen).collect();
        Outcome { status, reason: reason.into(), objects }
    }

    /// The resource version of the whole collection.
    async fn version(&mut self) -> u64 {
        let list = ScriptedRequest::List(None).request(&[]);
        number(&self.kind.carry_out(&list).await.1)
    }

    /// The events of a watch from `start` to now. Asserts that their versions grow.
    async fn events(
        &mut self,
        selection: Option<(&str, &str)>,
        start: u64,
    ) -> Vec<(String, Value)> {
        let query = selection.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let request = Request {
            verb: "watch",
            name: String::new(),
            query: query.collect(),
            body: Value::Null,
        };
        let events: Vec<Value> = match &self.kind {
            ServerKind::Simulated(store) => match store.after(start) {
                Some(commits) => commits
                    .filter_map(|commit| api::watch_line(&request, commit))
                    .map(|line| parsed(&line))
                    .collect(),
                None => vec![parsed(&watches::expired_line())],
            },
            ServerKind::Real(client, namespace) => {
                watched(client, namespace, &request, start).await
            }
        };
        let mut last = start;
        let mut seen = Vec::new();
        for event in events {
            let (kind, object) = (event["type"].as_str().unwrap_or_default(), &event["object"]);
            if kind == "ERROR" {
                seen.push((kind.to_owned(), without_message(object)));
                continue;
            }
            let number = number(object);
            assert!(number > last, "{number} after {last}");
            last = number;
            seen.push((kind.to_owned(), client_fields(object)));
        }
        seen
    }
}

impl ServerKind {
    async fn carry_out(&mut self, request: &Request) -> (u16, Value) {
        match self {
            Self::Simulated(store) => {
                let answer = api::carry_out(store, 0, &mut request.clone());
                (answer.status, serde_json::from_slice(&answer.body).expect("an object"))
            }
            Self::Real(client, namespace) => send(client, namespace, request).await,
        }
    }
}

async fn send(client: &Client, namespace: &str, request: &Request) -> (u16, Value) {
    let method = match request.verb {
        "create" => "POST",
        "update" => "PUT",
        "delete" => "DELETE",
        "patch" => "PATCH",
        _ => "GET",
    };
    let named = !matches!(request.verb, "create" | "list");
    let path = path(namespace, named.then_some(request.name.as_str())) + &query(request);
    let body = if request.body.is_null() { String::new() } else { request.body.to_string() };
    let content_type = match (request.verb, &request.body) {
        ("patch", Value::Array(_)) => "application/json-patch+json",
        ("patch", _) => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(Body::from(body.into_bytes()))
        .expect("a request");
    let answer = client.send(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).expect("an object"))
}

async fn watched(client: &Client, namespace: &str, request: &Request, start: u64) -> Vec<Value> {
    let query = query(request);
    let query = if query.is_empty() { "?".to_owned() } else { query + "&" };
    let path = format!(
        "{}{query}watch=true&timeoutSeconds=1&resourceVersion={start}",
        path(namespace, None)
    );
    let answer = client.send(http::Request::get(path).body(Body::empty()).expect("a request"));
    let answer = answer.await.expect("an answer");
    assert_eq!(
        answer.status(),
        200,
        "a watch starts with 200, even if its first event is an error"
    );
    let body = answer.into_body().into_data_stream();
    let read = body.map_ok(|bytes| bytes.to_vec()).try_concat();
    let text = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("it ends")
        .expect("a body");
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(parsed).collect()
}

fn parsed(line: &[u8]) -> Value {
    serde_json::from_slice(line).expect("an event")
}

fn path(namespace: &str, name: Option<&str>) -> String {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    name.map_or_else(|| leases.clone(), |name| format!("{leases}/{name}"))
}

fn query(request: &Request) -> String {
    let pairs =
        request.query.iter().map(|(key, value)| format!("{key}={}", value.replace('=', "%3D")));
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn number(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a version")
}

/// The fields that a client sets, without those that the server adds.
fn client_fields(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let labels = metadata["labels"].as_object().filter(|labels| !labels.is_empty());
    json!({ "name": metadata["name"], "labels": labels, "spec": object["spec"] })
}

/// A status without its message.
fn without_message(status: &Value) -> Value {
    json!({ "kind": status["kind"], "status": status["status"], "code": status["code"], "reason": status["reason"] })
}
