//! What the API server stores: Leases, one counter for all versions, and the events since the last compaction.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::Value;

use crate::watches;

/// An object as it became visible, or as it was last.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) version: u64,
    pub(crate) name: Arc<str>,
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
    /// When `before` became visible.
    pub(crate) since: u64,
    /// Written out once for all who are told.
    text: OnceCell<Bytes>,
    line: OnceCell<Bytes>,
}

impl Commit {
    /// The object as a watch shows it.
    fn shown(&self) -> Cow<'_, Value> {
        self.after.as_deref().map_or_else(|| Cow::Owned(self.gone()), Cow::Borrowed)
    }

    /// The object as it was, with the version of its end.
    fn gone(&self) -> Value {
        let mut gone = self.before.as_deref().expect("before or after").clone();
        gone["metadata"]["resourceVersion"] = self.version.to_string().into();
        gone
    }

    /// The object, in JSON.
    pub(crate) fn text(&self) -> Bytes {
        self.text.get_or_init(|| self.shown().to_string().into()).clone()
    }

    /// The event, as a line of a watch.
    pub(crate) fn line(&self) -> Bytes {
        self.line.get_or_init(|| watches::line(self.kind(), &self.text()).into()).clone()
    }

    /// The event to a watch that did not select the object before.
    pub(crate) fn came(&self) -> Bytes {
        watches::line("ADDED", &self.text()).into()
    }

    /// The event to a watch that does not select the object any more.
    pub(crate) fn went(&self) -> Bytes {
        watches::line("DELETED", self.gone().to_string().as_bytes()).into()
    }

    const fn kind(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "ADDED",
            (_, Some(_)) => "MODIFIED",
            (_, None) => "DELETED",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    leases: BTreeMap<Arc<str>, (u64, Arc<Value>)>,
    pub(crate) version: u64,
    uids: u64,
    pub(crate) log: VecDeque<Commit>,
    /// Events up to this version are gone.
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

    pub(crate) fn lease(&self, name: &str) -> Option<&Arc<Value>> {
        self.leases.get(name).map(|(_, lease)| lease)
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Value>)> {
        self.leases.iter().map(|(name, (_, lease))| (name, lease))
    }

    /// The object as it was before its last change, if that is remembered: what a lagging replica shows.
    pub(crate) fn former(&self, name: &str) -> Option<&Commit> {
        self.log.iter().rev().find(|commit| &*commit.name == name)
    }

    /// Stores `object`, or deletes it, as the next version.
    pub(crate) fn commit(&mut self, at: u64, name: &str, object: Option<Value>) -> &Commit {
        self.version += 1;
        let version = self.version;
        let name: Arc<str> = name.into();
        let (since, before) = self.leases.remove(&name).unzip();
        let after = object.map(|mut object| {
            let uid = before.as_ref().map_or_else(
                || {
                    self.uids += 1;
                    Value::from(format!("uid-{}", self.uids))
                },
                |before: &Arc<Value>| before["metadata"]["uid"].clone(),
            );
            object["metadata"]["uid"] = uid;
            object["metadata"]["namespace"] = "default".into();
            object["metadata"]["resourceVersion"] = version.to_string().into();
            Arc::new(object)
        });
        if let Some(after) = &after {
            self.leases.insert(Arc::clone(&name), (at, Arc::clone(after)));
        }
        let since = since.unwrap_or(at);
        self.log.push_back(Commit {
            version,
            name,
            before,
            after,
            since,
            text: OnceCell::new(),
            line: OnceCell::new(),
        });
        self.log.back().expect("just pushed")
    }

    /// Forgets all events but the last `kept`.
    pub(crate) fn compact(&mut self, kept: usize) {
        while self.log.len() > kept {
            self.compacted = self.log.pop_front().map_or(self.compacted, |commit| commit.version);
        }
    }

    /// The events after `version`, oldest first.
    pub(crate) fn after(&self, version: u64) -> impl Iterator<Item = &Commit> {
        let start = self.log.partition_point(|commit| commit.version <= version);
        self.log.range(start..)
    }
}
