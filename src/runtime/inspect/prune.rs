//! Deletes the records of locks and elections that no process has used for a long time.

use std::time::Duration;

use super::{
    Inspector,
    record::{LeaseRecord, RecordOptions},
};
use crate::{
    api::{
        error::{Error, Result},
        record::RecordKind,
    },
    store::Entry,
};

/// How long a record must have been unused by default: every daily job has used its record since.
const OLDER_THAN: Duration = Duration::from_secs(7 * 86_400);

/// Selects the records to delete. See [`Inspect::prune`](crate::Inspect::prune).
///
/// ```
/// use std::time::Duration;
/// use leasehold::{PruneOptions, RecordOptions};
///
/// let month = Duration::from_secs(30 * 86_400);
/// let records = RecordOptions::default().label_selector("team=shop");
/// let options = PruneOptions::default().records(records).older_than(month).dry_run();
/// assert_eq!(options.older_than, month);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// The namespaces and labels of the records.
    pub records: RecordOptions,
    /// How long a record must have been unused.
    pub older_than: Duration,
    /// Finds the records and deletes none.
    pub dry_run: bool,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { records: RecordOptions::default(), older_than: OLDER_THAN, dry_run: false }
    }
}

impl PruneOptions {
    /// The namespaces and labels of the records. Defaults to all records in the namespace of the handle.
    #[must_use]
    pub fn records(mut self, records: RecordOptions) -> Self {
        self.records = records;
        self
    }

    /// How long a record must have been unused, by the time that its last holder wrote and the clock of this process.
    ///
    /// Defaults to seven days, so that the records of daily jobs stay. With zero every free record is
    /// deleted, except the records of candidates and those without a time.
    #[must_use]
    pub const fn older_than(mut self, older_than: Duration) -> Self {
        self.older_than = older_than;
        self
    }

    /// Finds the records and deletes none.
    #[must_use]
    pub const fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// A record that [`Inspect::prune`](crate::Inspect::prune) found unused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pruned {
    /// The record as it was found. `renewed_ago` is how long it has been unused.
    pub record: LeaseRecord,
    /// What became of the record.
    pub outcome: PruneOutcome,
}

/// What became of an unused record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PruneOutcome {
    /// It was deleted.
    Deleted,
    /// It would have been deleted without [`dry_run`](PruneOptions::dry_run).
    Unused,
    /// It was not deleted, because it was used, edited or deleted after it was found.
    Changed,
    /// The deletion failed. After [`Error::Unavailable`] the outcome is unknown: the record may be deleted.
    Failed(Error),
}

impl Inspector {
    /// See [`Inspect::prune`](crate::Inspect::prune).
    pub(crate) async fn prune(&self, options: PruneOptions) -> Result<Vec<Pruned>> {
        let PruneOptions { records, older_than, dry_run } = options;
        let records = self.stored_records(records).await?;
        let mut pruned = Vec::new();
        for record in records.into_iter().filter(|record| is_unused(record, older_than)) {
            let outcome =
                if dry_run { PruneOutcome::Unused } else { self.delete_free(&record).await };
            let stop = matches!(&outcome, PruneOutcome::Failed(error) if error.is_transient());
            pruned.push(Pruned { record, outcome });
            if stop {
                break;
            }
        }
        Ok(pruned)
    }

    /// Deletes a free record if it is still in the version that was read.
    async fn delete_free(&self, record: &LeaseRecord) -> PruneOutcome {
        let Entry { namespace, record: lease, found, .. } = &record.seen.entry;
        let deletion = self.store.delete(namespace, lease, &found.version);
        match self.in_time(deletion).await {
            Ok(true) => PruneOutcome::Deleted,
            Ok(false) => PruneOutcome::Changed,
            Err(error) => PruneOutcome::Failed(error),
        }
    }
}

fn is_unused(record: &LeaseRecord, older_than: Duration) -> bool {
    record.kind != RecordKind::Candidate
        && record.holder.is_none()
        && record.not_before.is_none()
        && record.renewed_ago.is_some_and(|ago| ago >= older_than)
}
