//! What a watch has reported about a set of records, and the subscribers to that set.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU64,
    sync::Arc,
};

use tokio::sync::Notify;

use crate::{
    api::name::{Namespace, RecordName},
    store::{Entry, Scope, WatchEvent},
};

/// How many events a slow subscriber may lag behind before it gets the whole set again.
const BACKLOG: usize = 32;

/// A set of records, and its subscribers.
#[derive(Debug, Default)]
pub(super) struct Topic {
    entries: BTreeMap<(Namespace, RecordName), Entry>,
    /// `entries` is the whole set.
    complete: bool,
    /// A record that appears is new.
    sees_creations: bool,
    /// Why the watch is interrupted, if it is.
    unavailable: Option<String>,
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    id: u64,
    /// It lags behind, so it gets the present state next, instead of events.
    behind: bool,
    events: VecDeque<WatchEvent>,
    arrived: Arc<Notify>,
}

impl Topic {
    /// All records of `scope`.
    pub(super) fn of_scope(scope: &Scope) -> Self {
        // An edit of labels by other programs can make a record appear. The other scopes select by name, or by labels
        // that only this crate writes.
        let sees_creations = !matches!(scope, Scope::Records(_, Some(_)));
        Self { sees_creations, ..Self::default() }
    }

    /// One record in a watch of its namespace; `unavailable` is why the watch is interrupted, if it is.
    ///
    /// A record that appears may be an old one: after a list of the name alone, an older event may still come.
    pub(super) fn of_name(unavailable: Option<String>) -> Self {
        Self { unavailable, ..Self::default() }
    }

    /// Adds the subscriber `id`. It is notified when there is something to take. It gets the present state, and every
    /// event from now on, also if it asks for them later.
    pub(super) fn subscribe(&mut self, id: u64) -> Arc<Notify> {
        let arrived = Arc::<Notify>::default();
        let notify = Arc::clone(&arrived);
        let events = self.state().into_iter().collect();
        self.subscribers.push(Subscriber { id, behind: false, events, arrived });
        notify
    }

    pub(super) fn unsubscribe(&mut self, id: u64) {
        self.subscribers.retain(|subscriber| subscriber.id != id);
    }

    /// No subscriber is left.
    pub(super) const fn is_deserted(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// The present state is known: from a list, or from an event if the set is one record.
    pub(super) const fn is_known(&self) -> bool {
        self.complete && self.unavailable.is_none()
    }

    /// Records an event and passes it to every subscriber, with the tokens that the events so far prove.
    pub(super) fn publish(&mut self, mut change: WatchEvent) {
        self.add_tokens(&mut change);
        let replaced = if self.apply(&change) { self.state() } else { None };
        for subscriber in &mut self.subscribers {
            match &replaced {
                Some(state) => subscriber.replace(state.clone()),
                None => subscriber.add(&change),
            }
            subscriber.arrived.notify_one();
        }
    }

    /// Adds the tokens that follow from what is known. Between a list and the next one no event is missing.
    fn add_tokens(&self, change: &mut WatchEvent) {
        let (entries, unbroken) = match change {
            WatchEvent::All(entries) => (&mut entries[..], false),
            WatchEvent::Set(entry) => (std::slice::from_mut(entry), self.is_known()),
            WatchEvent::Gone(..) | WatchEvent::Blind(_) => return,
        };
        for entry in entries {
            entry.found = match self.entries.get(&entry.place()) {
                Some(known) => known.found.followed_by(&entry.found, unbroken),
                None if unbroken && self.sees_creations => entry.found.as_created(),
                None => continue,
            };
        }
    }

    /// The next event of the subscriber `id`; `None` if there is none yet.
    pub(super) fn take(&mut self, id: u64) -> Option<WatchEvent> {
        let subscriber = self.subscribers.iter_mut().find(|subscriber| subscriber.id == id)?;
        if !subscriber.behind {
            return subscriber.events.pop_front();
        }
        subscriber.behind = false;
        self.state()
    }

    /// The present state as an event; `None` if nothing is known yet.
    fn state(&self) -> Option<WatchEvent> {
        if let Some(why) = &self.unavailable {
            return Some(WatchEvent::Blind(why.clone()));
        }
        self.complete.then(|| WatchEvent::All(self.entries.values().cloned().collect()))
    }

    /// Wakes every subscriber.
    pub(super) fn wake(&self) {
        self.subscribers.iter().for_each(|subscriber| subscriber.arrived.notify_one());
    }

    /// An event comes late if the known state of the record is newer, for example from a list of its name alone.
    fn is_late(&self, place: &(Namespace, RecordName), number: NonZeroU64) -> bool {
        let newer = |known: &Entry| known.found.version.number > number;
        self.is_known() && self.entries.get(place).is_some_and(newer)
    }

    /// Records `change`. Returns true if every subscriber gets the whole state because of it.
    fn apply(&mut self, change: &WatchEvent) -> bool {
        match change {
            WatchEvent::All(entries) => {
                self.entries = entries.iter().map(|entry| (entry.place(), entry.clone())).collect();
            }
            WatchEvent::Blind(why) => {
                self.unavailable = Some(why.clone());
                return true;
            }
            WatchEvent::Set(entry) => {
                let place = entry.place();
                if !self.is_late(&place, entry.found.version.number) {
                    self.entries.insert(place, entry.clone());
                }
            }
            WatchEvent::Gone(namespace, lease, version) => {
                let place = (namespace.clone(), lease.clone());
                if !self.is_late(&place, *version) {
                    self.entries.remove(&place);
                }
            }
        }
        // An event is the whole state of one record, also before its list. A watch of a set begins with its list.
        let replaced = matches!(change, WatchEvent::All(_)) || !self.is_known();
        self.complete = true;
        self.unavailable = None;
        replaced
    }
}

impl Subscriber {
    /// The state was replaced, so the events before are of no use.
    fn replace(&mut self, state: WatchEvent) {
        self.behind = false;
        self.events = VecDeque::from([state]);
    }

    fn add(&mut self, change: &WatchEvent) {
        self.behind |= self.events.len() >= BACKLOG;
        if self.behind {
            self.events = VecDeque::new();
        } else {
            self.events.push_back(change.clone());
        }
    }
}
