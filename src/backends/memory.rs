//! The embedded backend: the same protocol over a map in this process.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    num::NonZeroU64,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{future::BoxFuture, stream, stream::BoxStream};
use tokio::{
    sync::{broadcast, watch},
    time::sleep,
};

use crate::{
    Clock, ElectWatcher, Error, Guard, Leader, LeaderOptions, ListMembersOptions, LockOptions,
    Member, Options, Result, WatchElectOptions,
    api::name::{LeaseName, Name, Namespace},
    protocol::record::{Record, Version, Versioned, Write, WriteKind},
    runtime::handle::Handle,
    store::{Entry, Kind, RecordKey, Scope, Store, WatchEvent, Written},
    util::{clock::Moment, mutex::lock},
};

/// The embedded backend's name.
const BACKEND: &str = "memory";
/// How many changes a watch may lag behind before it is told the whole state again.
const BACKLOG: usize = 256;

/// Locks and elections within one process: for tests, for demonstrations, and for programs that may run without a cluster.
///
/// Handles made by [`another`](Self::another) share one store and exclude each other as processes do.
/// The protocol is the one that runs on Kubernetes; only the store is a map. Time is the async
/// runtime's, so `tokio::time::pause` works.
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
/// assert!(matches!(busy, Err(Error::Timeout { .. })));
/// # drop(held);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Memory {
    handle: Arc<Handle>,
    link: Arc<Link>,
}

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

impl Memory {
    /// A handle to a store of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if a prefix, namespace or identity cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        Self::over(Arc::new(World::new()), options)
    }

    /// Another handle to the same store, as another process would have one.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if a prefix, namespace or identity cannot be used.
    pub fn another(&self, options: Options) -> Result<Self> {
        Self::over(Arc::clone(&self.link.world), options)
    }

    /// Makes `fault` happen to the next request of this handle; those injected before come first.
    pub fn inject(&self, fault: Fault) {
        lock(&self.link.next).push_back(fault);
    }

    /// Makes `fault` happen to every request of this handle, and its watches silent, until this is called with `None`.
    pub fn disturb(&self, fault: Option<Fault>) {
        self.link.lasting.send_replace(fault);
    }

    /// Deletes the record of the lock or election `name`, as somebody with `kubectl` might; false if there is none.
    #[expect(clippy::must_use_candidate, reason = "done whether or not anybody asks")]
    pub fn delete_record(&self, name: &str) -> bool {
        let options = self.handle.options();
        let Ok(name) = Name::parse("lock name", name) else { return false };
        let lease = LeaseName::of(&options.prefix, &name);
        let mut world = lock(&self.link.world.records);
        let found = world.map.keys().find(|(namespace, found)| {
            Some(namespace.as_str()) == options.namespace.as_deref() && *found == lease
        });
        let Some(place) = found.cloned() else { return false };
        self.link.world.remove(&mut world, &place);
        true
    }

    /// How many requests this handle has sent so far, watches apart: for a bound in a test.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.link.requests.load(Ordering::Relaxed)
    }

    fn over(world: Arc<World>, options: Options) -> Result<Self> {
        let link = Arc::new(Link {
            world,
            next: Mutex::default(),
            lasting: watch::Sender::new(None),
            requests: AtomicU64::new(0),
        });
        let store = Arc::clone(&link) as Arc<dyn Store>;
        let handle = Handle::new(store, options.clock(Clock::Runtime), "default")?;
        Ok(Self { handle, link })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Options::default()).expect("default options are valid")
    }
}

crate::runtime::implement::implement_sync!(Memory);

/// The records, shared by all handles.
struct World {
    records: Mutex<Records>,
    changes: broadcast::Sender<WatchEvent>,
}

#[derive(Default)]
struct Records {
    map: BTreeMap<(Namespace, LeaseName), Stored>,
    /// The version of the last change of anything.
    version: u64,
}

struct Stored {
    entry: Entry,
    written: Moment,
}

impl Records {
    fn next_version(&mut self) -> NonZeroU64 {
        self.version += 1;
        NonZeroU64::new(self.version).expect("counts from one")
    }
}

impl World {
    fn new() -> Self {
        Self { records: Mutex::default(), changes: broadcast::Sender::new(BACKLOG) }
    }

    fn read(&self, namespace: &Namespace, lease: &LeaseName) -> Option<Arc<Versioned>> {
        lock(&self.records)
            .map
            .get(&(namespace.clone(), lease.clone()))
            .map(|stored| Arc::clone(&stored.entry.found))
    }

    fn write(&self, key: &RecordKey, write: &Write) -> Written {
        let mut records = lock(&self.records);
        let place = (key.namespace.clone(), key.lease.clone());
        let stored = records.map.get(&place).map(|stored| &stored.entry.found);
        let now = stored.map(|found| found.version.clone());
        let preferred = stored.and_then(|found| found.record.preferred.clone());
        if now.as_ref() != write.base.as_ref().map(|base| &base.version) {
            return Written::Conflict;
        }
        if write.kind == WriteKind::Free && matches!(key.kind, Kind::Candidate(_)) {
            self.remove(&mut records, &place);
            return Written::Gone;
        }
        let number = records.next_version();
        let uid = now.map_or_else(|| format!("uid-{number}").into(), |version| version.uid);
        let found = Arc::new(Versioned {
            version: Version { number, uid },
            // Whose it is not to say stays as it was.
            record: Record { preferred, ..write.record.clone() },
            age: None,
            whole: Arc::new(serde_json::Value::Null),
        });
        let (name, kind) = (key.name.to_string(), Some(key.kind.clone()));
        let (namespace, lease) = place.clone();
        let entry = Entry { namespace, lease, kind, name, found: Arc::clone(&found) };
        records.map.insert(place, Stored { entry: entry.clone(), written: Clock::Runtime.now() });
        // Nobody may be watching.
        let _ = self.changes.send(WatchEvent::Set(entry));
        Written::Stored(found)
    }

    fn remove(&self, records: &mut Records, place: &(Namespace, LeaseName)) {
        let version = records.next_version();
        if records.map.remove(place).is_some() {
            let (namespace, lease) = place.clone();
            let _ = self.changes.send(WatchEvent::Gone(namespace, lease, version));
        }
    }

    fn list(&self, scope: &Scope) -> Vec<Entry> {
        let now = Clock::Runtime.now();
        let aged = |stored: &Stored| {
            let found =
                Versioned { age: Some(now - stored.written), ..(*stored.entry.found).clone() };
            Entry { found: Arc::new(found), ..stored.entry.clone() }
        };
        let records = lock(&self.records);
        let inside = records.map.values().filter(|stored| holds(scope, &stored.entry));
        inside.map(aged).collect()
    }
}

fn holds(scope: &Scope, entry: &Entry) -> bool {
    let namespace = &entry.namespace;
    match scope {
        // There are no labels here to select by.
        Scope::Records(within, labels) => {
            labels.is_none() && within.as_ref().is_none_or(|within| within == namespace)
        }
        Scope::Record(within, lease) => within == namespace && *lease == entry.lease,
        Scope::Elections(within, only) => {
            let election = match &entry.kind {
                Some(Kind::Election) => Some(&entry.lease),
                Some(Kind::Candidate(election)) => Some(election),
                Some(Kind::Lock) | None => None,
            };
            within == namespace
                && election
                    .is_some_and(|election| only.as_ref().is_none_or(|only| only == election))
        }
    }
}

/// One handle's way to the store, with what goes wrong on it.
struct Link {
    world: Arc<World>,
    next: Mutex<VecDeque<Fault>>,
    lasting: watch::Sender<Option<Fault>>,
    requests: AtomicU64,
}

impl Link {
    /// Carries out `request` with whatever is to go wrong.
    async fn send<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: Option<&RecordKey>,
        request: impl FnOnce(&World) -> T + Send + 'static,
    ) -> Result<T> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let next = lock(&self.next).pop_front();
        match next.or_else(|| *self.lasting.borrow()) {
            None => Ok(request(&self.world)),
            Some(Fault::Delay(by)) => {
                let world = Arc::clone(&self.world);
                // Its own task: a request under way arrives also if its sender has given up.
                let late = tokio::spawn(async move {
                    sleep(by).await;
                    request(&world)
                });
                late.await.map_err(|error| Error::unavailable(BACKEND, error))
            }
            Some(Fault::LoseRequest) => std::future::pending().await,
            Some(Fault::LoseReply) => {
                request(&self.world);
                std::future::pending().await
            }
            Some(Fault::Refuse) => Err(Error::Refused {
                verb,
                resource: format!("record/{}", key.map_or("*", |key| key.lease.as_str())),
                namespace: key.map_or("*", |key| key.namespace.as_str()).into(),
                reason: "a fault was injected".into(),
            }),
        }
    }
}

impl Store for Link {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn check<'a>(&'a self, _: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.send("use", None, |_| ()))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        let (namespace, lease) = (key.namespace.clone(), key.lease.clone());
        Box::pin(self.send("get", Some(key), move |world| world.read(&namespace, &lease)))
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        let verb = if write.base.is_some() { "update" } else { "create" };
        let (owned, write) = (key.clone(), write.clone());
        Box::pin(self.send(verb, Some(key), move |world| world.write(&owned, &write)))
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        let scope = scope.clone();
        Box::pin(self.send("list", None, move |world| world.list(&scope)))
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let watch = Watch {
            world: Arc::clone(&self.world),
            changes: self.world.changes.subscribe(),
            lasting: self.lasting.subscribe(),
            scope: scope.clone(),
            whole: true,
        };
        Box::pin(stream::unfold(
            watch,
            |mut watch| async move { Some((watch.next().await, watch)) },
        ))
    }
}

struct Watch {
    world: Arc<World>,
    changes: broadcast::Receiver<WatchEvent>,
    lasting: watch::Receiver<Option<Fault>>,
    scope: Scope,
    /// What is told next is the whole state.
    whole: bool,
}

impl Watch {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if self.lasting.borrow_and_update().is_some() {
                self.whole = true;
                if self.lasting.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            if std::mem::take(&mut self.whole) {
                self.changes = self.changes.resubscribe();
                return WatchEvent::All(self.world.list(&self.scope));
            }
            match self.changes.recv().await {
                Ok(change) if self.concerns(&change) => {
                    if self.lasting.borrow().is_none() {
                        return change;
                    }
                }
                Ok(_) => {}
                Err(_) => self.whole = true,
            }
        }
    }

    fn concerns(&self, change: &WatchEvent) -> bool {
        match change {
            WatchEvent::Set(entry) => holds(&self.scope, entry),
            // A deletion of something never seen is no news, and harmless.
            WatchEvent::Gone(namespace, lease, _) => match &self.scope {
                Scope::Record(within, only) => within == namespace && only == lease,
                Scope::Elections(within, _) => within == namespace,
                Scope::Records(within, _) => within.as_ref().is_none_or(|one| one == namespace),
            },
            WatchEvent::All(_) | WatchEvent::Blind(_) => true,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("fault", &*self.lasting.borrow()).finish_non_exhaustive()
    }
}
