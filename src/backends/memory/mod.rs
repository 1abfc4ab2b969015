//! The embedded backend: the protocol over a map in this process.

mod faults;
mod held_watch;
mod sessions;
mod store;
mod watch;

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

pub use self::faults::Fault;
use self::{faults::Connection, store::Records};
use crate::{
    Clock, ElectWatcher, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions, Member,
    Options, Result, Session, SessionOptions, WatchElectOptions,
    api::name::Name,
    backends::plain_names::PlainNames,
    runtime::handle::Handle,
    store::{Store, sessions::SessionStore},
};

/// The name of this backend.
const BACKEND: &str = "memory";

/// Locks and elections within one process: for tests, for demonstrations, and for programs that also run without a
/// cluster.
///
/// Handles made by [`another`](Self::another) share one store and exclude each other, as handles in different
/// processes do. A clone is the same handle. The protocol is the one that runs on Kubernetes; only the store differs.
///
/// Time is the time of the async runtime, so that tests can use `tokio::time::pause`.
///
/// ```
/// use std::time::Duration;
/// use leasehold::{Error, LockOptions, Memory, Options, Sync as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let a = Memory::default();
/// let b = a.another(Options::default())?;
///
/// let held = a.lock("orders", LockOptions::default()).await?;
/// let busy = b.lock("orders", LockOptions::default().try_once()).await;
/// assert!(matches!(busy, Err(Error::Held { .. })));
/// # drop(held);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    handle: Arc<Handle>,
    connection: Arc<Connection>,
}

impl Memory {
    /// A handle to a new, empty store.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if a prefix, namespace or identity cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        Self::with_records(Arc::new(Records::new()), options)
    }

    /// Another handle to the same store, with an identity of its own, as a second process would have it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if a prefix, namespace or identity cannot be used.
    pub fn another(&self, options: Options) -> Result<Self> {
        Self::with_records(Arc::clone(&self.connection.records), options)
    }

    /// Opens a session: one heartbeat for any number of locks, first come, first served. It works also after this handle
    /// is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if an option cannot be used, and refusals of the backend. An unavailable
    /// backend is waited for.
    pub async fn session(&self, options: SessionOptions) -> Result<Session> {
        let store = Arc::clone(&self.connection) as Arc<dyn SessionStore>;
        Session::open(store, &self.handle, options).await
    }

    /// Deletes the record of the session `id`, as an operator can do with `kubectl delete`. Returns false if there is no
    /// such record.
    #[expect(clippy::must_use_candidate, reason = "callers may ignore whether there was a record")]
    pub fn delete_session(&self, id: &str) -> bool {
        self.connection.records.delete_session(id)
    }

    /// Puts `fault` on the next request of this handle. Faults that were injected before come first.
    pub fn inject(&self, fault: Fault) {
        self.connection.inject(fault);
    }

    /// Puts `fault` on every request of this handle, and silences its watches, until a call with `None`.
    pub fn disturb(&self, fault: Option<Fault>) {
        self.connection.disturb(fault);
    }

    /// Deletes the record of the lock or election `name`, as an operator can do with `kubectl delete`.
    /// Returns false if there is no such record.
    #[expect(clippy::must_use_candidate, reason = "callers may ignore whether there was a record")]
    pub fn delete_record(&self, name: &str) -> bool {
        let options = self.handle.options();
        let Ok(name) = Name::parse("lock name", name) else { return false };
        let record = self.connection.names().of(&name);
        options
            .namespace
            .as_deref()
            .is_some_and(|namespace| self.connection.records.delete(namespace, &record))
    }

    /// The number of requests that this handle has sent so far, without watches. Use it to test an upper bound.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        self.connection.request_count()
    }

    /// A handle to `records`.
    fn with_records(records: Arc<Records>, options: Options) -> Result<Self> {
        let names = PlainNames::new(&options.prefix)?;
        let connection = Arc::new(Connection::new(records, Arc::new(names)));
        let store = Arc::clone(&connection) as Arc<dyn Store>;
        let handle = Handle::new(store, options.clock(Clock::Runtime), "default")?;
        Ok(Self { handle, connection })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Options::default()).expect("default options are valid")
    }
}

crate::runtime::implement::implement_sync!(Memory);
