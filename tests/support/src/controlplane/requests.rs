//! Counts of requests, as the server reports them.

use std::collections::BTreeMap;
use std::path::Path;

use kube::Client;
use serde::Deserialize;

/// A request for one or more Leases, from the audit log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Audited {
    /// In lower case: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// The user that sent it.
    pub user: String,
    /// Empty for a request to all namespaces.
    pub namespace: String,
    /// Empty for a request for several Leases, or for a new one.
    pub name: String,
}

/// The increase of each count from `before` to `after`, without those that did not increase.
#[must_use]
pub fn since<K: Ord + Clone>(
    before: &BTreeMap<K, u64>,
    after: &BTreeMap<K, u64>,
) -> BTreeMap<K, u64> {
    let old = |key| before.get(key).copied().unwrap_or(0);
    let more = after.iter().map(|(key, count)| (key.clone(), count.saturating_sub(old(key))));
    more.filter(|(_, count)| *count > 0).collect()
}

pub(super) async fn metrics(admin: &Client) -> BTreeMap<(String, u16), u64> {
    let mut counts = BTreeMap::new();
    let leases = [("group", "coordination.k8s.io"), ("resource", "leases")];
    for (line, count) in samples(&text(admin).await, "apiserver_request_total", &leases) {
        let key = (label(line, "verb").to_owned(), label(line, "code").parse().unwrap_or(0));
        *counts.entry(key).or_default() += count.parse::<u64>().expect("a count");
    }
    counts
}

pub(super) async fn metric(admin: &Client, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = text(admin).await;
    let samples = samples(&text, name, labels);
    samples.map(|(_, value)| value.parse::<f64>().expect("a number")).sum()
}

/// The bytes that kube-apiserver needs after a garbage collection, for its heap and for the stacks of goroutines.
pub(super) async fn live_memory(admin: &Client) -> f64 {
    // This profile is in text, and begins with a garbage collection.
    let path = "/debug/pprof/heap?gc=1&debug=1";
    let request = http::Request::get(path).body(Vec::new()).expect("a request");
    admin.request_text(request).await.expect("a profile");
    let heap = metric(admin, "go_memstats_heap_alloc_bytes", &[]).await;
    heap + metric(admin, "go_memstats_stack_inuse_bytes", &[]).await
}

/// The metrics of kube-apiserver.
async fn text(admin: &Client) -> String {
    let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
    admin.request_text(request).await.expect("metrics")
}

/// The lines and values of the samples of one metric that have these labels.
fn samples<'a>(
    text: &'a str,
    name: &'a str,
    labels: &'a [(&str, &str)],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let lines = text.lines().filter(move |line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|&(name, value)| label(line, name) == value)
    });
    lines.map(|line| (line, line.rsplit_once(' ').expect("a sample ends in a number").1))
}

/// The value of a label. Escapes are not handled, because the labels here have none.
fn label<'a>(line: &'a str, name: &str) -> &'a str {
    let name = format!("{name}=\"");
    let start = line.find(&format!("{{{name}")).or_else(|| line.find(&format!(",{name}")));
    let rest = start.map_or("", |start| &line[start + 1 + name.len()..]);
    rest.split('"').next().unwrap_or_default()
}

pub(super) fn audit(log: &Path, counts: impl Fn(&Audited) -> bool) -> BTreeMap<String, u64> {
    #[derive(Deserialize)]
    struct Event {
        verb: String,
        user: User,
        #[serde(rename = "objectRef")]
        object: Object,
    }
    #[derive(Deserialize)]
    struct User {
        username: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Object {
        namespace: String,
        name: String,
    }
    let mut found = BTreeMap::new();
    let text = std::fs::read_to_string(log).expect("an audit log");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]); // without a line that is being written
    for line in whole.lines() {
        let Event { verb, user, object } = serde_json::from_str(line).expect("an audit event");
        let (namespace, name) = (object.namespace, object.name);
        let request = Audited { verb, user: user.username, namespace, name };
        if counts(&request) {
            *found.entry(request.verb).or_default() += 1;
        }
    }
    found
}
