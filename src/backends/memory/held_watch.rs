//! The watches of sessions: of one record, and of the records that a session holds.

use std::{collections::BTreeSet, num::NonZeroU64, sync::Arc};

use super::{
    sessions::held,
    store::{Records, StoredRecord},
    watch::Selection,
};
use crate::{
    api::name::{Namespace, RecordName},
    protocol::session::SessionId,
    store::sessions::{HeldEvent, HeldLock},
    util::mutex::lock,
};

/// A change of a record, for the watches of sessions.
#[derive(Clone)]
pub(super) struct HeldChange {
    namespace: Namespace,
    held: HeldLock,
    before: BTreeSet<SessionId>,
    after: BTreeSet<SessionId>,
    /// The version of the change.
    version: NonZeroU64,
    /// The record was deleted.
    removed: bool,
}

impl HeldChange {
    pub(super) fn of(stored: &StoredRecord, before: BTreeSet<SessionId>) -> Self {
        Self {
            namespace: stored.entry.namespace.clone(),
            held: held(stored),
            before,
            after: stored.queue.labels.clone(),
            version: stored.entry.found.version.number,
            removed: false,
        }
    }

    pub(super) fn removed(stored: &StoredRecord, version: NonZeroU64) -> Self {
        let before = stored.queue.labels.clone();
        Self { after: BTreeSet::new(), version, removed: true, ..Self::of(stored, before) }
    }

    fn event(self, namespace: &Namespace, session: &SessionId) -> Option<HeldEvent> {
        if self.namespace != *namespace {
            None
        } else if self.after.contains(session) {
            Some(HeldEvent::Set(self.held))
        } else {
            let held = self.before.contains(session);
            held.then_some(HeldEvent::Gone(self.held.record, self.version))
        }
    }
}

/// One record.
pub(super) struct Named {
    pub(super) records: Arc<Records>,
    pub(super) namespace: Namespace,
    pub(super) record: RecordName,
}

impl Selection for Named {
    type Change = HeldChange;
    type Event = HeldEvent;

    fn all(&self) -> HeldEvent {
        let state = lock(&self.records.state);
        let place = (self.namespace.clone(), self.record.clone());
        HeldEvent::All(state.map.get(&place).map(held).into_iter().collect())
    }

    fn event(&self, change: HeldChange) -> Option<HeldEvent> {
        let HeldChange { namespace, held, version, removed, .. } = change;
        if namespace != self.namespace || held.record != self.record {
            None
        } else if removed {
            Some(HeldEvent::Gone(held.record, version))
        } else {
            Some(HeldEvent::Set(held))
        }
    }
}

/// The records that a session holds.
pub(super) struct Held {
    pub(super) records: Arc<Records>,
    pub(super) namespace: Namespace,
    pub(super) session: SessionId,
}

impl Selection for Held {
    type Change = HeldChange;
    type Event = HeldEvent;

    fn all(&self) -> HeldEvent {
        HeldEvent::All(self.records.list_held(&self.namespace, &self.session))
    }

    fn event(&self, change: HeldChange) -> Option<HeldEvent> {
        change.event(&self.namespace, &self.session)
    }
}
