//! One watch, and what keeps it running: subscribers, and a task on one of their runtimes.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use futures::{stream, stream::BoxStream};
use tokio::{
    runtime,
    sync::Notify,
    task::{AbortHandle, yield_now},
};

use super::{
    Source, Target,
    audience::{Audience, Names},
    topic::Topic,
};
use crate::{
    api::name::{Namespace, RecordName},
    store::{Scope, WatchEvent},
    util::{
        clock::{Clock, Moment},
        mutex::lock,
    },
};

/// The maximum time that a source takes for a list, and for the start of a watch.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after its list a watch is not restarted, because a read that began before the list may still be answered.
const TRUSTED: Duration = Duration::from_secs(1);

/// One watch. A task runs it until the last subscriber has gone; for a namespace, until a while after that.
///
/// The task ends early when its runtime ends. The subscribers are then woken, and the first one that is polled starts
/// the next task on its own runtime.
pub(super) struct SharedWatch {
    source: Arc<dyn Source>,
    target: Target,
    state: Mutex<State>,
    /// A name has to be listed.
    unlisted: Arc<Notify>,
}

struct State {
    audience: Audience,
    task: Option<Task>,
    /// How many tasks there were.
    tasks: u64,
    /// How many subscribers there were.
    subscribers: u64,
}

/// The task at work.
struct Task {
    /// An event of a task with another number is ignored.
    number: u64,
    began: Moment,
    /// When its last list succeeded; `None` while it has none.
    listed: Option<Moment>,
    /// The last attempt failed.
    failing: bool,
    /// `None` for a moment while it is spawned.
    handle: Option<AbortHandle>,
}

impl SharedWatch {
    /// A watch of `scope`. Each subscriber gets all of it.
    pub(super) fn of_scope(source: Arc<dyn Source>, scope: Scope) -> Arc<Self> {
        let audience = Audience::Whole(Topic::of_scope(&scope));
        Self::new(source, Target::Scope(scope), audience)
    }

    /// A watch of every record in `namespace`. Each subscriber gets the record of its name.
    pub(super) fn of_namespace(source: Arc<dyn Source>, namespace: Namespace) -> Arc<Self> {
        Self::new(source, Target::Namespace(namespace), Audience::Named(Names::default()))
    }

    fn new(source: Arc<dyn Source>, target: Target, audience: Audience) -> Arc<Self> {
        let state = State { audience, task: None, tasks: 0, subscribers: 0 };
        Arc::new(Self { source, target, state: Mutex::new(state), unlisted: Arc::default() })
    }

    /// The events of this watch: of the record `name`, if this is a watch of a namespace.
    pub(super) fn subscribe(
        self: Arc<Self>,
        name: Option<RecordName>,
    ) -> BoxStream<'static, WatchEvent> {
        let mut state = lock(&self.state);
        state.subscribers += 1;
        let id = state.subscribers;
        let (arrived, unlisted) = state.audience.subscribe(name.as_ref(), id);
        drop(state);
        if unlisted {
            self.unlisted.notify_one();
        }
        self.run();
        let subscription = Subscription { watch: self, name, id, arrived };
        Box::pin(stream::unfold(subscription, |subscription| async move {
            Some((subscription.next().await, subscription))
        }))
    }

    /// Whether a subscriber gets the events of the record `name`.
    pub(super) fn serves(&self, name: &RecordName) -> bool {
        lock(&self.state).audience.wants(name.as_str())
    }

    /// Starts the task on the runtime of the caller, unless there is one. Returns whether it did.
    fn run(self: &Arc<Self>) -> bool {
        let Ok(runtime) = runtime::Handle::try_current() else { return false };
        let mut state = lock(&self.state);
        if state.task.is_some() {
            return false;
        }
        state.tasks += 1;
        let number = state.tasks;
        let began = Clock::Runtime.now();
        state.task = Some(Task { number, began, listed: None, failing: false, handle: None });
        // A runtime that is about to end drops the task at once, and with it the reporter, which takes the lock.
        drop(state);
        let unlisted = Arc::clone(&self.unlisted);
        let reporter = Reporter { watch: Arc::downgrade(self), number, unlisted };
        let task = runtime.spawn(self.source.follow(self.target.clone(), reporter));
        match &mut lock(&self.state).task {
            Some(current) if current.number == number => current.handle = Some(task.abort_handle()),
            _ => task.abort(),
        }
        true
    }

    /// Starts the task again, because a read returned a change that the watch has not reported. A doubt that may be
    /// older than the list of the task is ignored: a thousand subscribers of one dead watch restart it once.
    pub(super) fn restart(self: &Arc<Self>) {
        let now = Clock::Runtime.now();
        let mut state = lock(&self.state);
        if state.task.as_ref().is_some_and(|task| !task.is_suspect(now)) {
            return;
        }
        let old = state.task.take().and_then(|task| task.handle);
        drop(state);
        old.iter().for_each(AbortHandle::abort);
        self.run();
    }
}

impl Task {
    /// A task that has just begun, or knows that it fails, will list again without a restart.
    fn is_suspect(&self, now: Moment) -> bool {
        let began = self.listed.map_or(self.began + REQUEST_TIMEOUT, |listed| listed + TRUSTED);
        !self.failing && now >= began
    }
}

impl Drop for SharedWatch {
    fn drop(&mut self) {
        if let Some(handle) = lock(&self.state).task.take().and_then(|task| task.handle) {
            handle.abort();
        }
    }
}

/// The link from a task to its watch. The task drops it at its end, whatever ends it.
///
/// It is a weak reference, because dropping the last strong reference ends the task.
pub(crate) struct Reporter {
    watch: Weak<SharedWatch>,
    number: u64,
    unlisted: Arc<Notify>,
}

impl Reporter {
    /// Records a list of `names` and passes it to the subscribers. False if the task is no longer wanted.
    #[must_use]
    pub(crate) fn listed(&self, names: Option<&HashSet<RecordName>>, all: WatchEvent) -> bool {
        let listed = Some(Clock::Runtime.now());
        self.with(|state| {
            state.task.iter_mut().for_each(|task| (task.listed, task.failing) = (listed, false));
            state.audience.publish(names, all);
        })
        .is_some()
    }

    /// Reports that the watch is interrupted. False if the task is no longer wanted.
    #[must_use]
    pub(crate) fn failed(&self, why: String) -> bool {
        self.with(|state| {
            state.task.iter_mut().for_each(|task| (task.listed, task.failing) = (None, true));
            state.audience.publish(None, WatchEvent::Blind(why));
        })
        .is_some()
    }

    /// Records an event and passes it to the subscribers. False if the task is no longer wanted.
    #[must_use]
    pub(crate) fn changed(&self, change: WatchEvent) -> bool {
        self.with(|state| state.audience.publish(None, change)).is_some()
    }

    /// The state, while this task is the one at work.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        let watch = self.watch.upgrade()?;
        let mut state = lock(&watch.state);
        let current = state.task.as_ref().is_some_and(|task| task.number == self.number);
        current.then(|| work(&mut state))
    }
}

/// For a watch of a namespace.
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(dead_code, reason = "etcd watches each name by itself, which costs it no connection")
)]
impl Reporter {
    /// Begins a list. Returns the names that it has to report on; `None` for all.
    pub(crate) fn begin_list(&self) -> Option<HashSet<RecordName>> {
        self.with(|state| state.audience.begin_list()).flatten()
    }

    /// Whether a subscriber gets the events of the record `name`.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.with(|state| state.audience.wants(name)).unwrap_or_default()
    }

    /// The next name that the last list does not cover.
    pub(crate) async fn next_unlisted(&self) -> RecordName {
        loop {
            if let Some(name) = self.with(|state| state.audience.next_unlisted()).flatten() {
                return name;
            }
            self.unlisted.notified().await;
        }
    }

    /// Records what a list of `name` alone has returned, or why it failed.
    pub(crate) fn listed_alone(&self, name: &RecordName, change: WatchEvent) {
        self.with(|state| state.audience.listed_alone(name, change));
    }

    /// How many subscribers there were, if there is none now.
    pub(crate) fn deserted(&self) -> Option<u64> {
        self.with(|state| state.audience.is_deserted().then_some(state.subscribers)).flatten()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.with(|state| {
            state.task = None;
            state.audience.wake();
        });
    }
}

/// One subscriber. Dropping it ends the subscription.
struct Subscription {
    watch: Arc<SharedWatch>,
    name: Option<RecordName>,
    id: u64,
    arrived: Arc<Notify>,
}

impl Subscription {
    async fn next(&self) -> WatchEvent {
        loop {
            let event = lock(&self.watch.state).audience.take(self.name.as_ref(), self.id);
            if let Some(event) = event {
                return event;
            }
            if self.watch.run() {
                // A runtime that is about to end drops each task at once. It ends at this point, instead of never.
                yield_now().await;
            }
            self.arrived.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.watch.state).audience.unsubscribe(self.name.as_ref(), self.id);
    }
}
