//! Counts of requests, by the server.

use std::collections::BTreeMap;
use std::path::Path;

use kube::Client;
use serde::Deserialize;

/// A request for a Lease or for Leases, from the audit log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Audited {
    /// In lower case: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Who sent it.
    pub user: String,
    /// Empty if it was for all namespaces.
    pub namespace: String,
    /// Empty if it was for more than one Lease, or for a new one.
    pub name: String,
}

/// How much each number of `after` is above that of `before`; without those that are not.
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
    let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
    let text = admin.request_text(request).await.expect("metrics");
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        if label(line, "group") != "coordination.k8s.io" || label(line, "resource") != "leases" {
            continue;
        }
        let key = (label(line, "verb").to_owned(), label(line, "code").parse().unwrap_or(0));
        let (_, count) = line.rsplit_once(' ').expect("a sample ends in a number");
        *counts.entry(key).or_default() += count.parse::<u64>().expect("a count");
    }
    counts
}

/// The value of a label; none of those we look at needs escaping.
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
    let whole = text.rfind('\n').map_or("", |end| &text[..end]); // the next is being written
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
