//! The records of one store, and the watches on them.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    sync::{Arc, Mutex},
};

use futures::stream::BoxStream;
use tokio::sync::{broadcast, watch};

use super::{
    Fault,
    held_watch::HeldChange,
    sessions::{self, Queue, StoredSession},
    watch::{Selection, events},
};
use crate::{
    Clock,
    api::name::{Namespace, RecordName},
    protocol::{
        record::{Record, Version, Versioned, Whole, Write, WriteKind},
        session::SessionId,
    },
    store::{Entry, RecordKey, Scope, WatchEvent, Written},
    util::{clock::Moment, mutex::lock},
};

/// How many events a watch may lag behind before it gets the whole state again.
const BACKLOG: usize = 256;

/// The records of one store, which all its handles share.
pub(super) struct Records {
    pub(super) state: Mutex<State>,
    pub(super) changes: broadcast::Sender<WatchEvent>,
    /// Changes of records that sessions hold.
    pub(super) held: broadcast::Sender<HeldChange>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) map: BTreeMap<(Namespace, RecordName), StoredRecord>,
    /// Each with the moment at which it was written.
    pub(super) sessions: BTreeMap<(Namespace, SessionId), StoredSession>,
    /// The version of the latest change of any record. One counter for all records, as in a cluster: versions of
    /// one name grow across a deletion too.
    version: u64,
}

pub(super) struct StoredRecord {
    pub(super) entry: Entry,
    /// When this process wrote the record, on the clock of the runtime.
    pub(super) written: Moment,
    /// Holders and queue of a lock of sessions. Other writes preserve them.
    pub(super) queue: Queue,
}

impl State {
    pub(super) fn next_version(&mut self) -> NonZeroU64 {
        self.version += 1;
        NonZeroU64::new(self.version).expect("the counter starts at one")
    }
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
            held: broadcast::Sender::new(BACKLOG),
        }
    }

    pub(super) fn read(
        &self,
        namespace: &Namespace,
        record: &RecordName,
    ) -> Option<Arc<Versioned>> {
        lock(&self.state)
            .map
            .get(&(namespace.clone(), record.clone()))
            .map(|stored| Arc::clone(&stored.entry.found))
    }

    pub(super) fn write(&self, key: &RecordKey, write: &Write) -> Written {
        let mut state = lock(&self.state);
        let map_key = (key.namespace.clone(), key.record.clone());
        let stored = state.map.get(&map_key).map(|stored| &stored.entry.found);
        let current = stored.map(|found| found.version.clone());
        let preferred = stored.and_then(|found| found.record.preferred.clone());
        if current.as_ref() != write.base.as_ref().map(|base| &base.version) {
            return Written::Conflict;
        }
        if write.kind == WriteKind::Delete {
            self.remove(&mut state, &map_key);
            return Written::Gone;
        }
        let number = state.next_version();
        // This store sees each claim, so the token is known from its first moment on.
        let claimed = (write.kind == WriteKind::Claim).then_some(number);
        let uid = current.map_or_else(|| format!("uid-{number}").into(), |version| version.uid);
        let found = Arc::new(Versioned {
            version: Version { number, uid },
            // `preferredHolder` is not ours to write: keep it.
            record: Record {
                preferred,
                token: claimed.or(write.record.token),
                ..write.record.clone()
            },
            age: None,
            whole: Whole::default(),
        });
        let (name, kind) = (key.name.to_string(), Some(key.kind.clone()));
        let (namespace, record) = map_key.clone();
        let found_too = Arc::clone(&found);
        let entry = Entry {
            namespace,
            record,
            kind,
            name,
            found: found_too,
            queue: None,
            succession: None,
        };
        let queue = state.map.get(&map_key).map(|stored| stored.queue.clone()).unwrap_or_default();
        self.insert(&mut state, entry, queue);
        Written::Stored(found)
    }

    /// Stores a record, and reports it to the watches.
    pub(super) fn insert(&self, state: &mut State, mut entry: Entry, queue: Queue) {
        entry.queue = sessions::queue(&entry.found, &queue);
        let stored = StoredRecord { entry, written: Clock::Runtime.now(), queue };
        let place = stored.entry.place();
        let before = state.map.get(&place).map(|before| before.queue.labels.clone());
        // It is not an error that no watch is open.
        let _ = self.changes.send(WatchEvent::Set(stored.entry.clone()));
        let _ = self.held.send(HeldChange::of(&stored, before.unwrap_or_default()));
        state.map.insert(place, stored);
    }

    /// Deletes a record. Returns false if there is none.
    pub(super) fn delete(&self, namespace: &str, record: &RecordName) -> bool {
        let mut state = lock(&self.state);
        let found = state
            .map
            .keys()
            .find(|(within, found)| within.as_str() == namespace && found == record);
        let Some(map_key) = found.cloned() else { return false };
        self.remove(&mut state, &map_key);
        true
    }

    fn remove(&self, state: &mut State, map_key: &(Namespace, RecordName)) {
        let version = state.next_version();
        if let Some(removed) = state.map.remove(map_key) {
            let (namespace, record) = map_key.clone();
            let _ = self.held.send(HeldChange::removed(&removed, version));
            let _ = self.changes.send(WatchEvent::Gone(namespace, record, version));
        }
    }

    /// Watches `scope`. The watch is silent as long as `current_fault` is set.
    pub(super) fn watch(
        this: &Arc<Self>,
        scope: &Scope,
        current_fault: watch::Receiver<Option<Fault>>,
    ) -> BoxStream<'static, WatchEvent> {
        let selection = Selected { records: Arc::clone(this), scope: scope.clone() };
        events(selection, this.changes.subscribe(), current_fault)
    }

    pub(super) fn list(&self, scope: &Scope) -> Vec<Entry> {
        let now = Clock::Runtime.now();
        let with_age = |stored: &StoredRecord| {
            let found =
                Versioned { age: Some(now - stored.written), ..(*stored.entry.found).clone() };
            Entry { found: Arc::new(found), ..stored.entry.clone() }
        };
        let state = lock(&self.state);
        let entries = state.map.values().filter(|stored| scope.selects(&stored.entry));
        entries.map(with_age).collect()
    }
}

/// The records of a scope.
struct Selected {
    records: Arc<Records>,
    scope: Scope,
}

impl Selection for Selected {
    type Change = WatchEvent;
    type Event = WatchEvent;

    fn all(&self) -> WatchEvent {
        WatchEvent::All(self.records.list(&self.scope))
    }

    fn event(&self, change: WatchEvent) -> Option<WatchEvent> {
        self.is_in_scope(&change).then_some(change)
    }
}

impl Selected {
    fn is_in_scope(&self, change: &WatchEvent) -> bool {
        match change {
            WatchEvent::Set(entry) => self.scope.selects(entry),
            // The kind of a deleted record is unknown. An extra event of a record never reported does no harm.
            WatchEvent::Gone(namespace, record, _) => self.scope.may_select(namespace, record),
            WatchEvent::All(_) | WatchEvent::Blind(_) => true,
        }
    }
}
