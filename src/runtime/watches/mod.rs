//! The watches of one handle, and which of them serves a subscriber.
//!
//! A backend knows how to watch a set of records. It does not know its subscribers: they come and go, on any runtime, and
//! each gets the present state first and then each change.

mod audience;
mod shared_watch;
mod topic;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, Weak},
};

use futures::{future::BoxFuture, stream::BoxStream};

#[cfg(any(feature = "etcd", feature = "kubernetes"))]
pub(crate) use self::shared_watch::REQUEST_TIMEOUT;
pub(crate) use self::shared_watch::Reporter;
use self::shared_watch::SharedWatch;
use crate::{
    api::name::{Namespace, RecordName},
    store::{Scope, WatchEvent},
    util::mutex::lock,
};

/// The records that one watch reports on.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Scope(Scope),
    /// Every record of a namespace, whichever program wrote it.
    Namespace(Namespace),
}

/// The watches of a backend, each for one subscriber.
pub(crate) trait Source: Send + Sync + 'static {
    /// How many names of one namespace have a watch of their own. Further names share one watch of the whole namespace.
    fn singles(&self) -> usize;

    /// Lists `target`, then follows it, and reports both. Completes when the reporter says that the watch is no longer
    /// wanted; dropping the future ends the watch at once.
    fn follow(&self, target: Target, reporter: Reporter) -> BoxFuture<'static, ()>;
}

/// The watches of one handle.
pub(crate) struct Watches {
    source: Arc<dyn Source>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    scopes: HashMap<Scope, Weak<SharedWatch>>,
    /// Kept without subscribers: each ends its task by itself, and can run again.
    namespaces: HashMap<Namespace, Arc<SharedWatch>>,
}

impl Watches {
    pub(crate) fn new(source: impl Source) -> Self {
        Self { source: Arc::new(source), open: Mutex::default() }
    }

    /// The events of `scope`.
    pub(crate) fn subscribe(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let (watch, name) = self.watch(scope);
        watch.subscribe(name)
    }

    /// Starts the watch of `scope` again, because a read returned a change that the watch has not reported.
    pub(crate) fn restart(&self, scope: &Scope) {
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
            && open.singles(namespace) >= self.source.singles()
        {
            let watch = open.namespaces.entry(namespace.clone()).or_insert_with(|| {
                SharedWatch::of_namespace(Arc::clone(&self.source), namespace.clone())
            });
            return (Arc::clone(watch), Some(lease.clone()));
        }
        let watch = SharedWatch::of_scope(Arc::clone(&self.source), scope.clone());
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
