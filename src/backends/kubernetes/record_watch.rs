//! A watch of records for operators.

use super::inspect::{LeaseRecord, lease_record};
use crate::runtime::observer::Observer;

/// The locks, elections and candidates of a scope, kept up to date.
///
/// See [`Kubernetes::watch_records`](super::Kubernetes::watch_records).
///
/// ```no_run
/// # async fn example(sync: &leasehold::Kubernetes) -> leasehold::Result<()> {
/// let mut watch = sync.watch_records(leasehold::RecordOptions::default()).await?;
/// loop {
///     for record in watch.current().iter().filter(|record| record.expired) {
///         println!("the holder of {} has stopped renewing", record.name);
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
        let now = self.0.clock().now();
        let judged = |seen: &crate::runtime::observer::Seen| {
            let mut record = lease_record(seen.entry.clone())?;
            let unchanged = now - seen.since;
            record.unchanged_for = Some(unchanged);
            record.expired = seen.expired;
            // The age was computed when the record was read: add the time since then.
            record.renewed_ago = record.renewed_ago.map(|ago| ago + unchanged);
            Some(record)
        };
        self.0.seen().filter_map(judged).collect()
    }

    /// Why the watch is interrupted, if it is. No record is marked as expired during an interruption, because a
    /// renewal may have been missed.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.0.last_error()
    }
}
