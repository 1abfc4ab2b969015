//! One handle's way to the records.

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
    store::{Entry, RecordKey, Scope, Store, WatchEvent, Written},
    util::mutex::lock,
};

/// What goes wrong between one handle and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The request arrives, and is answered with a refusal.
    Refuse,
    /// The request arrives late by this much, also if it was given up meanwhile, and its answer at once.
    Delay(Duration),
    /// The request never arrives, and there is no answer.
    LoseRequest,
    /// The request is carried out, and its answer never arrives.
    LoseReply,
}

/// One handle's way to the store, with what goes wrong on it.
pub(super) struct Connection {
    pub(super) records: Arc<Records>,
    injected: Mutex<VecDeque<Fault>>,
    permanent_fault: watch::Sender<Option<Fault>>,
    requests: AtomicU64,
}

impl Connection {
    pub(super) fn new(records: Arc<Records>) -> Self {
        Self {
            records,
            injected: Mutex::default(),
            permanent_fault: watch::Sender::new(None),
            requests: AtomicU64::new(0),
        }
    }

    pub(super) fn inject(&self, fault: Fault) {
        lock(&self.injected).push_back(fault);
    }

    pub(super) fn disturb(&self, fault: Option<Fault>) {
        self.permanent_fault.send_replace(fault);
    }

    pub(super) fn request_count(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Carries out `request` with whatever is to go wrong.
    async fn send<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: Option<&RecordKey>,
        request: impl FnOnce(&Records) -> T + Send + 'static,
    ) -> Result<T> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let next = lock(&self.injected).pop_front();
        match next.or_else(|| *self.permanent_fault.borrow()) {
            None => Ok(request(&self.records)),
            Some(Fault::Delay(by)) => {
                let records = Arc::clone(&self.records);
                // Its own task: a request under way arrives also if its sender has given up.
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
                resource: format!("record/{}", key.map_or("*", |key| key.lease.as_str())),
                namespace: key.map_or("*", |key| key.namespace.as_str()).into(),
                reason: "a fault was injected".into(),
            }),
        }
    }
}

impl Store for Connection {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn check<'a>(&'a self, _: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.send("use", None, |_| ()))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        let (namespace, lease) = (key.namespace.clone(), key.lease.clone());
        Box::pin(self.send("get", Some(key), move |records| records.read(&namespace, &lease)))
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

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        Records::watch(&self.records, scope, self.permanent_fault.subscribe())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("fault", &*self.permanent_fault.borrow())
            .finish_non_exhaustive()
    }
}
