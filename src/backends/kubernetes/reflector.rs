//! The task behind a watch: lists, watches from there, and begins anew when that breaks.
//!
//! Kube's watcher is not used: it asks for the same version for ever when the server answers 410 to the start of
//! a watch, it asks again at once when a watch ends at once, and it is patient for minutes with a dead connection.

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

/// After how long a watch is asked for anew.
const LENGTH: Duration = Duration::from_secs(240);
/// How long it may be silent: a little longer, after which the connection is dead.
const SILENCE: Duration = Duration::from_secs(245);
/// How long a list or the start of a watch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause after a failure; each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause of our own. What lasted as long was no failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after a refusal: only a person can change that.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Follows `scope` until nobody listens any more. Holds no share in `watch` while it waits: the last listener ends it.
pub(super) async fn reflect(
    http: Http,
    scope: Scope,
    watch: Weak<SharedWatch>,
    restart: Arc<Notify>,
) {
    let mut failures = 0;
    loop {
        let begun = Clock::Runtime.now();
        let broken = tokio::select! {
            biased;
            () = restart.notified() => continue,
            broken = list_and_watch(&http, &scope, &watch) => broken,
        };
        let Err(error) = broken else { return };
        let Some(listening) = watch.upgrade() else { return };
        listening.publish(WatchEvent::Blind(with_cause(&error)));
        drop(listening);
        if Clock::Runtime.now() - begun >= LONGEST_PAUSE {
            failures = 0;
        }
        sleep(pause(&error, failures)).await;
        failures += 1;
    }
}

/// Tells what there is and what changes; `Ok` when nobody listens any more.
async fn list_and_watch(http: &Http, scope: &Scope, watch: &Weak<SharedWatch>) -> Result<()> {
    let (entries, mut version) = within(PATIENCE, http.list(scope)).await?;
    let Some(listening) = watch.upgrade() else { return Ok(()) };
    listening.publish(WatchEvent::All(entries));
    drop(listening);
    loop {
        let begun = Clock::Runtime.now();
        let mut events = within(PATIENCE, http.watch(scope, &version, LENGTH)).await?;
        while let Some(event) = within(SILENCE, events.next().map(Ok)).await? {
            let Some(listening) = watch.upgrade() else { return Ok(()) };
            let (change, seen) = change(event?, scope)?;
            if !seen.is_empty() {
                version = seen;
            }
            if let Some(change) = change {
                listening.publish(change);
            }
        }
        // Each ends after some minutes, and goes on from where it was.
        if Clock::Runtime.now() - begun < LONGEST_PAUSE {
            return Err(Error::unavailable(BACKEND, EndedEarly));
        }
    }
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    let answer = timeout(limit, request).await;
    answer.unwrap_or_else(|late| Err(Error::unavailable(BACKEND, late)))
}

/// What an event says, and the version after it.
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

fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn pause(error: &Error, failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let pause = match error {
        Error::Unavailable { retry_after, .. } => {
            doubled.max(retry_after.unwrap_or_default().min(REFUSED_PAUSE))
        }
        _ => REFUSED_PAUSE,
    };
    // Whoever lost the same server comes back at another time.
    let part = crate::util::environment::random().to_be_bytes()[0];
    pause / 2 + pause / 2 * u32::from(part) / 255
}

/// A proxy or a server that does not let watches stand.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended as soon as it had begun")]
struct EndedEarly;
