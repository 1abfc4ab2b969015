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

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _};
use kube::core::WatchEvent as KubeEvent;
use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    BACKEND,
    http::{Http, LeaseEvent, decode_entry, watch_error},
    shared_watch::SharedWatch,
};
use crate::{
    api::error::{Error, Result},
    store::{Entry, Scope, WatchEvent},
    util::clock::Clock,
};

/// The length of one watch. The server ends the watch after this time, and the task starts the next one.
const WATCH_LENGTH: Duration = Duration::from_secs(240);
/// The maximum silence of a watch: a little more than its length. After this time the connection is dead.
const MAX_SILENCE: Duration = Duration::from_secs(245);
/// The maximum time of a list, and of the start of a watch.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the first failure. Each further failure doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The maximum back-off. A watch that lived at least this long resets the back-off.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// The pause after an error that only a person can fix, such as a missing permission, and the maximum of
/// `Retry-After`.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Watches `scope` until the last subscriber has gone.
///
/// The task holds only a weak reference to `watch` while it waits, because dropping the last strong reference ends it.
pub(super) async fn reflect(
    http: Http,
    scope: Scope,
    watch: Weak<SharedWatch>,
    restart: Arc<Notify>,
) {
    let mut failures = 0;
    loop {
        let started = Clock::Runtime.now();
        let ended = tokio::select! {
            biased;
            () = restart.notified() => continue,
            ended = list_and_watch(&http, &scope, &watch) => ended,
        };
        let Err(error) = ended else { return };
        let Some(shared) = watch.upgrade() else { return };
        shared.publish(WatchEvent::Blind(with_cause(&error)));
        drop(shared);
        if Clock::Runtime.now() - started >= MAX_PAUSE {
            failures = 0;
        }
        sleep(pause(&error, failures)).await;
        failures += 1;
    }
}

/// Publishes the whole set, then each change. Returns `Ok` when the last subscriber has gone.
async fn list_and_watch(http: &Http, scope: &Scope, watch: &Weak<SharedWatch>) -> Result<()> {
    let (entries, mut version) = within(REQUEST_TIMEOUT, http.list(scope)).await?;
    let Some(shared) = watch.upgrade() else { return Ok(()) };
    shared.publish(WatchEvent::All(entries));
    drop(shared);
    loop {
        let started = Clock::Runtime.now();
        let mut events = within(REQUEST_TIMEOUT, http.watch(scope, &version, WATCH_LENGTH)).await?;
        while let Some(event) = within(MAX_SILENCE, events.next().map(Ok)).await? {
            let Some(shared) = watch.upgrade() else { return Ok(()) };
            let (change, seen) = change(event?, scope)?;
            if !seen.is_empty() {
                version = seen;
            }
            if let Some(change) = change {
                shared.publish(change);
            }
        }
        // A watch ends after `WATCH_LENGTH`, and the next one continues from the last version.
        if Clock::Runtime.now() - started < MAX_PAUSE {
            return Err(Error::unavailable(BACKEND, EndedEarly));
        }
    }
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    let response = timeout(limit, request).await;
    response.unwrap_or_else(|late| Err(Error::unavailable(BACKEND, late)))
}

/// The change that an event reports, and the version from which to continue.
fn change(event: LeaseEvent, scope: &Scope) -> Result<(Option<WatchEvent>, String)> {
    match event {
        KubeEvent::Added(lease) | KubeEvent::Modified(lease) => {
            let version = version(&lease);
            Ok((decode_entry(lease).map(WatchEvent::Set), version))
        }
        KubeEvent::Deleted(lease) => {
            let version = version(&lease);
            let gone = |entry: Entry| {
                WatchEvent::Gone(entry.namespace, entry.lease, entry.found.version.number)
            };
            Ok((decode_entry(lease).map(gone), version))
        }
        KubeEvent::Bookmark(bookmark) => Ok((None, bookmark.metadata.resource_version)),
        KubeEvent::Error(status) => Err(watch_error(kube::Error::Api(status), scope)),
    }
}

fn version(lease: &Value) -> String {
    lease["metadata"]["resourceVersion"].as_str().unwrap_or_default().into()
}

/// The error and its cause in one line.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The pause before the next attempt: between half and the whole of the back-off.
///
/// `backon` is not used, because it covers only the doubling: the pause after a refusal, `Retry-After` and their jitter
/// would remain.
fn pause(error: &Error, failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(MAX_PAUSE);
    let pause = match error {
        Error::Unavailable { retry_after, .. } => {
            doubled.max(retry_after.unwrap_or_default().min(REFUSED_PAUSE))
        }
        _ => REFUSED_PAUSE,
    };
    // Jitter: clients that lost the same server must not all return at the same time.
    let part = crate::util::environment::random().to_be_bytes()[0];
    pause / 2 + pause / 2 * u32::from(part) / 255
}

/// A proxy or a server cuts every watch.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once. Check the idle timeout of proxies in front of the API server")]
struct EndedEarly;
