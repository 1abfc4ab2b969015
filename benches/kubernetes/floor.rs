//! Floors of what sessions do: the same requests alone, of the same bodies, as a plain client sends them.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use http::{Method, Request, header::CONTENT_TYPE};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{WatchEvent, WatchParams},
};
use serde_json::{Value, json};

use super::{ADMIN, Bench, millis, now, quantile};

/// As many requests as a session sends at a time.
pub(crate) const IN_FLIGHT: usize = 28;
/// The name of the Lease of a floor, which the counts of requests leave out.
pub(crate) const FLOOR: &str = "floor";

/// A client that sends one request for each call.
#[derive(Clone)]
pub(crate) struct Plain {
    client: Client,
    namespace: String,
}

impl Plain {
    pub(crate) fn new(bench: &Bench, namespace: &str) -> Self {
        Self { client: bench.plane.client(ADMIN), namespace: namespace.into() }
    }

    pub(crate) async fn get(&self, name: &str) -> Value {
        self.send(Method::GET, name, "", String::new()).await
    }

    /// All Leases with this label.
    pub(crate) async fn list(&self, label: &str) -> Vec<Value> {
        let query = format!("?labelSelector={label}");
        let found = self.send(Method::GET, &query, "", String::new()).await;
        found["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) async fn post(&self, lease: &Value) -> Value {
        self.send(Method::POST, "", "application/json", lease.to_string()).await
    }

    pub(crate) async fn put(&self, lease: &Value) -> Value {
        let name = lease["metadata"]["name"].as_str().unwrap();
        self.send(Method::PUT, name, "application/json", lease.to_string()).await
    }

    async fn patch(&self, name: &str, operations: &Value) -> Value {
        let body = operations.to_string();
        self.send(Method::PATCH, name, "application/json-patch+json", body).await
    }

    async fn send(&self, method: Method, name: &str, content: &str, body: String) -> Value {
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
        let path = match name {
            "" => leases,
            query if query.starts_with('?') => leases + query,
            name => format!("{leases}/{name}"),
        };
        let mut request = Request::builder().method(method).uri(path);
        if !content.is_empty() {
            request = request.header(CONTENT_TYPE, content);
        }
        self.client.request(request.body(body.into_bytes()).unwrap()).await.unwrap()
    }
}

/// A Lease as it was sent to be created: without what the server adds.
pub(crate) fn as_created(lease: &Value, name: &str) -> Value {
    let mut created = lease.clone();
    let metadata = created["metadata"].as_object_mut().unwrap();
    for added in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        metadata.remove(added);
    }
    metadata.insert("name".into(), name.into());
    created
}

/// A Lease that the next write stops tracking the field managers of, as the library does with those that it created.
pub(crate) fn untracked(mut lease: Value) -> Value {
    lease["metadata"]["managedFields"] = json!([{}]);
    lease
}

/// Sends so many requests, [`IN_FLIGHT`] at a time. Returns the time of all.
pub(crate) async fn all<T>(requests: impl Iterator<Item = impl Future<Output = T>>) -> Duration {
    let started = now();
    stream::iter(requests).buffer_unordered(IN_FLIGHT).for_each(async |_| ()).await;
    now() - started
}

/// A copy of a Lease that is handed over, forth and back, and one plain watch for each of its two holders: the write of
/// a hand-over and its event alone.
pub(crate) struct HandOver {
    plain: Plain,
    patches: [Value; 2],
    watches: [BoxStream<'static, kube::Result<WatchEvent<Lease>>>; 2],
    turn: usize,
}

impl HandOver {
    /// A floor of the hand-over that changed a Lease from `before` to `after`.
    pub(crate) async fn new(bench: &Bench, namespace: &str, before: &Value, after: &Value) -> Self {
        let plain = Plain::new(bench, namespace);
        let [before, after] = &of_strangers([before, after]);
        let created = plain.post(&as_created(before, FLOOR)).await;
        let stored = plain.put(&untracked(created)).await;
        let uid = &stored["metadata"]["uid"];
        let patches = [change(uid, before, after), change(uid, after, before)];
        let leases: Api<Lease> = Api::namespaced(plain.client.clone(), namespace);
        let version = stored["metadata"]["resourceVersion"].as_str().unwrap();
        let watch = async |from: &Value, to: &Value| {
            let new: Vec<_> =
                keys(to, "labels").difference(&keys(from, "labels")).cloned().collect();
            let [label] = &new[..] else { panic!("no new holder: {from} {to}") };
            let selected = WatchParams::default().labels(label);
            leases.watch(&selected, version).await.unwrap().boxed()
        };
        let watches = [watch(before, after).await, watch(after, before).await];
        Self { plain, patches, watches, turn: 0 }
    }

    /// The time from the write until the watch of the next holder has shown it.
    pub(crate) async fn once(&mut self) -> Duration {
        let side = self.turn % 2;
        self.turn += 1;
        let events = &mut self.watches[side];
        let shown = async {
            // The watch also shows that its holder loses the Lease.
            while !matches!(events.try_next().await.unwrap(), Some(WatchEvent::Added(_))) {}
            now()
        };
        let started = now();
        let (shown, _) = tokio::join!(shown, self.plain.patch(FLOOR, &self.patches[side]));
        shown - started
    }
}

/// Replaces the holders by sessions that do not exist: a session releases a Lease that it does not want to hold.
fn of_strangers(states: [&Value; 2]) -> [Value; 2] {
    let holders = states.map(|state| state["spec"]["holderIdentity"].as_str().unwrap());
    let strangers = ["a", "b"].map(|letter| format!("s15-{}", letter.repeat(20)));
    states.map(|state| {
        let text = state.to_string();
        let text = text.replace(holders[0], &strangers[0]).replace(holders[1], &strangers[1]);
        serde_json::from_str(&text).unwrap()
    })
}

/// The names of the annotations or labels of a Lease.
fn keys(lease: &Value, map: &str) -> BTreeSet<String> {
    lease["metadata"][map].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// The JSON patch from one state to the other, with the tests of the library: the object, its holder and its turn.
fn change(uid: &Value, from: &Value, to: &Value) -> Value {
    let pointer = |map: &str, key: &str| {
        format!("/metadata/{map}/{}", key.replace('~', "~0").replace('/', "~1"))
    };
    let turn = "leasehold.dev/turn";
    let test = |path: &str, value: &Value| json!({ "op": "test", "path": path, "value": value });
    let mut operations = vec![
        test("/metadata/uid", uid),
        test("/spec/holderIdentity", &from["spec"]["holderIdentity"]),
        test(&pointer("annotations", turn), &from["metadata"]["annotations"][turn]),
    ];
    for map in ["annotations", "labels"] {
        let (from, to) = (&from["metadata"][map], &to["metadata"][map]);
        for (key, value) in to.as_object().into_iter().flatten() {
            if from[key] != *value {
                operations.push(json!({ "op": "add", "path": pointer(map, key), "value": value }));
            }
        }
        for (key, _) in from.as_object().into_iter().flatten() {
            if to[key].is_null() {
                operations.push(json!({ "op": "remove", "path": pointer(map, key) }));
            }
        }
    }
    for (field, value) in to["spec"].as_object().into_iter().flatten() {
        let path = format!("/spec/{field}");
        operations.push(json!({ "op": "add", "path": path, "value": value }));
    }
    Value::from(operations)
}

/// Times that were measured in turns with those of their floor.
#[derive(Default)]
pub(crate) struct Turns {
    pub(crate) ours: Vec<Duration>,
    pub(crate) floor: Vec<Duration>,
}

impl Turns {
    /// Prints the medians and their ratio. `floor` names the floor, and `more` is added to it.
    pub(crate) fn report(mut self, bench: &mut Bench, line: &str, floor: &str, more: &str) {
        let (p50, base) = (quantile(&mut self.ours, 0.5), quantile(&mut self.floor, 0.5));
        let ratio = p50.as_secs_f64() / base.as_secs_f64();
        let p99 = millis(quantile(&mut self.ours, 0.99));
        let base_p99 = millis(quantile(&mut self.floor, 0.99));
        bench.row(
            line,
            format!("p50 {}, p99 {p99}: {ratio:.2} x the floor at p50", millis(p50)),
            format!("{floor}: p50 {}, p99 {base_p99}; {more}", millis(base)),
        );
    }
}
