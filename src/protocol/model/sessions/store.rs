//! The store of the model: one lock, and the records of sessions. Each write is a compare-and-swap, except that claims
//! join a lock in any state of its epoch.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};

use super::canonical::VERSIONS;
use crate::protocol::{
    queue::{
        claim::Claim,
        machine::Outcome,
        record::{Condition, Join, LockRecord, LockWrite, StoredLock, Turn},
    },
    record::{Version, Whole},
    session::{SessionAnswer, SessionId, SessionRecord, Stored},
};

/// As versions, turns and epochs count only by their order, so they are numbers of this size.
const TURNS: u64 = VERSIONS << 10;
const EPOCHS: u64 = VERSIONS << 11;

/// The first turn and the first epoch of an object are small numbers.
const fn stored_turn(turn: Turn) -> Turn {
    let Turn { number, epoch } = turn;
    Turn {
        number: if number < TURNS { TURNS + number } else { number },
        epoch: if epoch < EPOCHS { EPOCHS + epoch } else { epoch },
    }
}

pub(super) type StoredSession = Stored<SessionRecord>;

/// A write of a session's record: an update of exactly `base`, or a create.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionWrite {
    pub(super) id: SessionId,
    pub(super) base: Option<Arc<StoredSession>>,
    pub(super) record: SessionRecord,
}

/// A change of the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LockChange {
    Write(LockWrite),
    Join(Join),
}

impl LockChange {
    /// A create is possible also after a deletion.
    pub(super) const fn creates(&self) -> bool {
        matches!(self, Self::Write(LockWrite { base: None, .. }))
    }
}

/// A write that may still be stored after its sender has stopped to wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Zombie {
    /// The write of a lock by this session.
    Lock(SessionId, LockChange),
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

    pub(super) fn may_store_lock(&self, change: &LockChange) -> bool {
        let (lock, version) = (self.lock.as_deref(), |stored: &StoredLock| stored.version.clone());
        let is = |base: &StoredLock| lock.is_some_and(|lock| lock.version.uid == base.version.uid);
        let turn = lock.and_then(|lock| lock.record.turn);
        match change {
            LockChange::Write(write) => match (&write.base, write.condition) {
                (Some(base), Condition::Turn) => is(base) && turn == base.record.turn,
                (base, _) => lock.map(version) == base.as_deref().map(version),
            },
            LockChange::Join(join) => {
                is(&join.base) && turn.is_some_and(|turn| turn.epoch == join.epoch)
            }
        }
    }

    pub(super) fn may_store_session(&self, write: &SessionWrite) -> bool {
        let version = |stored: &Arc<StoredSession>| stored.version.clone();
        self.sessions.get(&write.id).map(version) == write.base.as_ref().map(version)
    }

    /// A write without a change is no new version.
    pub(super) fn write_lock(&mut self, change: &LockChange) -> Outcome {
        if !self.may_store_lock(change) {
            return Outcome::Conflict;
        }
        let record = self.changed(change);
        if let Some(same) = self.lock.as_ref().filter(|stored| stored.record == record) {
            return Outcome::Stored(Arc::clone(same));
        }
        let base = self.lock.as_ref().map(|lock| lock.version.clone());
        let version = self.next_version(base.as_ref());
        let stored = Arc::new(Stored { version, record, whole: Whole::default() });
        self.lock = Some(Arc::clone(&stored));
        Outcome::Stored(stored)
    }

    /// The record after this change. Claims that joined are stored apart from the line.
    fn changed(&self, change: &LockChange) -> LockRecord {
        let before = self.lock.as_ref().map(|lock| lock.record.clone()).unwrap_or_default();
        let mut apart: Vec<Claim> =
            before.line.joined.iter().chain(&before.copies).cloned().collect();
        let (mut line, turn) = match change {
            LockChange::Write(write) => {
                let taken: Vec<_> = write.taken().collect();
                apart.retain(|claim| !taken.contains(&claim));
                (write.line.clone(), Some(stored_turn(write.turn)))
            }
            LockChange::Join(join) => {
                let new = join.claims.iter().filter(|claim| !apart.contains(claim));
                let new: Vec<_> = new.cloned().collect();
                apart.extend(new);
                (before.line, before.turn)
            }
        };
        line.joined.clear();
        let (copies, joined) =
            apart.into_iter().partition(|claim| line.has(&claim.session, claim.nonce));
        line.joined = joined;
        LockRecord { line, copies, turn, ..LockRecord::default() }
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
