//! Records as an operator watches them.

use super::inspect::{LeaseRecord, lease_record};
use crate::{RecordEvent, runtime::observer::Observer};

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
    pub(super) const fn new(sightings: Observer) -> Self {
        Self(sightings)
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
        let now = Some(self.0.clock().now());
        self.0.seen().filter_map(|seen| lease_record(seen, now)).collect()
    }

    /// The events since the last call, without waiting: call it after [`changed`](Self::changed). The first call reports
    /// the present state.
    ///
    /// A loss comes before the next tenure. A candidate joins before it is elected, and leaves after it has lost.
    /// Changes that undo each other between two calls are not reported.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<RecordEvent> {
        self.0.take_events().into_iter().map(Into::into).collect()
    }

    /// Why there is no news at present, if there is none. What has not been renewed meanwhile is not called expired.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.0.last_error()
    }
}
