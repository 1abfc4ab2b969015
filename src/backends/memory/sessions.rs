//! The [`SessionStore`] of this backend: sessions, and the holders and queues of their locks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};

use super::{
    faults::Connection,
    held_watch::{Held, Named},
    store::{Records, State, StoredRecord},
    watch::events,
};
use crate::{
    Clock,
    api::{error::Result, name::Namespace},
    protocol::{
        queue::{
            claim::Claim,
            record::{Condition, FENCE, Join, LockRecord, LockWrite, StoredLock, Turn},
        },
        record::{Record, Version, Versioned, Whole},
        session::{SessionId, SessionRecord, Stored},
    },
    store::{
        Entry, Kind, ListedSession, RecordKey,
        sessions::{Cursor, HeldEvent, HeldLock, HeldPage, NamedSession, Put, SessionStore},
    },
    util::{clock::Moment, mutex::lock},
};

/// The record of a session, and the moment at which it was written.
pub(super) type StoredSession = (Arc<Stored<SessionRecord>>, Moment);

/// Holders and queue of one record.
#[derive(Clone, Default)]
pub(super) struct Queue {
    line: Option<Arc<str>>,
    joined: Vec<Claim>,
    turn: Option<Turn>,
    /// The sessions that hold the lock, as a cluster has them in labels.
    pub(super) labels: BTreeSet<SessionId>,
}

pub(super) fn held(stored: &StoredRecord) -> HeldLock {
    let (record, name) = (stored.entry.record.clone(), stored.entry.name.clone());
    let kind = match stored.entry.kind {
        Some(Kind::Election) => Kind::Election,
        _ => Kind::Lock,
    };
    HeldLock { record, name, kind, found: Arc::new(stored_lock(stored)) }
}

/// The claims of sessions in a record, if there is or was one.
pub(super) fn queue(found: &Versioned, queue: &Queue) -> Option<Arc<LockRecord>> {
    queue.line.is_some().then(|| Arc::new(judge(found, queue)))
}

fn stored_lock(stored: &StoredRecord) -> StoredLock {
    let found = &stored.entry.found;
    let (version, record) = (found.version.clone(), judge(found, &stored.queue));
    Stored { version, record, whole: Whole::default() }
}

fn judge(found: &Versioned, queue: &Queue) -> LockRecord {
    let record = &found.record;
    let spec = || format!("{:?}", (&record.nonce, &record.ttl, record.transitions)).into();
    let (holder, line, joined) =
        (record.holder.as_deref(), queue.line.as_deref(), queue.joined.clone());
    let judged = LockRecord::judge(holder, line, joined, queue.turn, record.lives(), spec);
    LockRecord { not_before: record.not_before.clone(), ..judged }
}

/// Whether a write may be stored on what is present.
fn meets(write: &LockWrite, present: Option<&StoredRecord>) -> bool {
    let version = |stored: &StoredRecord| stored.entry.found.version.clone();
    let (Some(base), Some(present), Condition::Turn) = (&write.base, present, write.condition)
    else {
        return present.map(version) == write.base.as_ref().map(|base| base.version.clone());
    };
    let holder = present.entry.found.record.holder.as_deref();
    // A handle has no turn, but a tenure of one may have left another time.
    let not_before = &present.entry.found.record.not_before;
    present.entry.found.version.uid == base.version.uid
        && present.queue.turn == base.record.turn
        && *not_before == base.record.not_before
        && holder == base.record.line.holder().map(SessionId::as_str)
}

impl State {
    /// The version of a new state of the object whose present version is `base`.
    fn next(&mut self, base: Option<&Version>) -> Version {
        let number = self.next_version();
        let uid = base.map_or_else(|| format!("uid-{number}").into(), |base| base.uid.clone());
        Version { number, uid }
    }
}

impl Records {
    fn write_session(
        &self,
        place: (Namespace, SessionId),
        base: Option<&Version>,
        record: SessionRecord,
    ) -> Put<SessionRecord> {
        let mut state = lock(&self.state);
        if state.sessions.get(&place).map(|(stored, _)| &stored.version) != base {
            return Put::Conflict(None);
        }
        let version = state.next(base);
        let stored = Arc::new(Stored { version, record, whole: Whole::default() });
        state.sessions.insert(place, (Arc::clone(&stored), Clock::Runtime.now()));
        Put::Stored(stored)
    }

    /// Deletes the record of a session. Returns false if there is none.
    pub(super) fn delete_session(&self, id: &str) -> bool {
        let mut state = lock(&self.state);
        let place = state.sessions.keys().find(|(_, session)| session.as_str() == id).cloned();
        place.is_some_and(|place| state.sessions.remove(&place).is_some())
    }

    fn write_lock(&self, key: &RecordKey, write: &LockWrite) -> Put<LockRecord> {
        let mut state = lock(&self.state);
        let place = (key.namespace.clone(), key.record.clone());
        let present = state.map.get(&place);
        if !meets(write, present) {
            return Put::Conflict(None);
        }
        let mut queue = present.map(|stored| stored.queue.clone()).unwrap_or_default();
        let mut record = present.map(|s| s.entry.found.record.clone()).unwrap_or_default();
        queue.line = Some(write.line.to_text().into());
        queue.turn = Some(write.turn);
        let taken: Vec<_> = write.taken().collect();
        queue.joined.retain(|claim| !taken.contains(&claim));
        if write.changes_holders {
            queue.labels = write.line.held_by().into_iter().cloned().collect();
            record = Record {
                holder: write.line.holder().map(SessionId::to_arc),
                nonce: None,
                ttl: Some(FENCE),
                transitions: record.next_transition(),
                token: None,
                preferred: record.preferred,
                not_before: None,
                payload: None,
            };
        }
        record.not_before.clone_from(&write.not_before);
        self.put_lock(&mut state, key, record, queue)
    }

    /// Adds claims to the object in the epoch that the join names.
    fn join_lock(&self, key: &RecordKey, join: &Join) -> Put<LockRecord> {
        let mut state = lock(&self.state);
        let present = state.map.get(&(key.namespace.clone(), key.record.clone()));
        let Some(stored) = present.filter(|stored| {
            let epoch = stored.queue.turn.map(|turn| turn.epoch);
            stored.entry.found.version.uid == join.base.version.uid && epoch == Some(join.epoch)
        }) else {
            return Put::Conflict(None);
        };
        let (record, mut queue) = (stored.entry.found.record.clone(), stored.queue.clone());
        let new = join.claims.iter().filter(|claim| !stored.queue.joined.contains(claim));
        queue.joined.extend(new.cloned());
        self.put_lock(&mut state, key, record, queue)
    }

    fn put_lock(
        &self,
        state: &mut State,
        key: &RecordKey,
        record: Record,
        queue: Queue,
    ) -> Put<LockRecord> {
        let place = (key.namespace.clone(), key.record.clone());
        let base = state.map.get(&place).map(|stored| stored.entry.found.version.clone());
        let version = state.next(base.as_ref());
        let found = Versioned { version, record, age: None, whole: Whole::default() };
        let (namespace, record) = place.clone();
        let entry = Entry {
            namespace,
            record,
            kind: Some(key.kind.clone()),
            name: key.name.to_string(),
            found: Arc::new(found),
            queue: None,
            succession: None,
        };
        self.insert(state, entry, queue);
        Put::Stored(Arc::new(stored_lock(&state.map[&place])))
    }

    pub(super) fn list_held(&self, namespace: &Namespace, session: &SessionId) -> Vec<HeldLock> {
        let state = lock(&self.state);
        let mine = state.map.values().filter(|stored| {
            stored.entry.namespace == *namespace && stored.queue.labels.contains(session)
        });
        mine.map(held).collect()
    }
}

impl SessionStore for Connection {
    fn read_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
    ) -> BoxFuture<'a, Result<Option<Arc<Stored<SessionRecord>>>>> {
        let place = (namespace.clone(), id.clone());
        let read = move |records: &Records| {
            lock(&records.state).sessions.get(&place).map(|(stored, _)| Arc::clone(stored))
        };
        Box::pin(self.send("get", None, read))
    }

    fn write_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: Option<&'a Stored<SessionRecord>>,
        record: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Put<SessionRecord>>> {
        let place = (namespace.clone(), id.clone());
        let (base, record) = (base.map(|base| base.version.clone()), record.clone());
        let write = move |records: &Records| records.write_session(place, base.as_ref(), record);
        Box::pin(self.send("update", None, write))
    }

    fn list_stale<'a>(
        &'a self,
        namespace: &'a Namespace,
        age: Duration,
    ) -> BoxFuture<'a, Result<Vec<NamedSession>>> {
        let namespace = namespace.clone();
        let list = move |records: &Records| {
            let (state, now) = (lock(&records.state), Clock::Runtime.now());
            let all = state.sessions.iter().filter(|((within, _), _)| *within == namespace);
            let old = all.filter(|(_, (_, written))| now - *written >= age);
            old.map(|((_, id), (stored, _))| (id.clone(), Arc::clone(stored))).collect()
        };
        Box::pin(self.send("list", None, list))
    }

    fn delete_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: &'a Stored<SessionRecord>,
    ) -> BoxFuture<'a, Result<()>> {
        let place = (namespace.clone(), id.clone());
        let version = base.version.clone();
        let delete = move |records: &Records| {
            let mut state = lock(&records.state);
            if state.sessions.get(&place).is_some_and(|(stored, _)| stored.version == version) {
                state.sessions.remove(&place);
            }
        };
        Box::pin(self.send("delete", None, delete))
    }

    fn read_lock<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Arc<StoredLock>>>> {
        let place = (key.namespace.clone(), key.record.clone());
        let read = move |records: &Records| {
            lock(&records.state).map.get(&place).map(|stored| Arc::new(stored_lock(stored)))
        };
        Box::pin(self.send("get", Some(key), read))
    }

    fn write_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        write: &'a LockWrite,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>> {
        let verb = if write.base.is_some() { "update" } else { "create" };
        let (owned, write) = (key.clone(), write.clone());
        Box::pin(self.send(verb, Some(key), move |records| records.write_lock(&owned, &write)))
    }

    fn join_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        join: &'a Join,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>> {
        let (owned, join) = (key.clone(), join.clone());
        Box::pin(self.send("patch", Some(key), move |records| records.join_lock(&owned, &join)))
    }

    fn list_held<'a>(
        &'a self,
        namespace: &'a Namespace,
        session: &'a SessionId,
        _: Option<&'a Cursor>,
    ) -> BoxFuture<'a, Result<HeldPage>> {
        let (namespace, session) = (namespace.clone(), session.clone());
        let list =
            move |records: &Records| HeldPage::Some(records.list_held(&namespace, &session), None);
        Box::pin(self.send("list", None, list))
    }

    fn watch_held(
        &self,
        namespace: &Namespace,
        session: &SessionId,
    ) -> BoxStream<'static, HeldEvent> {
        let selection = Held {
            records: Arc::clone(&self.records),
            namespace: namespace.clone(),
            session: session.clone(),
        };
        events(selection, self.records.held.subscribe(), self.current_fault.subscribe())
    }

    fn watch_lock(&self, key: &RecordKey) -> BoxStream<'static, HeldEvent> {
        let selection = Named {
            records: Arc::clone(&self.records),
            namespace: key.namespace.clone(),
            record: key.record.clone(),
        };
        events(selection, self.records.held.subscribe(), self.current_fault.subscribe())
    }
}

impl Connection {
    /// The sessions of a namespace, for people.
    pub(super) async fn listed_sessions(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<Vec<ListedSession>> {
        let namespace = namespace.cloned();
        let list = move |records: &Records| {
            let (state, now) = (lock(&records.state), Clock::Runtime.now());
            let selected = |within| namespace.as_ref().is_none_or(|namespace| namespace == within);
            let all = state.sessions.iter().filter(|((within, _), _)| selected(within));
            let listed = |((_, id), (stored, written)): (&(_, SessionId), &StoredSession)| {
                let (version, is_over) = (stored.version.number, stored.record.is_over());
                ListedSession { id: id.clone(), version, is_over, age: Some(now - *written) }
            };
            all.map(listed).collect()
        };
        self.send("list", None, list).await
    }
}
