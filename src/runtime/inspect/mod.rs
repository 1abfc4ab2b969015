//! Tools for operators: list records and sessions, watch them, release a lock by force, and delete unused records.
//!
//! Written once, over the [`InspectStore`] of any backend.

mod prune;
mod record;
mod sessions;
mod watch;

use std::{fmt, sync::Arc, time::Duration};

use auto_impl::auto_impl;
use futures::future::BoxFuture;

pub use self::{
    prune::{PruneOptions, PruneOutcome, Pruned},
    record::{LeaseRecord, RecordOptions},
    watch::RecordWatch,
};
use crate::{
    api::{error::Result, session::SessionInfo},
    runtime::{attempt::answered, handle::Handle},
    store::inspect::InspectStore,
};

/// The maximum time of one request. It can be generous, because no tenure depends on it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Tools for operators and dashboards: they list records and sessions, watch them, release a lock by force, and delete
/// unused records.
///
/// Each backend that other programs can use implements it: [`Kubernetes`](crate::Kubernetes) and
/// `Etcd`. No lock depends on it, and it takes no part in locks and elections.
///
/// ```no_run
/// # async fn example(sync: &dyn leasehold::Inspect) -> leasehold::Result<()> {
/// use leasehold::RecordOptions;
///
/// for record in sync.list_records(RecordOptions::default()).await? {
///     println!("{} {:?}", record.name, record.holder);
/// }
/// # Ok(())
/// # }
/// ```
#[auto_impl(Arc, Box)]
pub trait Inspect: fmt::Debug + Send + std::marker::Sync + 'static {
    /// The name of the record of the lock or election `name`: the name of its Lease, or the last part of its key.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if `name` cannot be the name of a lock or election.
    fn record_name(&self, name: &str) -> Result<String>;

    /// Lists every lock, election and candidate, of all applications. On Kubernetes these are the Leases **with any
    /// prefix**: two records with the same `name` may be listed, on different Leases. On etcd these are the keys with
    /// the prefix of this handle.
    ///
    /// In an election that is a queue, each candidate is a record, although all of them are in one Lease or key. Whether
    /// their sessions are alive needs one list more.
    ///
    /// On Kubernetes it requires the verb `list` on leases, or `get` on one Lease for [`RecordOptions::lease`]. Records
    /// of other programs are not listed.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the backend.
    ///
    /// # Cancel safety
    ///
    /// The request only reads, so the future may be dropped.
    fn list_records(&self, options: RecordOptions) -> BoxFuture<'_, Result<Vec<LeaseRecord>>>;

    /// Watches the records that [`list_records`](Self::list_records) lists, and judges whether their holders are alive.
    /// It judges as a contender does: by how long a record has been unchanged on the clock of this process.
    ///
    /// On Kubernetes it requires the verb `list` on leases, and `watch`. Without `watch` it lists every 5 s. For
    /// [`RecordOptions::lease`] the verbs are required on that Lease only.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the backend.
    fn watch_records(&self, options: RecordOptions) -> BoxFuture<'_, Result<RecordWatch>>;

    /// Watches the record of the election `name` and the records of its candidates, as
    /// [`watch_records`](Self::watch_records) does. For the candidate that leads, read the record of the election.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the backend.
    fn watch_election<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<RecordWatch>>;

    /// Releases a lock or an election without its holder, if the record is still exactly as it was read. Also removes the
    /// time before which no other tenure may begin, so that the next one may begin at once.
    ///
    /// It is for a holder that hangs. The prefix of the names of this handle is ignored: `record` names the Lease or key.
    ///
    /// **Two holders.** The call does not wait for the holder. The holder notices at its next renewal, by default
    /// within a third of its time to live. Until then another process may hold the lock too.
    ///
    /// Returns false, and changes nothing, if the record has changed since it was read.
    ///
    /// # Errors
    ///
    /// The error of the backend. After [`Error::Unavailable`](crate::Error::Unavailable) the outcome is unknown: the
    /// record may be released.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the outcome is unknown: the record may be released.
    fn force_release<'a>(&'a self, record: &'a LeaseRecord) -> BoxFuture<'a, Result<bool>>;

    /// Deletes the free records of locks and elections that no process has used for a given time. Records of all
    /// applications count, as in [`list_records`](Self::list_records).
    ///
    /// On Kubernetes it requires the verbs `list` and `delete` on leases. A record that cannot be deleted is reported as
    /// [`PruneOutcome::Failed`], and the next one is tried, unless the backend is unavailable.
    ///
    /// # Guarantees
    ///
    /// **No held lock is deleted.** A record is deleted only if it is free, and still exactly in the version that was
    /// found free: the deletion is conditional on the version and the identity of the object. So no process loses a lock,
    /// whatever the clocks say. The age depends on the wall clocks of the last holder and of this process. A wrong
    /// clock can only delete a free record too early, which costs its next user two requests.
    ///
    /// **Waiters continue.** A contender that knew the record as free creates it again at once. Its claim of the
    /// deleted record names the old object, so the backend refuses it, and the contender reads again. A contender that
    /// missed the release, because its watch was interrupted, waits for one more ttl.
    ///
    /// **Tokens grow.** The token is the version of the record, which also grows across a deletion.
    ///
    /// Not deleted are held records, also of holders that died; records that state a time before which no tenure may
    /// begin, until that time; candidates' records, which the leader of their election
    /// deletes; records without a renewal time; and records of other programs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the list. Nothing was deleted then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some records may be deleted. Call this method again for the others.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(sync: &dyn leasehold::Inspect) -> leasehold::Result<()> {
    /// use leasehold::{PruneOptions, PruneOutcome};
    ///
    /// for pruned in sync.prune(PruneOptions::default()).await? {
    ///     if let PruneOutcome::Failed(error) = pruned.outcome {
    ///         eprintln!("{}: {error}", pruned.record.lease);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn prune(&self, options: PruneOptions) -> BoxFuture<'_, Result<Vec<Pruned>>>;

    /// Lists the sessions that `options` select. A label selector restricts them further, and `lease` is the name of one
    /// session, which on Kubernetes needs only the verb `get` on that Lease.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and the errors of the backend.
    fn list_sessions(&self, options: RecordOptions) -> BoxFuture<'_, Result<Vec<SessionInfo>>>;

    /// Ends a session whose process does not renew it any more, in the namespace of this handle. Its locks go on to the
    /// next in their queues. Returns false if there is no such session.
    ///
    /// **Safe.** It waits until the session was unchanged for its whole time to live on the clock of this process, as
    /// every process that waits for one of its locks does.
    ///
    /// # Errors
    ///
    /// [`Error::Held`](crate::Error::Held) if the session is renewed, and the errors of the backend.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may be over.
    fn end_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// Deletes the record of a session, also of one that is renewed, in the namespace of this handle. Returns false if
    /// there is none.
    ///
    /// **Safe.** Its process loses the session and all its locks at its next heartbeat, within a third of the time to
    /// live. No other process gets one of them before the session was missing for its time to live.
    ///
    /// # Errors
    ///
    /// The errors of the backend.
    fn delete_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool>>;
}

/// The tools of one handle.
#[derive(Clone, Debug)]
pub(crate) struct Inspector {
    pub(crate) handle: Arc<Handle>,
    pub(crate) store: Arc<dyn InspectStore>,
}

impl Inspector {
    /// One request, which is abandoned after [`REQUEST_TIMEOUT`].
    async fn in_time<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        answered(&*self.store, REQUEST_TIMEOUT, request).await
    }
}

/// Implements [`Inspect`] for a newtype with a field `inspector`.
macro_rules! implement_inspect {
    ($backend:ty) => {
        impl crate::Inspect for $backend {
            fn record_name(&self, name: &str) -> Result<String> {
                self.inspector.record_name(name)
            }

            fn list_records(
                &self,
                options: crate::RecordOptions,
            ) -> BoxFuture<'_, Result<Vec<crate::LeaseRecord>>> {
                Box::pin(self.inspector.list_records(options))
            }

            fn watch_records(
                &self,
                options: crate::RecordOptions,
            ) -> BoxFuture<'_, Result<crate::RecordWatch>> {
                Box::pin(self.inspector.watch_records(options))
            }

            fn watch_election<'a>(
                &'a self,
                name: &'a str,
            ) -> BoxFuture<'a, Result<crate::RecordWatch>> {
                Box::pin(self.inspector.watch_election(name))
            }

            fn force_release<'a>(
                &'a self,
                record: &'a crate::LeaseRecord,
            ) -> BoxFuture<'a, Result<bool>> {
                Box::pin(self.inspector.force_release(record))
            }

            fn prune(
                &self,
                options: crate::PruneOptions,
            ) -> BoxFuture<'_, Result<Vec<crate::Pruned>>> {
                Box::pin(self.inspector.prune(options))
            }

            fn list_sessions(
                &self,
                options: crate::RecordOptions,
            ) -> BoxFuture<'_, Result<Vec<crate::SessionInfo>>> {
                Box::pin(self.inspector.list_sessions(options))
            }

            fn end_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool>> {
                Box::pin(self.inspector.end_session(id))
            }

            fn delete_session<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool>> {
                Box::pin(self.inspector.delete_session(id))
            }
        }
    };
}
pub(crate) use implement_inspect;
