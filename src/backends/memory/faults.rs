//! The connection of one handle to the records, and the faults that a test can put on it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{future::BoxFuture, stream::BoxStream};
use tokio::{sync::watch, time::sleep};

use super::{BACKEND, store::Records};
use crate::{
    Error, Result,
    api::name::Namespace,
    protocol::record::{Versioned, Write},
    store::{Entry, ListedSession, RecordKey, Scope, Store, WatchEvent, Written, names::Names},
    util::mutex::lock,
};

/// A fault on the connection between one handle and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The store refuses the request with [`Error::PermissionDenied`](crate::Error::PermissionDenied).
    Refuse,
    /// The store carries out the request after this delay, even if the caller has given up by then.
    /// The response is not delayed further.
    Delay(Duration),
    /// The request is lost: the store does not carry it out, and there is no response.
    LoseRequest,
    /// The response is lost: the store carries out the request, and the caller never learns of it.
    LoseReply,
}

/// The connection of one handle to the records.
pub(super) struct Connection {
    pub(super) records: Arc<Records>,
    names: Arc<dyn Names>,
    /// The faults of the next requests, in order.
    next_faults: Mutex<VecDeque<Fault>>,
    /// The fault of every other request.
    pub(super) current_fault: watch::Sender<Option<Fault>>,
    requests: AtomicU64,
}

impl Connection {
    pub(super) fn new(records: Arc<Records>, names: Arc<dyn Names>) -> Self {
        Self {
            records,
            names,
            next_faults: Mutex::default(),
            current_fault: watch::Sender::new(None),
            requests: AtomicU64::new(0),
        }
    }

    pub(super) fn inject(&self, fault: Fault) {
        lock(&self.next_faults).push_back(fault);
    }

    pub(super) fn disturb(&self, fault: Option<Fault>) {
        self.current_fault.send_replace(fault);
    }

    pub(super) fn request_count(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Carries out `request`, or the fault that comes next.
    pub(super) async fn send<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: Option<&RecordKey>,
        request: impl FnOnce(&Records) -> T + Send + 'static,
    ) -> Result<T> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let next = lock(&self.next_faults).pop_front();
        match next.or_else(|| *self.current_fault.borrow()) {
            None => Ok(request(&self.records)),
            Some(Fault::Delay(by)) => {
                let records = Arc::clone(&self.records);
                // In a task of its own, because a request that was sent arrives even if the caller has given up.
                let late = tokio::spawn(async move {
                    sleep(by).await;
                    request(&records)
                });
                late.await.map_err(|error| Error::unavailable(BACKEND, error))
            }
            Some(Fault::LoseRequest) => std::future::pending().await,
            Some(Fault::LoseReply) => {
                request(&self.records);
                std::future::pending().await
            }
            Some(Fault::Refuse) => Err(Error::PermissionDenied {
                verb,
                resource: format!("record/{}", key.map_or("*", |key| key.record.as_str())),
                namespace: key.map_or("*", |key| key.namespace.as_str()).into(),
                reason: "the test injected Fault::Refuse".into(),
            }),
        }
    }
}

impl Store for Connection {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn names(&self) -> &Arc<dyn Names> {
        &self.names
    }

    fn check<'a>(&'a self, _: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.send("use", None, |_| ()))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        let (namespace, record) = (key.namespace.clone(), key.record.clone());
        Box::pin(self.send("get", Some(key), move |records| records.read(&namespace, &record)))
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        let verb = if write.base.is_some() { "update" } else { "create" };
        let (owned, write) = (key.clone(), write.clone());
        Box::pin(self.send(verb, Some(key), move |records| records.write(&owned, &write)))
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        let scope = scope.clone();
        Box::pin(self.send("list", None, move |records| records.list(&scope)))
    }

    fn list_sessions<'a>(
        &'a self,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<Vec<ListedSession>>> {
        Box::pin(self.listed_sessions(namespace))
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        Records::watch(&self.records, scope, self.current_fault.subscribe())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("fault", &*self.current_fault.borrow())
            .finish_non_exhaustive()
    }
}
