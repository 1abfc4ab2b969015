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

use super::{http::Api, reflector::follow};
use crate::{
    api::name::{LeaseName, Namespace},
    store::{Entry, Scope, WatchEvent},
    util::mutex::lock,
};

/// How many changes a slow reader may lag behind before it is told the whole set again.
const BACKLOG: usize = 32;

/// The watches of one handle.
pub(super) struct Watches {
    api: Api,
    open: Mutex<HashMap<Scope, Weak<Watch>>>,
}

/// A running watch; it ends with the last of those who follow it.
pub(super) struct Watch {
    changes: broadcast::Sender<WatchEvent>,
    known: Mutex<Known>,
    doubted: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

/// The set as last told.
#[derive(Default)]
struct Known {
    entries: BTreeMap<(Namespace, LeaseName), Entry>,
    complete: bool,
    blind: Option<String>,
}

impl Watches {
    pub(super) fn new(api: Api) -> Self {
        Self { api, open: Mutex::default() }
    }

    pub(super) fn subscribe(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let watch = self.watch(scope);
        let (first, changes) = {
            // Under one lock: nothing is told between the set and what changes it.
            let known = lock(&watch.known);
            (known.first(), watch.changes.subscribe())
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
                let known = lock(&watch.known);
                (known.all(), watch.changes.subscribe())
            };
            Some((all, (watch, changes, None)))
        }))
    }

    /// A read showed what this watch should have told long ago: begin it anew.
    pub(super) fn doubt(&self, scope: &Scope) {
        if let Some(watch) = lock(&self.open).get(scope).and_then(Weak::upgrade) {
            watch.doubted.notify_one();
        }
    }

    fn watch(&self, scope: &Scope) -> Arc<Watch> {
        let mut open = lock(&self.open);
        if let Some(watch) = open.get(scope).and_then(Weak::upgrade) {
            return watch;
        }
        open.retain(|_, watch| watch.strong_count() > 0);
        let watch = Arc::new(Watch {
            changes: broadcast::Sender::new(BACKLOG),
            known: Mutex::default(),
            doubted: Arc::default(),
            task: Mutex::default(),
        });
        let doubted = Arc::clone(&watch.doubted);
        let task =
            tokio::spawn(follow(self.api.clone(), scope.clone(), Arc::downgrade(&watch), doubted));
        *lock(&watch.task) = Some(task.abort_handle());
        open.insert(scope.clone(), Arc::downgrade(&watch));
        watch
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl Watch {
    pub(super) fn tell(&self, change: WatchEvent) {
        let mut known = lock(&self.known);
        known.take(&change);
        // Nobody may be listening at this moment.
        let _ = self.changes.send(change);
    }
}

impl Known {
    fn take(&mut self, change: &WatchEvent) {
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
        self.blind = match change {
            WatchEvent::Blind(why) => Some(why.clone()),
            _ => None,
        };
    }

    /// What somebody new is told at once, if there is anything to tell.
    fn first(&self) -> Option<WatchEvent> {
        match &self.blind {
            Some(why) => Some(WatchEvent::Blind(why.clone())),
            None => self.complete.then(|| self.all()),
        }
    }

    fn all(&self) -> WatchEvent {
        WatchEvent::All(self.entries.values().cloned().collect())
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").field("open", &lock(&self.open).len()).finish_non_exhaustive()
    }
}
