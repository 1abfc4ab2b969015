//! Records as this process has observed them, each judged on its own clock: for lists and event streams, which people read.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use tokio::time::sleep;

use crate::{
    api::{
        error::Result,
        name::{LeaseName, Namespace},
    },
    protocol::record::Version,
    runtime::attempt::{FAR, answered},
    store::{Entry, Scope, Store, WatchEvent},
    util::clock::{Clock, Moment},
};

/// How often a set that cannot be watched, or whose expiry cannot be confirmed, is listed.
const RELIST: Duration = Duration::from_secs(5);

/// How long a list may take: of all its pages, and nobody's tenure depends on it.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_secs(10);

type Listing = BoxFuture<'static, Result<Vec<Entry>>>;

/// What there is in a scope, kept up to date by a watch, or by lists where that fails.
pub(crate) struct Observer {
    store: Arc<dyn Store>,
    clock: Clock,
    scope: Scope,
    changes: BoxStream<'static, WatchEvent>,
    /// Under way, and kept if whoever waits for it gives up.
    listing: Option<Listing>,
    seen: BTreeMap<(Namespace, LeaseName), Seen>,
    /// When to list, whatever the watch says.
    relist: Moment,
    /// Before then no list is asked to confirm an expiry: the last one failed.
    not_before: Moment,
    trouble: Option<String>,
}

/// A record in the version that was seen last.
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    /// When this process first saw this version.
    pub(crate) since: Moment,
    /// No other version was seen before.
    pub(crate) first: bool,
    /// Unchanged for as long as it says that it lives, and a fresh list has confirmed that.
    pub(crate) expired: bool,
}

impl Seen {
    /// When it expires if it is not renewed; never, where nobody holds it.
    fn expiry(&self) -> Moment {
        let held = !self.expired && !self.entry.found.record.is_free();
        if held { self.since + self.entry.found.record.lives() } else { Moment::NEVER }
    }
}

impl Observer {
    /// Lists what there is; what is refused is told now, not by silence.
    pub(crate) async fn begin(store: Arc<dyn Store>, clock: Clock, scope: Scope) -> Result<Self> {
        let first = answered(&*store, LIST_TIMEOUT, store.list(&scope)).await?;
        let changes = store.watch(&scope);
        let mut sightings = Self {
            store,
            clock,
            scope,
            changes,
            listing: None,
            seen: BTreeMap::new(),
            relist: Moment::NEVER,
            not_before: Moment::default(),
            trouble: None,
        };
        sightings.set(first);
        Ok(sightings)
    }

    pub(crate) fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.values()
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Why there is no news at present, if there is none.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Returns when something may have changed. May be dropped and called again.
    pub(crate) async fn next(&mut self) {
        let now = self.clock.now();
        let due = self.due();
        // What a watch tells waits for a list that is under way: the list would undo it.
        tokio::select! {
            biased;
            listed = async { self.listing.as_mut().expect("checked").await }, if self.listing.is_some() => {
                self.listing = None;
                self.listed(listed);
            }
            change = self.changes.next(), if self.listing.is_none() => self.told(change),
            () = sleep(due.since(now).min(FAR)), if self.listing.is_none() => {
                // Something was not renewed in time, or there is no watch: a fresh list decides, not silence.
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

    fn list(&self) -> Listing {
        let (store, scope) = (Arc::clone(&self.store), self.scope.clone());
        Box::pin(async move { answered(&*store, LIST_TIMEOUT, store.list(&scope)).await })
    }

    fn told(&mut self, change: Option<WatchEvent>) {
        let relist = self.clock.now() + RELIST;
        let mut trouble = None;
        match change {
            Some(WatchEvent::All(entries)) => {
                self.relist = Moment::NEVER;
                self.set(entries);
            }
            Some(WatchEvent::Set(entry)) => self.saw(entry),
            Some(WatchEvent::Gone(namespace, lease, version)) => {
                self.gone(&(namespace, lease), version.get());
            }
            Some(WatchEvent::Blind(why)) => {
                tracing::debug!(%why, "no watch on records, listing instead");
                self.relist = self.relist.min(relist);
                trouble = Some(why);
            }
            None => {
                // It should not end: asking on would spin.
                self.changes = stream::pending().boxed();
                self.relist = self.relist.min(relist);
            }
        }
        self.trouble = trouble;
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
                self.trouble = None;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot list records");
                // Nothing is declared dead on hearsay.
                self.not_before = now + RELIST;
                self.relist = now + RELIST;
                self.trouble = Some(error.to_string());
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

    fn saw(&mut self, entry: Entry) {
        let number = |version: &Version| version.number;
        let place = entry.place();
        let known = self.seen.get(&place).map(|seen| number(&seen.entry.found.version));
        if known.is_none_or(|known| number(&entry.found.version) > known) {
            let (since, first) = (self.clock.now(), known.is_none());
            self.seen.insert(place, Seen { entry, since, first, expired: false });
        }
    }

    fn gone(&mut self, place: &(Namespace, LeaseName), version: u64) {
        if self.seen.get(place).is_some_and(|seen| seen.entry.found.version.number.get() < version)
        {
            self.seen.remove(place);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("scope", &self.scope).finish_non_exhaustive()
    }
}
