//! What the simulated API server stores: Leases, one counter for all versions, and the events since the last
//! compaction.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::Value;

use crate::watches;

/// One version of an object. It is serialized once, for all responses and watches.
#[derive(Debug)]
pub(crate) struct Object {
    content: Value,
    text: OnceLock<Bytes>,
}

impl Object {
    pub(crate) fn text(&self) -> Bytes {
        self.text.get_or_init(|| bytes_of(&self.content)).clone()
    }
}

/// The value as JSON. `Value::to_string` gives the same text and takes more than twice as long.
fn bytes_of(value: &Value) -> Bytes {
    serde_json::to_vec(value).expect("a value has string keys").into()
}

impl From<Value> for Object {
    fn from(content: Value) -> Self {
        Self { content, text: OnceLock::new() }
    }
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.content
    }
}

/// One write: the object before and after it.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) version: u64,
    pub(crate) name: Arc<str>,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Option<Arc<Object>>,
    pub(crate) at: u64,
    /// When `before` was stored.
    pub(crate) before_since: u64,
    /// The event that most watches send.
    line: OnceLock<Bytes>,
}

impl Commit {
    /// The deleted object, with the version of the deletion.
    fn deleted_text(&self) -> Bytes {
        let mut object = Value::clone(self.before.as_ref().expect("before or after"));
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        bytes_of(&object)
    }

    /// The object as JSON.
    pub(crate) fn text(&self) -> Bytes {
        self.after.as_ref().map_or_else(|| self.deleted_text(), |after| after.text())
    }

    /// The event as a line of a watch.
    pub(crate) fn line(&self) -> Bytes {
        self.line
            .get_or_init(|| watches::event_line(self.event_type(), &self.text()).into())
            .clone()
    }

    /// The event for a watch that did not select the object before.
    pub(crate) fn added_line(&self) -> Bytes {
        watches::event_line("ADDED", &self.text()).into()
    }

    /// The event for a watch that no longer selects the object.
    pub(crate) fn deleted_line(&self) -> Bytes {
        watches::event_line("DELETED", &self.deleted_text()).into()
    }

    const fn event_type(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "ADDED",
            (_, Some(_)) => "MODIFIED",
            (_, None) => "DELETED",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    leases: BTreeMap<Arc<str>, (u64, Arc<Object>)>,
    pub(crate) version: u64,
    uids: u64,
    pub(crate) log: VecDeque<Commit>,
    /// Events up to this version were discarded.
    pub(crate) compacted: u64,
}

impl Store {
    pub(crate) const fn new() -> Self {
        Self {
            leases: BTreeMap::new(),
            version: 1000,
            uids: 0,
            log: VecDeque::new(),
            compacted: 1000,
        }
    }

    pub(crate) fn lease(&self, name: &str) -> Option<&Arc<Object>> {
        self.leases.get(name).map(|(_, lease)| lease)
    }

    /// When the present version of an object was stored.
    pub(crate) fn stored_at(&self, name: &str) -> Option<u64> {
        self.leases.get(name).map(|(at, _)| *at)
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Object>)> {
        self.leases.iter().map(|(name, (_, lease))| (name, lease))
    }

    /// The last remembered write of an object. A lagging replica shows the state before it.
    pub(crate) fn last_commit(&self, name: &str) -> Option<&Commit> {
        self.log.iter().rev().find(|commit| &*commit.name == name)
    }

    /// Stores `object` as the next version. `None` deletes the object.
    pub(crate) fn commit(&mut self, at: u64, name: &str, object: Option<Value>) -> &Commit {
        self.version += 1;
        let version = self.version;
        let name: Arc<str> = name.into();
        let (before_since, before) = self.leases.remove(&name).unzip();
        let after = object.map(|mut object| {
            let uid = before.as_ref().map_or_else(
                || {
                    self.uids += 1;
                    Value::from(format!("uid-{}", self.uids))
                },
                |before: &Arc<Object>| before["metadata"]["uid"].clone(),
            );
            object["metadata"]["uid"] = uid;
            object["metadata"]["namespace"] = "default".into();
            object["metadata"]["resourceVersion"] = version.to_string().into();
            Arc::new(Object::from(object))
        });
        if let Some(after) = &after {
            self.leases.insert(Arc::clone(&name), (at, Arc::clone(after)));
        }
        let before_since = before_since.unwrap_or(at);
        self.log.push_back(Commit {
            version,
            at,
            name,
            before,
            after,
            before_since,
            line: OnceLock::new(),
        });
        self.log.back().expect("just pushed")
    }

    /// What a server shows that has not seen the last `commits` writes.
    pub(crate) fn before_the_last(&self, commits: u64) -> Self {
        let mut leases = self.leases.clone();
        let mut version = self.version;
        let commits = usize::try_from(commits).unwrap_or(usize::MAX);
        for commit in self.log.iter().rev().take(commits) {
            version = commit.version - 1;
            match &commit.before {
                Some(before) => {
                    let before = (commit.before_since, Arc::clone(before));
                    leases.insert(Arc::clone(&commit.name), before);
                }
                None => _ = leases.remove(&commit.name),
            }
        }
        Self { leases, version, uids: self.uids, log: VecDeque::new(), compacted: version }
    }

    /// Discards all events except the last `kept`.
    pub(crate) fn compact(&mut self, kept: usize) {
        while self.log.len() > kept {
            self.compacted = self.log.pop_front().map_or(self.compacted, |commit| commit.version);
        }
    }

    /// The events after `version`, oldest first. `None` if some of them were discarded.
    pub(crate) fn after(&self, version: u64) -> Option<impl Iterator<Item = &Commit>> {
        let start = self.log.partition_point(|commit| commit.version <= version);
        (version >= self.compacted).then(|| self.log.range(start..))
    }
}
