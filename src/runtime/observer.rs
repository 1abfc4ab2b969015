//! Records as this process observes them, each judged on this process's own clock. For lists and event streams, which people
//! read; no lock depends on it.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use tokio::time::sleep;

use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
    },
    runtime::{
        attempt::{FAR, answered},
        roster::{Event, Roster, Sessions, names_sessions},
        seen::Seen,
    },
    store::{Entry, ListedSession, Scope, Store, WatchEvent},
    util::clock::{Clock, Moment},
};

/// How often the records are listed while they cannot be watched, or an expiry cannot be confirmed.
const RELIST: Duration = Duration::from_secs(5);

/// How long a list may take, with all its pages. No tenure depends on it.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the sessions in queues are listed, to find those that are over.
const SESSIONS: Duration = Duration::from_secs(30);

type Listing = BoxFuture<'static, Result<Vec<Entry>>>;

/// The records of a scope, kept up to date by a watch, or by lists while the watch fails.
pub(crate) struct Observer {
    store: Arc<dyn Store>,
    clock: Clock,
    scope: Scope,
    changes: BoxStream<'static, WatchEvent>,
    /// The list under way. Kept here, so that it goes on when the future of `next` is dropped.
    listing: Option<Listing>,
    seen: BTreeMap<(Namespace, RecordName), Seen>,
    /// The state after the events that were taken.
    roster: Roster,
    /// The sessions that the records name.
    sessions: Sessions,
    listing_sessions: Option<BoxFuture<'static, Result<Vec<ListedSession>>>>,
    /// When to list, whatever the watch reports.
    relist: Moment,
    /// Not before then is a list sent to confirm an expiry, because the last one failed.
    not_before: Moment,
    last_error: Option<String>,
}

impl Observer {
    /// Lists the records. A refusal is an error here, because the stream that follows would only be silent.
    pub(crate) async fn begin(store: Arc<dyn Store>, clock: Clock, scope: Scope) -> Result<Self> {
        let first = answered(&*store, LIST_TIMEOUT, store.list(&scope)).await?;
        let changes = store.watch(&scope);
        let now = clock.now();
        let named = first.iter().any(names_sessions);
        let sessions = sessions(&store, &scope, named, clock).await;
        let seen = first.into_iter().map(|entry| (entry.place(), Seen::listed(entry, now)));
        Ok(Self {
            store,
            clock,
            scope,
            changes,
            listing: None,
            seen: seen.collect(),
            roster: Roster::default(),
            sessions,
            listing_sessions: None,
            relist: Moment::NEVER,
            not_before: Moment::default(),
            last_error: None,
        })
    }

    /// The sessions that the records name, once some of them do.
    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The events since the last call. The first call reports the present state.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.roster.update(self.seen.values(), &self.sessions)
    }

    /// Waits for events. May be dropped and called again.
    pub(crate) async fn next_events(&mut self) -> Vec<Event> {
        loop {
            let events = self.take_events();
            if !events.is_empty() {
                return events;
            }
            self.next().await;
        }
    }

    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.values()
    }

    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) const fn scope(&self) -> &Scope {
        &self.scope
    }

    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Why the records may be out of date, if they may be.
    #[cfg(any(feature = "etcd", feature = "kubernetes"))]
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Waits until a record may have changed or expired. May be dropped and called again.
    pub(crate) async fn next(&mut self) {
        let now = self.clock.now();
        let (due, sessions_due) = (self.due(), self.sessions_due());
        // Events of the watch wait while a list is under way, because the list might be older and undo them.
        tokio::select! {
            biased;
            listed = async { self.listing.as_mut().expect("checked").await }, if self.listing.is_some() => {
                self.listing = None;
                self.listed(listed);
            }
            listed = async { self.listing_sessions.as_mut().expect("checked").await },
                if self.listing_sessions.is_some() =>
            {
                self.listing_sessions = None;
                match listed {
                    Ok(listed) => self.sessions.update(self.clock.now(), listed),
                    Err(error) => {
                        tracing::debug!(%error, "cannot list sessions");
                        self.sessions.failed(self.clock.now());
                    }
                }
            }
            () = sleep(sessions_due.since(now).min(FAR)),
                if self.listing_sessions.is_none() =>
            {
                if sessions_due <= self.clock.now() {
                    self.listing_sessions = Some(list_sessions(&self.store, &self.scope));
                }
            }
            change = self.changes.next(), if self.listing.is_none() => self.watched(change),
            () = sleep(due.since(now).min(FAR)), if self.listing.is_none() => {
                // A record was not renewed in time, or there is no watch: only a fresh list can tell which.
                if due <= self.clock.now() {
                    self.listing = Some(self.list());
                }
            }
        }
    }

    fn due(&self) -> Moment {
        let expiry = self.seen.values().map(Seen::expiry).min().unwrap_or(Moment::NEVER);
        expiry.max(self.not_before).min(self.relist)
    }

    /// When to list the sessions: never while no record names one.
    fn sessions_due(&self) -> Moment {
        if !self.seen.values().any(|seen| names_sessions(&seen.entry)) {
            return Moment::NEVER;
        }
        self.sessions.at().map_or(Moment::default(), |at| at + SESSIONS)
    }

    fn list(&self) -> Listing {
        let (store, scope) = (Arc::clone(&self.store), self.scope.clone());
        Box::pin(async move { answered(&*store, LIST_TIMEOUT, store.list(&scope)).await })
    }

    fn watched(&mut self, change: Option<WatchEvent>) {
        let relist = self.clock.now() + RELIST;
        let mut last_error = None;
        match change {
            Some(WatchEvent::All(entries)) => {
                self.relist = Moment::NEVER;
                self.set(entries);
            }
            Some(WatchEvent::Set(entry)) => self.saw(entry),
            Some(WatchEvent::Gone(namespace, record, version)) => {
                self.gone(&(namespace, record), version.get());
            }
            Some(WatchEvent::Blind(why)) => {
                tracing::debug!(%why, "no watch on records, listing instead");
                self.relist = self.relist.min(relist);
                last_error = Some(why);
            }
            None => {
                // A watch should not end. Polling an ended stream again would spin.
                self.changes = stream::pending().boxed();
                self.relist = self.relist.min(relist);
            }
        }
        self.last_error = last_error;
    }

    fn listed(&mut self, listed: Result<Vec<Entry>>) {
        let now = self.clock.now();
        match listed {
            Ok(entries) => {
                self.set(entries);
                if self.relist <= now {
                    self.relist = now + RELIST;
                }
                for seen in self.seen.values_mut() {
                    seen.expired |= seen.expiry() <= now;
                }
                self.last_error = None;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot list records");
                // Never mark a record expired when the list failed.
                self.not_before = now + RELIST;
                self.relist = now + RELIST;
                self.last_error = Some(error.with_causes().to_string());
            }
        }
    }

    fn set(&mut self, entries: Vec<Entry>) {
        let present: BTreeMap<_, _> =
            entries.into_iter().map(|entry| (entry.place(), entry)).collect();
        self.seen.retain(|place, _| present.contains_key(place));
        for entry in present.into_values() {
            self.saw(entry);
        }
    }

    fn saw(&mut self, mut entry: Entry) {
        let number = |entry: &Entry| entry.found.version.number;
        let place = entry.place();
        let Some(known) = self.seen.get_mut(&place) else {
            self.seen.insert(place, Seen::changed(entry, self.clock.now()));
            return;
        };
        let last = number(&known.entry);
        if number(&entry) > last {
            // A list may have come between two events, so this order of states proves nothing more.
            entry.found = known.entry.found.followed_by(&entry.found, false);
            *known = Seen::changed(entry, self.clock.now());
        } else if number(&entry) == last && known.entry.found.token().is_none() {
            // The watch may know a token that a list does not.
            known.entry.found = known.entry.found.with_token_of(&entry.found);
        }
    }

    fn gone(&mut self, place: &(Namespace, RecordName), version: u64) {
        if self.seen.get(place).is_some_and(|seen| seen.entry.found.version.number.get() < version)
        {
            self.seen.remove(place);
        }
    }
}

/// The sessions that the records of `scope` name, if some are `named`.
pub(crate) async fn sessions(
    store: &Arc<dyn Store>,
    scope: &Scope,
    named: bool,
    clock: Clock,
) -> Sessions {
    let mut sessions = Sessions::default();
    if named {
        match list_sessions(store, scope).await {
            Ok(listed) => sessions.update(clock.now(), listed),
            // Never call a session over when the list failed.
            Err(error) => tracing::debug!(%error, "cannot list sessions"),
        }
    }
    sessions
}

fn list_sessions(
    store: &Arc<dyn Store>,
    scope: &Scope,
) -> BoxFuture<'static, Result<Vec<ListedSession>>> {
    let (store, namespace) = (Arc::clone(store), scope.namespace().cloned());
    Box::pin(async move {
        let list = store.list_sessions(namespace.as_ref());
        answered(&*store, LIST_TIMEOUT, list).await
    })
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("scope", &self.scope).finish_non_exhaustive()
    }
}
