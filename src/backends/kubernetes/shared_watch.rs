//! One watch for each scope, shared by all subscribers of a handle.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, Weak},
};

use futures::{stream, stream::BoxStream};
use tokio::{
    sync::{Notify, broadcast},
    task::AbortHandle,
};

use super::{http::Http, reflector::reflect};
use crate::{
    api::name::{LeaseName, Namespace},
    store::{Entry, Scope, WatchEvent},
    util::mutex::lock,
};

/// How many events a slow subscriber may lag behind before it gets the whole set again.
const BACKLOG: usize = 32;

/// The watches of one handle.
pub(super) struct SharedWatches {
    http: Http,
    open: Mutex<HashMap<Scope, Weak<SharedWatch>>>,
}

/// A running watch. It ends when the last subscriber has gone.
pub(super) struct SharedWatch {
    changes: broadcast::Sender<WatchEvent>,
    cache: Mutex<Cache>,
    /// Tells the task to list again.
    restart: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

/// The set of records, as the events so far describe it.
#[derive(Default)]
struct Cache {
    entries: BTreeMap<(Namespace, LeaseName), Entry>,
    /// The first list has succeeded.
    complete: bool,
    /// Why the watch is interrupted, if it is.
    unavailable: Option<String>,
}

impl SharedWatches {
    pub(super) fn new(http: Http) -> Self {
        Self { http, open: Mutex::default() }
    }

    pub(super) fn subscribe(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let watch = self.watch(scope);
        let (first, changes) = {
            // Under one lock, so that no event is published between the snapshot and the subscription.
            let cache = lock(&watch.cache);
            (cache.initial_event(), watch.changes.subscribe())
        };
        let start = (watch, changes, first);
        Box::pin(stream::unfold(start, |(watch, mut changes, first)| async move {
            if let Some(change) = first {
                return Some((change, (watch, changes, None)));
            }
            if let Ok(change) = changes.recv().await {
                return Some((change, (watch, changes, None)));
            }
            // The subscriber lagged behind the backlog and missed events: send the whole set again.
            let (all, changes) = {
                let cache = lock(&watch.cache);
                (cache.snapshot(), watch.changes.subscribe())
            };
            Some((all, (watch, changes, None)))
        }))
    }

    /// Starts the watch of `scope` again, because a read returned a change that the watch has not reported.
    pub(super) fn restart(&self, scope: &Scope) {
        if let Some(watch) = lock(&self.open).get(scope).and_then(Weak::upgrade) {
            watch.restart.notify_one();
        }
    }

    fn watch(&self, scope: &Scope) -> Arc<SharedWatch> {
        let mut open = lock(&self.open);
        if let Some(watch) = open.get(scope).and_then(Weak::upgrade) {
            return watch;
        }
        open.retain(|_, watch| watch.strong_count() > 0);
        let watch = Arc::new(SharedWatch {
            changes: broadcast::Sender::new(BACKLOG),
            cache: Mutex::default(),
            restart: Arc::default(),
            task: Mutex::default(),
        });
        let restart = Arc::clone(&watch.restart);
        let task = tokio::spawn(reflect(
            self.http.clone(),
            scope.clone(),
            Arc::downgrade(&watch),
            restart,
        ));
        *lock(&watch.task) = Some(task.abort_handle());
        open.insert(scope.clone(), Arc::downgrade(&watch));
        watch
    }
}

impl Drop for SharedWatch {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl SharedWatch {
    /// Records an event and sends it to every subscriber.
    pub(super) fn publish(&self, change: WatchEvent) {
        let mut cache = lock(&self.cache);
        cache.apply(&change);
        // It is not an error that there is no subscriber at this moment.
        let _ = self.changes.send(change);
    }
}

impl Cache {
    fn apply(&mut self, change: &WatchEvent) {
        match change {
            WatchEvent::All(entries) => {
                self.entries = entries.iter().map(|entry| (entry.place(), entry.clone())).collect();
                self.complete = true;
            }
            WatchEvent::Set(entry) => {
                self.entries.insert(entry.place(), entry.clone());
            }
            WatchEvent::Gone(namespace, lease, _) => {
                self.entries.remove(&(namespace.clone(), lease.clone()));
            }
            WatchEvent::Blind(_) => {}
        }
        self.unavailable = match change {
            WatchEvent::Blind(why) => Some(why.clone()),
            _ => None,
        };
    }

    /// The first event of a new subscriber; `None` before the first list has succeeded or failed.
    fn initial_event(&self) -> Option<WatchEvent> {
        match &self.unavailable {
            Some(why) => Some(WatchEvent::Blind(why.clone())),
            None => self.complete.then(|| self.snapshot()),
        }
    }

    fn snapshot(&self) -> WatchEvent {
        WatchEvent::All(self.entries.values().cloned().collect())
    }
}

impl std::fmt::Debug for SharedWatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedWatches")
            .field("open", &lock(&self.open).len())
            .finish_non_exhaustive()
    }
}
