//! The store of the model: one lock, and the records of sessions. Each write is a compare-and-swap.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

use super::canonical::VERSIONS;
use crate::protocol::{
    queue::{
        machine::Outcome,
        record::{LockRecord, LockWrite, StoredLock},
    },
    record::{Version, Whole},
    session::{SessionAnswer, SessionId, SessionRecord, Stored},
};

pub(super) type StoredSession = Stored<SessionRecord>;

/// A write of a session's record: an update of exactly `base`, or a create.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionWrite {
    pub(super) id: SessionId,
    pub(super) base: Option<Arc<StoredSession>>,
    pub(super) record: SessionRecord,
}

/// A write that may still be stored after its sender has stopped to wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Zombie {
    /// The write of a lock by this session.
    Lock(SessionId, LockWrite),
    /// The write of a session's record; true if its owner sent it.
    Session(SessionWrite, bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) lock: Option<Arc<StoredLock>>,
    pub(super) sessions: BTreeMap<SessionId, Arc<StoredSession>>,
    /// The version of the last change. All records share one counter, as in Kubernetes.
    pub(super) version: u64,
    /// How many objects were created, for their uids.
    created: u8,
}

impl Store {
    pub(super) const fn new() -> Self {
        Self { lock: None, sessions: BTreeMap::new(), version: VERSIONS, created: 0 }
    }

    fn next_version(&mut self, base: Option<&Version>) -> Version {
        self.version += 1;
        let number = NonZeroU64::new(self.version).expect("a version is not zero");
        let uid = if let Some(base) = base {
            Arc::clone(&base.uid)
        } else {
            self.created += 1;
            format!("u{}", self.created).into()
        };
        Version { number, uid }
    }

    pub(super) fn may_store_lock(&self, write: &LockWrite) -> bool {
        let version = |stored: &Arc<StoredLock>| stored.version.clone();
        self.lock.as_ref().map(version) == write.base.as_ref().map(version)
    }

    pub(super) fn may_store_session(&self, write: &SessionWrite) -> bool {
        let version = |stored: &Arc<StoredSession>| stored.version.clone();
        self.sessions.get(&write.id).map(version) == write.base.as_ref().map(version)
    }

    /// A write without a change is no new version.
    pub(super) fn write_lock(&mut self, write: &LockWrite) -> Outcome {
        if !self.may_store_lock(write) {
            return Outcome::Conflict;
        }
        let record = LockRecord { line: write.line.clone(), ..LockRecord::default() };
        if let Some(same) = self.lock.as_ref().filter(|stored| stored.record == record) {
            return Outcome::Stored(Arc::clone(same));
        }
        let version = self.next_version(write.base.as_ref().map(|base| &base.version));
        let stored = Arc::new(Stored { version, record, whole: Whole::default() });
        self.lock = Some(Arc::clone(&stored));
        Outcome::Stored(stored)
    }

    pub(super) fn write_session(&mut self, write: &SessionWrite) -> SessionAnswer {
        if !self.may_store_session(write) {
            return SessionAnswer::Conflict;
        }
        let (id, record) = (write.id.clone(), write.record.clone());
        if let Some(same) = self.sessions.get(&id).filter(|stored| stored.record == record) {
            return SessionAnswer::Written(Arc::clone(same));
        }
        let version = self.next_version(write.base.as_ref().map(|base| &base.version));
        let stored = Arc::new(Stored { version, record, whole: Whole::default() });
        self.sessions.insert(id, Arc::clone(&stored));
        SessionAnswer::Written(stored)
    }

    /// Deletes the lock, and returns the version of the deletion.
    pub(super) fn delete_lock(&mut self) -> NonZeroU64 {
        self.lock = None;
        self.version += 1;
        NonZeroU64::new(self.version).expect("a version is not zero")
    }

    pub(super) fn delete_session(&mut self, id: &SessionId) {
        self.sessions.remove(id);
        self.version += 1;
    }
}
