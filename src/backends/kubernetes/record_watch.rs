//! A watch of records for operators.

use super::inspect::{LeaseRecord, lease_record};
use crate::{
    RecordEvent, RecordEventKind, RecordKind,
    runtime::{observer::Observer, roster},
    store::Scope,
};

/// The locks, elections and candidates of a scope, kept up to date.
///
/// See [`Kubernetes::watch_records`](super::Kubernetes::watch_records).
///
/// ```no_run
/// # async fn example(sync: &leasehold::Kubernetes) -> leasehold::Result<()> {
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
pub struct RecordWatch(Observer);

impl RecordWatch {
    pub(super) const fn new(observer: Observer) -> Self {
        Self(observer)
    }

    /// Waits until a record may have changed or expired. The watch never ends by itself.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped. Call this method again to wait for the next change.
    pub async fn changed(&mut self) {
        self.0.next().await;
    }

    /// The records as this process knows them now, sorted by namespace and by name of the Lease.
    #[must_use]
    pub fn current(&self) -> Vec<LeaseRecord> {
        let now = Some(self.0.clock().now());
        let records = self.0.seen().flat_map(|seen| roster::expand(seen, self.0.sessions()));
        records.filter_map(|seen| lease_record(&seen, now)).collect()
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
    /// A watch of one Lease reports no candidates of an election: see [`RecordOptions::lease`](super::RecordOptions::lease).
    #[must_use]
    pub fn take_events(&mut self) -> Vec<RecordEvent> {
        // A leader that has lost may still be a candidate, but its record as a candidate is another Lease.
        let alone = matches!(self.0.scope(), Scope::Record(..));
        let candidates = [RecordEventKind::Joined, RecordEventKind::Left];
        let events = self.0.take_events().into_iter().map(RecordEvent::from);
        let unknown = |event: &RecordEvent| {
            event.kind == RecordKind::Election && candidates.contains(&event.event)
        };
        events.filter(|event| !(alone && unknown(event))).collect()
    }

    /// Why the watch is interrupted, if it is. No record is marked as expired during an interruption, because a
    /// renewal may have been missed.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.0.last_error()
    }
}
