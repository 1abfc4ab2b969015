//! One watch for each set of records, shared by all of a handle who wait for news of it.
//!
//! Built on kube's watcher, which re-lists and resumes, with what it leaves open: it asks for the same
//! version for ever when the server answers 410 to the start of a watch, so it is begun anew; it is
//! patient for minutes with a connection that is dead, so whoever finds out by a read says so
//! ([`Watches::doubt`]); and its pauses start over with each attempt, so the pauses here are our own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream, stream::BoxStream};
use kube::{
    Client, Resource,
    api::{Api, ObjectMeta},
    runtime::watcher::{self, Event, watcher},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use tokio::{
    sync::{Notify, broadcast},
    task::AbortHandle,
    time::sleep,
};

use super::store::{Selector, readable, selector};
use crate::{
    name::LeaseName,
    store::{Change, Entry, Scope},
};

/// After how long a watch is asked for anew, in seconds; a dead one is noticed 5 s later by itself.
const LENGTH: u32 = 240;
/// The first pause after a failure; each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after a refusal: only a person can change that.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// How many changes a slow reader may lag behind before it is told the whole set again.
const BACKLOG: usize = 256;

/// The watches of one handle.
pub(super) struct Watches {
    client: Client,
    open: Mutex<HashMap<Scope, Weak<Watch>>>,
}

/// A running watch; it ends with the last of those who follow it.
struct Watch {
    changes: broadcast::Sender<Change>,
    known: Mutex<Known>,
    doubted: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

/// The set as last told.
#[derive(Default)]
struct Known {
    entries: BTreeMap<LeaseName, Entry>,
    complete: bool,
    blind: Option<String>,
}

impl Watches {
    pub(super) fn new(client: Client) -> Self {
        Self { client, open: Mutex::default() }
    }

    pub(super) fn subscribe(&self, scope: &Scope) -> BoxStream<'static, Change> {
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
        let task = tokio::spawn(follow(
            self.client.clone(),
            scope.clone(),
            Arc::downgrade(&watch),
            doubted,
        ));
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
    fn tell(&self, change: Change) {
        let mut known = lock(&self.known);
        known.take(&change);
        // Nobody may be listening at this moment.
        let _ = self.changes.send(change);
    }
}

impl Known {
    fn take(&mut self, change: &Change) {
        match change {
            Change::All(entries) => {
                self.entries =
                    entries.iter().map(|entry| (entry.lease.clone(), entry.clone())).collect();
                self.complete = true;
            }
            Change::Set(entry) => {
                self.entries.insert(entry.lease.clone(), entry.clone());
            }
            Change::Gone(lease, _) => {
                self.entries.remove(lease);
            }
            Change::Blind(_) => {}
        }
        self.blind = match change {
            Change::Blind(why) => Some(why.clone()),
            _ => None,
        };
    }

    /// What somebody new is told at once, if there is anything to tell.
    fn first(&self) -> Option<Change> {
        match &self.blind {
            Some(why) => Some(Change::Blind(why.clone())),
            None => self.complete.then(|| self.all()),
        }
    }

    fn all(&self) -> Change {
        Change::All(self.entries.values().cloned().collect())
    }
}

/// Watches until nobody follows any more. Holds no share in `watch` while it waits: the last follower ends it.
async fn follow(client: Client, scope: Scope, watch: Weak<Watch>, doubted: Arc<Notify>) {
    let mut failures = 0;
    loop {
        let mut events = begin(&client, &scope);
        let mut listed = Vec::new();
        loop {
            let event = tokio::select! {
                biased;
                () = doubted.notified() => break,
                event = events.next() => event,
            };
            let (Some(event), Some(following)) = (event, watch.upgrade()) else { return };
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(lease)) => listed.extend(readable(lease.whole)),
                Ok(Event::InitDone) => {
                    failures = 0;
                    following.tell(Change::All(std::mem::take(&mut listed)));
                }
                Ok(Event::Apply(lease)) => {
                    failures = 0;
                    if let Some(entry) = readable(lease.whole) {
                        following.tell(Change::Set(entry));
                    }
                }
                Ok(Event::Delete(lease)) => {
                    if let Some(entry) = readable(lease.whole) {
                        following.tell(Change::Gone(entry.lease, entry.found.version.number));
                    }
                }
                Err(error) => {
                    following.tell(Change::Blind(error.to_string()));
                    drop(following);
                    let pause = pause(&error, failures);
                    failures += 1;
                    sleep(pause).await;
                    if is_gone_at_start(&error) {
                        break;
                    }
                }
            }
        }
    }
}

fn begin(
    client: &Client,
    scope: &Scope,
) -> impl Stream<Item = watcher::Result<Event<Lease>>> + Send + Unpin + use<> {
    let (Scope::Record(namespace, _) | Scope::Elections(namespace, _)) = scope;
    let config = watcher::Config::default().timeout(LENGTH);
    let config = match selector(scope) {
        Selector::Field(selector) => config.fields(&selector),
        Selector::Label(selector) => config.labels(&selector),
    };
    Box::pin(watcher(Api::<Lease>::namespaced(client.clone(), namespace.as_str()), config))
}

/// The version to resume from is gone, and the watcher would ask for it for ever.
fn is_gone_at_start(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

fn pause(error: &watcher::Error, failures: u32) -> Duration {
    let refused = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            status.is_forbidden() || status.code == 401
        }
        _ => false,
    };
    let pause = if refused {
        REFUSED_PAUSE
    } else {
        FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE)
    };
    // Whoever lost the same server comes back at another time.
    let part = crate::chance::draw().to_be_bytes()[0];
    pause / 2 + pause / 2 * u32::from(part) / 255
}

/// A Lease as it came over the wire.
#[derive(Clone, Debug)]
struct Lease {
    metadata: ObjectMeta,
    whole: Value,
}

impl<'de> Deserialize<'de> for Lease {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = Value::deserialize(deserializer)?;
        let metadata = ObjectMeta::deserialize(&whole["metadata"]).map_err(D::Error::custom)?;
        Ok(Self { metadata, whole })
    }
}

impl Resource for Lease {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        "Lease".into()
    }

    fn group((): &()) -> std::borrow::Cow<'_, str> {
        "coordination.k8s.io".into()
    }

    fn version((): &()) -> std::borrow::Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        "leases".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").field("open", &lock(&self.open).len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
