//! Records as an operator watches them.

use super::inspect::{LeaseRecord, lease_record};
use crate::runtime::observer::Observer;

/// Every lock, election and candidate of a scope, kept up to date: see [`Kubernetes::watch_records`](super::Kubernetes::watch_records).
///
/// ```no_run
/// # async fn example(sync: &leasehold::Kubernetes) -> leasehold::Result<()> {
/// let mut watch = sync.watch_records(leasehold::RecordOptions::default()).await?;
/// loop {
///     for record in watch.current().iter().filter(|record| record.expired) {
///         println!("nobody is left who holds {}", record.name);
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

    /// Returns when a record may have changed, or expired. Never ends by itself.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn changed(&mut self) {
        self.0.next().await;
    }

    /// The records as they are now, as far as this process knows, by namespace and name of the Lease.
    #[must_use]
    pub fn current(&self) -> Vec<LeaseRecord> {
        let now = self.0.clock().now();
        let judged = |seen: &crate::runtime::observer::Seen| {
            let mut record = lease_record(seen.entry.clone())?;
            let unchanged = now - seen.since;
            record.unchanged_for = Some(unchanged);
            record.expired = seen.expired;
            // Written times go on from when they were read.
            record.renewed_ago = record.renewed_ago.map(|ago| ago + unchanged);
            Some(record)
        };
        self.0.seen().filter_map(judged).collect()
    }

    /// Why there is no news at present, if there is none. What has not been renewed meanwhile is not called expired.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.0.trouble()
    }
}
