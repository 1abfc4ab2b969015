//! The watches of one handle, and which of them serves a subscriber.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, Weak},
};

use futures::stream::BoxStream;

use super::{http::Http, shared_watch::SharedWatch};
use crate::{
    api::name::{Namespace, RecordName},
    store::{Scope, WatchEvent},
    util::mutex::lock,
};

/// How many names of one namespace have a watch of their own.
///
/// Such a watch costs a connection, but needs permission for its name only, and the server does not send it what happens
/// to other names. Further names share one watch of the whole namespace.
const SINGLE: usize = 4;

/// The watches of one handle.
pub(super) struct Watches {
    http: Http,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    scopes: HashMap<Scope, Weak<SharedWatch>>,
    /// Kept without subscribers: each ends its task by itself, and can run again.
    namespaces: HashMap<Namespace, Arc<SharedWatch>>,
}

impl Watches {
    pub(super) fn new(http: Http) -> Self {
        Self { http, open: Mutex::default() }
    }

    /// The events of `scope`.
    pub(super) fn subscribe(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let (watch, name) = self.watch(scope);
        watch.subscribe(name)
    }

    /// Starts the watch of `scope` again, because a read returned a change that the watch has not reported.
    pub(super) fn restart(&self, scope: &Scope) {
        let (single, shared) = {
            let open = lock(&self.open);
            let shared = match scope {
                Scope::Record(namespace, lease) => open.namespaces.get(namespace).zip(Some(lease)),
                _ => None,
            };
            let shared = shared.filter(|(watch, lease)| watch.serves(lease));
            (
                open.scopes.get(scope).and_then(Weak::upgrade),
                shared.map(|(watch, _)| Arc::clone(watch)),
            )
        };
        single.into_iter().chain(shared).for_each(|watch| watch.restart());
    }

    /// The watch that serves a new subscriber to `scope`, and the name of the subscriber in it.
    fn watch(&self, scope: &Scope) -> (Arc<SharedWatch>, Option<RecordName>) {
        let mut open = lock(&self.open);
        if let Some(watch) = open.scopes.get(scope).and_then(Weak::upgrade) {
            return (watch, None);
        }
        open.scopes.retain(|_, watch| watch.strong_count() > 0);
        if let Scope::Record(namespace, lease) = scope
            && open.singles(namespace) >= SINGLE
        {
            let watch = open
                .namespaces
                .entry(namespace.clone())
                .or_insert_with(|| SharedWatch::of_namespace(self.http.clone(), namespace.clone()));
            return (Arc::clone(watch), Some(lease.clone()));
        }
        let watch = SharedWatch::of_scope(self.http.clone(), scope.clone());
        open.scopes.insert(scope.clone(), Arc::downgrade(&watch));
        (watch, None)
    }
}

impl Open {
    /// How many names of `namespace` have a watch of their own.
    fn singles(&self, namespace: &Namespace) -> usize {
        let single = |scope: &&Scope| matches!(scope, Scope::Record(of, _) if of == namespace);
        self.scopes.keys().filter(single).count()
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}
