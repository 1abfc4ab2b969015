//! The subscribers of one watch: all of one set, or each of one name.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::Notify;

use super::topic::Topic;
use crate::{
    api::name::RecordName,
    store::{Entry, WatchEvent},
};

/// The subscribers of one watch.
#[derive(Debug)]
pub(super) enum Audience {
    /// Each subscriber gets everything that the watch reports.
    Whole(Topic),
    /// Each subscriber gets what the watch reports about its name.
    Named(Names),
}

/// Subscribers by name. Records of other names are not kept, because a namespace may have many.
#[derive(Debug, Default)]
pub(super) struct Names {
    topics: BTreeMap<RecordName, Topic>,
    /// Names whose first subscriber came after the last list had begun.
    unlisted: VecDeque<RecordName>,
    /// Why the watch is interrupted, if it is.
    unavailable: Option<String>,
}

impl Audience {
    /// Adds the subscriber `id`, of `name` if the subscribers are sorted by name. Returns what notifies it, and whether
    /// its name has to be listed.
    pub(super) fn subscribe(&mut self, name: Option<&RecordName>, id: u64) -> (Arc<Notify>, bool) {
        match self {
            Self::Whole(topic) => (topic.subscribe(id), false),
            Self::Named(names) => names.subscribe(named(name), id),
        }
    }

    pub(super) fn unsubscribe(&mut self, name: Option<&RecordName>, id: u64) {
        match self {
            Self::Whole(topic) => topic.unsubscribe(id),
            Self::Named(names) => names.unsubscribe(named(name), id),
        }
    }

    /// The next event of the subscriber `id`; `None` if there is none yet.
    pub(super) fn take(&mut self, name: Option<&RecordName>, id: u64) -> Option<WatchEvent> {
        match self {
            Self::Whole(topic) => topic.take(id),
            Self::Named(names) => names.topics.get_mut(named(name))?.take(id),
        }
    }

    /// Records an event and passes it to its subscribers. A list reports only on the names in `listed`.
    pub(super) fn publish(&mut self, listed: Option<&HashSet<RecordName>>, change: WatchEvent) {
        match self {
            Self::Whole(topic) => topic.publish(change),
            Self::Named(names) => names.publish(listed, change),
        }
    }

    /// Wakes every subscriber.
    pub(super) fn wake(&self) {
        match self {
            Self::Whole(topic) => topic.wake(),
            Self::Named(names) => names.topics.values().for_each(Topic::wake),
        }
    }

    /// Whether a subscriber gets the events of the record `name`.
    pub(super) fn wants(&self, name: &str) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Named(names) => names.topics.contains_key(name),
        }
    }

    pub(super) fn is_deserted(&self) -> bool {
        match self {
            Self::Whole(topic) => topic.is_deserted(),
            Self::Named(names) => names.topics.is_empty(),
        }
    }

    /// The names that a list has to report on; `None` for all.
    pub(super) fn begin_list(&mut self) -> Option<HashSet<RecordName>> {
        match self {
            Self::Whole(_) => None,
            Self::Named(names) => {
                names.unlisted.clear();
                Some(names.topics.keys().cloned().collect())
            }
        }
    }

    /// A name that the last list does not cover.
    pub(super) fn next_unlisted(&mut self) -> Option<RecordName> {
        let Self::Named(names) = self else { return None };
        loop {
            let name = names.unlisted.pop_front()?;
            if names.topics.get(&name).is_some_and(|topic| !topic.is_known()) {
                return Some(name);
            }
        }
    }

    /// Records what a list of `name` alone has returned, unless an event has come in the meantime. A failed list is
    /// repeated.
    pub(super) fn listed_alone(&mut self, name: &RecordName, change: WatchEvent) {
        let Self::Named(names) = self else { return };
        let Some(topic) = names.topics.get_mut(name).filter(|topic| !topic.is_known()) else {
            return;
        };
        if matches!(change, WatchEvent::Blind(_)) {
            names.unlisted.push_back(name.clone());
        }
        topic.publish(change);
    }
}

impl Names {
    fn subscribe(&mut self, name: &RecordName, id: u64) -> (Arc<Notify>, bool) {
        let mut new = false;
        let topic = self.topics.entry(name.clone()).or_insert_with(|| {
            new = true;
            Topic::of_name(self.unavailable.clone())
        });
        if new {
            self.unlisted.push_back(name.clone());
        }
        (topic.subscribe(id), new)
    }

    fn unsubscribe(&mut self, name: &RecordName, id: u64) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        topic.unsubscribe(id);
        if topic.is_deserted() {
            self.topics.remove(name);
        }
    }

    fn publish(&mut self, listed: Option<&HashSet<RecordName>>, change: WatchEvent) {
        match change {
            WatchEvent::All(entries) => self.replace(listed, entries),
            WatchEvent::Blind(why) => {
                self.unavailable = Some(why.clone());
                for topic in self.topics.values_mut() {
                    topic.publish(WatchEvent::Blind(why.clone()));
                }
            }
            WatchEvent::Set(Entry { ref record, .. }) | WatchEvent::Gone(_, ref record, _) => {
                if let Some(topic) = self.topics.get_mut(record) {
                    topic.publish(change);
                }
            }
        }
    }

    fn replace(&mut self, listed: Option<&HashSet<RecordName>>, entries: Vec<Entry>) {
        self.unavailable = None;
        let mut found: HashMap<_, _> =
            entries.into_iter().map(|entry| (entry.record.clone(), entry)).collect();
        for (name, topic) in &mut self.topics {
            if listed.is_none_or(|listed| listed.contains(name)) {
                topic.publish(WatchEvent::All(found.remove(name).into_iter().collect()));
            }
        }
    }
}

fn named(name: Option<&RecordName>) -> &RecordName {
    name.expect("a subscriber of a watch by name has a name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::name::Namespace,
        protocol::record::{Record, Version, Versioned, Whole},
    };

    const NAMES: u64 = 1000;

    fn name(number: u64) -> RecordName {
        RecordName::stored(&format!("lock-{number}"))
    }

    fn record(number: u64, version: u64) -> Entry {
        let version = Version { number: version.try_into().unwrap(), uid: "u".into() };
        let (record, whole) = (Record::default(), Whole::default());
        Entry {
            namespace: Namespace::stored("default"),
            record: name(number),
            kind: None,
            name: String::new(),
            found: Arc::new(Versioned { version, record, age: None, whole }),
            queue: None,
            succession: None,
        }
    }

    /// A watch of a namespace with one subscriber for each name. The subscribers are numbered like their names.
    fn subscribed() -> Audience {
        let mut all = Audience::Named(Names::default());
        for number in 0..NAMES {
            all.subscribe(Some(&name(number)), number);
        }
        all
    }

    /// What the subscriber `number` gets now: for each event the versions in it, or nothing for a deletion.
    fn taken(all: &mut Audience, number: u64) -> Vec<Vec<u64>> {
        let version = |entry: &Entry| entry.found.version.number.get();
        let take = || all.take(Some(&name(number)), number);
        std::iter::from_fn(take)
            .map(|event| match event {
                WatchEvent::All(entries) => entries.iter().map(version).collect(),
                WatchEvent::Set(entry) => vec![version(&entry)],
                WatchEvent::Gone(..) => vec![],
                WatchEvent::Blind(why) => panic!("{why}"),
            })
            .collect()
    }

    #[test]
    fn an_event_goes_to_the_subscribers_of_its_name_only() {
        let mut all = subscribed();
        let names = all.begin_list();
        all.publish(names.as_ref(), WatchEvent::All(vec![record(7, 1), record(8, 2)]));
        assert_eq!(taken(&mut all, 7), [[1]]);
        assert_eq!(taken(&mut all, 9), [[0; 0]], "there is no such record");
        all.unsubscribe(Some(&name(8)), 8);

        all.publish(None, WatchEvent::Set(record(7, 3)));
        all.publish(None, WatchEvent::Set(record(8, 4)));

        assert_eq!(taken(&mut all, 7), [[3]]);
        assert!((9..NAMES).all(|number| taken(&mut all, number).len() <= 1));
        assert!(!all.wants("lock-8"), "nothing is kept of a name without a subscriber");
    }

    #[test]
    fn a_subscriber_gets_every_event_since_it_came_also_if_it_asks_later() {
        let mut all = subscribed();
        let names = all.begin_list();
        all.publish(names.as_ref(), WatchEvent::All(vec![record(7, 1)]));

        all.publish(None, WatchEvent::Set(record(7, 2)));
        all.subscribe(Some(&name(7)), 7000);
        all.publish(None, WatchEvent::Set(record(7, 3)));

        assert_eq!(taken(&mut all, 7), [[1], [2], [3]]);
        let late = |all: &mut Audience| match all.take(Some(&name(7)), 7000) {
            Some(WatchEvent::All(entries)) => entries[0].found.version.number.get(),
            Some(WatchEvent::Set(entry)) => entry.found.version.number.get(),
            other => panic!("{other:?}"),
        };
        assert_eq!([late(&mut all), late(&mut all)], [2, 3]);
    }

    #[test]
    fn a_subscriber_that_lags_behind_gets_the_last_state_of_its_own_record() {
        let mut all = subscribed();
        let names = all.begin_list();
        all.publish(names.as_ref(), WatchEvent::All((0..NAMES).map(|n| record(n, 1)).collect()));
        assert_eq!(taken(&mut all, 7), [[1]]);

        (2..=NAMES).for_each(|version| all.publish(None, WatchEvent::Set(record(7, version))));

        assert_eq!(taken(&mut all, 7), [[NAMES]]);
    }

    #[test]
    fn a_name_that_comes_after_the_list_is_listed_alone_unless_an_event_comes_first() {
        let mut all = Audience::Named(Names::default());
        let names = all.begin_list();
        for number in [1, 2, 3] {
            all.subscribe(Some(&name(number)), number);
        }
        all.publish(names.as_ref(), WatchEvent::All(vec![record(1, 1), record(2, 1)]));
        assert!((1..=3).all(|number| taken(&mut all, number).is_empty()), "no list covers them");

        all.publish(None, WatchEvent::Set(record(1, 4)));
        all.unsubscribe(Some(&name(2)), 2);
        assert_eq!(all.next_unlisted(), Some(name(3)), "neither 1 nor 2");
        all.listed_alone(&name(1), WatchEvent::All(vec![record(1, 3)]));
        all.listed_alone(&name(3), WatchEvent::All(vec![record(3, 9)]));
        all.publish(None, WatchEvent::Set(record(3, 8)));

        assert_eq!(taken(&mut all, 1), [[4]], "the list is older than the event");
        assert_eq!(taken(&mut all, 3), [[9], [8]], "the machine ignores the older one");
        let gone = |version: u64| {
            let namespace = Namespace::stored("default");
            WatchEvent::Gone(namespace, name(3), version.try_into().unwrap())
        };
        all.publish(None, gone(10));
        assert_eq!(taken(&mut all, 3), [[0; 0]]);
    }
}
