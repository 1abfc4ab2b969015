//! One watch for each set of records, shared by all of a handle who wait for news of it.

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

/// How many changes a slow reader may lag behind before it is told the whole set again.
const BACKLOG: usize = 32;

/// The watches of one handle.
pub(super) struct SharedWatches {
    http: Http,
    open: Mutex<HashMap<Scope, Weak<SharedWatch>>>,
}

/// A running watch; it ends with the last of those who follow it.
pub(super) struct SharedWatch {
    changes: broadcast::Sender<WatchEvent>,
    cache: Mutex<Cache>,
    restart: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

/// The set as last told.
#[derive(Default)]
struct Cache {
    entries: BTreeMap<(Namespace, LeaseName), Entry>,
    complete: bool,
    unavailable: Option<String>,
}

impl SharedWatches {
    pub(super) fn new(http: Http) -> Self {
        Self { http, open: Mutex::default() }
    }

    pub(super) fn subscribe(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let watch = self.watch(scope);
        let (first, changes) = {
            // Under one lock: nothing is told between the set and what changes it.
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
            // Too slow for the backlog: all of it anew.
            let (all, changes) = {
                let cache = lock(&watch.cache);
                (cache.snapshot(), watch.changes.subscribe())
            };
            Some((all, (watch, changes, None)))
        }))
    }

    /// A read showed what this watch should have told long ago: begin it anew.
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
    pub(super) fn publish(&self, change: WatchEvent) {
        let mut cache = lock(&self.cache);
        cache.apply(&change);
        // Nobody may be listening at this moment.
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

    /// What somebody new is told at once, if there is anything to tell.
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
