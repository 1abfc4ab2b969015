//! A watch of records for operators.

use std::sync::Arc;

use super::record::{LeaseRecord, lease_record};
use crate::{
    RecordEvent, RecordEventKind, RecordKind,
    runtime::{observer::Observer, roster},
    store::{Scope, inspect::InspectStore},
};

/// The locks, elections and candidates of a scope, kept up to date.
///
/// See [`Inspect::watch_records`](crate::Inspect::watch_records).
///
/// ```no_run
/// # async fn example(sync: &dyn leasehold::Inspect) -> leasehold::Result<()> {
/// let mut watch = sync.watch_records(leasehold::RecordOptions::default()).await?;
/// loop {
///     for event in watch.take_events() {
///         println!("{:?} {}: {} {:?}", event.event, event.name, event.holder, event.why);
///     }
///     watch.changed().await;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct RecordWatch {
    observer: Observer,
    store: Arc<dyn InspectStore>,
}

impl RecordWatch {
    pub(super) const fn new(observer: Observer, store: Arc<dyn InspectStore>) -> Self {
        Self { observer, store }
    }

    /// Waits until a record may have changed or expired. The watch never ends by itself.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped. Call this method again to wait for the next change.
    pub async fn changed(&mut self) {
        self.observer.next().await;
    }

    /// The records as this process knows them now, sorted by namespace and by name of the record.
    #[must_use]
    pub fn current(&self) -> Vec<LeaseRecord> {
        let now = Some(self.observer.clock().now());
        let records =
            self.observer.seen().flat_map(|seen| roster::expand(seen, self.observer.sessions()));
        records.filter_map(|seen| lease_record(&*self.store, &seen, now)).collect()
    }

    /// The events since the last call, without waiting: call it after [`changed`](Self::changed). The first call reports
    /// the present state.
    ///
    /// A loss comes before the next tenure. A candidate joins before it is elected, and leaves after it has lost.
    /// A session that waits in the queue of a lock joins, and then acquires the lock or leaves. A session whose process
    /// has crashed leaves or loses the lock when another session or this watch finds that it is over. This watch
    /// lists the sessions every 30 s for that, while a record names one.
    ///
    /// Changes that undo each other between two calls are not reported.
    ///
    /// A watch of one record reports no candidates of an election: see
    /// [`RecordOptions::lease`](crate::RecordOptions::lease).
    #[must_use]
    pub fn take_events(&mut self) -> Vec<RecordEvent> {
        // A leader that has lost may still be a candidate, but its record as a candidate is another one.
        let alone = matches!(self.observer.scope(), Scope::Record(..));
        let candidates = [RecordEventKind::Joined, RecordEventKind::Left];
        let events = self.observer.take_events().into_iter().map(RecordEvent::from);
        let unknown = |event: &RecordEvent| {
            event.kind == RecordKind::Election && candidates.contains(&event.event)
        };
        events.filter(|event| !(alone && unknown(event))).collect()
    }

    /// Why the watch is interrupted, if it is. No record is marked as expired during an interruption, because a
    /// renewal may have been missed.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.observer.last_error()
    }
}
