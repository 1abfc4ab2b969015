//! The task that runs a watch: it lists, watches from the version of the list, and lists again after a failure.
//!
//! `kube::runtime::watcher` is not used. These are the reasons, as of kube 5.0.0 with its default list strategy:
//!
//! - After a response 410 to the start of a watch it requests the same version again without end, and never lists
//!   again.
//! - After a watch that ended without an error it starts the next one at once. A proxy that cuts every watch therefore
//!   gets requests without a pause, because the back-off counts only errors.
//! - Its list and the start of its watch have no timeout, and neither has kube's client by default. One lost response
//!   stops the watcher without an error.
//! - Its back-off starts again before each list, so a list that fails is repeated about every second. The back-off
//!   does not see the error, so it ignores `Retry-After`.
//! - Its objects have typed metadata, which drops fields that the type does not know. A write must preserve them.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::core::WatchEvent as KubeEvent;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    BACKEND,
    http::{Http, LeaseEvent, Selection, decode_entry, name, watch_error},
};
use crate::{
    api::{
        error::{Error, Result},
        name::Namespace,
    },
    runtime::watches::{Reporter, Source, Target},
    store::{Entry, Scope, WatchEvent},
    util::{
        backoff::{self, MAX_PAUSE, jitter},
        clock::Clock,
    },
};

pub(super) use crate::runtime::watches::REQUEST_TIMEOUT;

/// The length of one watch. The server ends the watch after this time, and the task starts the next one.
const WATCH_LENGTH: Duration = Duration::from_secs(240);
/// The maximum silence of a watch: a little more than its length. After this time the connection is dead.
const MAX_SILENCE: Duration = Duration::from_secs(245);
/// A watch of a namespace ends after so long without a subscriber, or at most after twice as long. A handle that now and
/// then waits for one name more than have a watch of their own does not list the namespace each time.
const LINGER: Duration = Duration::from_secs(30);
/// The pause after an error that only a person can fix, such as a missing permission, and the maximum of
/// `Retry-After`.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// How many names of one namespace have a watch of their own.
///
/// Such a watch costs a connection, but needs permission for its name only, and the server does not send it what happens
/// to other names. Further names share one watch of the whole namespace.
const SINGLES: usize = 4;

impl Source for Http {
    fn singles(&self) -> usize {
        SINGLES
    }

    fn follow(&self, target: Target, reporter: Reporter) -> BoxFuture<'static, ()> {
        let selection = match target {
            Target::Scope(scope) => Selection::Scope(scope),
            Target::Namespace(namespace) => Selection::Namespace(namespace),
        };
        Box::pin(reflect(self.clone(), selection, reporter))
    }
}

/// Watches `selection` until the last subscriber has gone; for a namespace, until a while after that.
async fn reflect(http: Http, selection: Selection, reporter: Reporter) {
    let reflector = Reflector { http, selection, reporter };
    let mut failures = 0;
    loop {
        let started = Clock::Runtime.now();
        let Err(error) = reflector.list_and_watch().await else { return };
        if !reflector.reporter.failed(error.with_causes().to_string()) {
            return;
        }
        // A watch that lived at least as long as the longest pause resets the back-off.
        if Clock::Runtime.now() - started >= MAX_PAUSE {
            failures = 0;
        }
        sleep(pause(&error, failures)).await;
        if reflector.reporter.deserted().is_some() {
            return;
        }
        failures += 1;
    }
}

struct Reflector {
    http: Http,
    selection: Selection,
    reporter: Reporter,
}

impl Reflector {
    /// Publishes the whole set, then each change. Returns `Ok` when the watch is no longer wanted.
    async fn list_and_watch(&self) -> Result<()> {
        let names = self.reporter.begin_list();
        let list = self.http.list(&self.selection, names.as_ref());
        let (entries, version) = within(REQUEST_TIMEOUT, list).await?;
        if !self.reporter.listed(names.as_ref(), WatchEvent::All(entries)) {
            return Ok(());
        }
        drop(names);
        let Selection::Namespace(namespace) = &self.selection else {
            return self.watch(version).await;
        };
        tokio::select! {
            biased;
            ended = self.watch(version) => ended,
            () = self.list_late(namespace) => Ok(()),
            () = self.deserted() => Ok(()),
        }
    }

    /// Publishes each change after `version`. Returns `Ok` when the last subscriber has gone.
    async fn watch(&self, mut version: String) -> Result<()> {
        let Self { http, selection, reporter } = self;
        loop {
            let started = Clock::Runtime.now();
            let mut events =
                within(REQUEST_TIMEOUT, http.watch(selection, &version, WATCH_LENGTH)).await?;
            while let Some(event) = within(MAX_SILENCE, events.next().map(Ok)).await? {
                let (change, seen) = self.change(event?)?;
                if !seen.is_empty() {
                    version = seen;
                }
                if change.is_some_and(|change| !reporter.changed(change)) {
                    return Ok(());
                }
            }
            // A watch ends after `WATCH_LENGTH`, and the next one continues from the last version.
            if Clock::Runtime.now() - started < MAX_PAUSE {
                return Err(Error::unavailable(BACKEND, EndedEarly));
            }
        }
    }

    /// Lists each name whose first subscriber came after the list of the namespace, one after the other, because each
    /// request under way is a connection. Never ends.
    async fn list_late(&self, namespace: &Namespace) {
        let mut failures = 0;
        loop {
            let name = self.reporter.next_unlisted().await;
            let single = Selection::Scope(Scope::Record(namespace.clone(), name.clone()));
            match within(REQUEST_TIMEOUT, self.http.list(&single, None)).await {
                Ok((entries, _)) => {
                    failures = 0;
                    self.reporter.listed_alone(&name, WatchEvent::All(entries));
                }
                Err(error) => {
                    self.reporter
                        .listed_alone(&name, WatchEvent::Blind(error.with_causes().to_string()));
                    sleep(pause(&error, failures)).await;
                    failures += 1;
                }
            }
        }
    }

    /// Completes when there was no subscriber for [`LINGER`].
    async fn deserted(&self) {
        let mut before = None;
        loop {
            sleep(LINGER).await;
            let now = self.reporter.deserted();
            if now.is_some() && now == before {
                return;
            }
            before = now;
        }
    }

    /// The change that an event reports, and the version from which to continue.
    fn change(&self, event: LeaseEvent) -> Result<(Option<WatchEvent>, String)> {
        let (lease, deleted) = match event {
            KubeEvent::Added(lease) | KubeEvent::Modified(lease) => (lease, false),
            KubeEvent::Deleted(lease) => (lease, true),
            KubeEvent::Bookmark(bookmark) => return Ok((None, bookmark.metadata.resource_version)),
            KubeEvent::Error(status) => {
                return Err(watch_error(kube::Error::Api(status), &self.selection));
            }
        };
        let version = version(&lease);
        if !self.reporter.wants(name(&lease)) {
            return Ok((None, version));
        }
        let change = |entry: Entry| {
            if deleted {
                WatchEvent::Gone(entry.namespace, entry.record, entry.found.version.number)
            } else {
                WatchEvent::Set(entry)
            }
        };
        Ok((decode_entry(&lease).map(change), version))
    }
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    let response = timeout(limit, request).await;
    response.unwrap_or_else(|late| Err(Error::unavailable(BACKEND, late)))
}

fn version(lease: &Value) -> String {
    lease["metadata"]["resourceVersion"].as_str().unwrap_or_default().into()
}

/// The pause before the next attempt: between half and the whole of the back-off, and never less than the server
/// requests.
pub(super) fn pause(error: &Error, failures: u32) -> Duration {
    let (backoff, requested) = match error {
        Error::Unavailable { retry_after, .. } => {
            (backoff::backoff(failures), retry_after.unwrap_or_default().min(REFUSED_PAUSE))
        }
        _ => (REFUSED_PAUSE, Duration::ZERO),
    };
    (backoff / 2 + jitter(backoff)).max(requested + jitter(requested))
}

/// A proxy or a server cuts every watch.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once. Check the idle timeout of proxies in front of the API server")]
struct EndedEarly;
