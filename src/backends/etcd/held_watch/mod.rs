//! The watch of one session: of its index, and of each record that it holds.
//!
//! All are watches on one stream of etcd. The index brings grants, losses, and the changes of a held record that this
//! crate writes. What a person changes with other tools is not in the index: for that, a record is watched by its key
//! once it is held for a while. Not at once, because a lock that goes from hand to hand would need a watch for each
//! hand-over. That watch begins at the revision after the last known state, so it misses nothing.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::pending,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::sleep;
use tonic::Status;

use super::{
    codec,
    held::{Found, Index},
    messages::{Event, WatchCreate, WatchResponse},
    watch::{Open, Requests, Source, events},
};
use crate::{
    api::name::RecordName,
    store::sessions::{HeldEvent, HeldLock},
    util::clock::{Clock, Moment},
};

/// A record is watched by its key, or read, when the index has said nothing of it for so long.
const DELAY: Duration = Duration::from_secs(1);
/// The number of the watch of the index.
const INDEX: i64 = 1;

/// See the [module](self).
pub(super) struct HeldWatch {
    index: Index,
    held: BTreeMap<RecordName, Held>,
    /// The records of the watches, by number.
    numbers: HashMap<i64, RecordName>,
    last_number: i64,
    /// The watches that begin, and when.
    due: VecDeque<(Moment, i64)>,
    /// The records to read: a key of the index is no copy, or a watch cannot go on from its revision.
    unread: Vec<RecordName>,
    /// Those of the read under way.
    reading_names: Vec<RecordName>,
    reading: Option<BoxFuture<'static, Result<Vec<Found>, Status>>>,
}

/// A record that the session holds.
struct Held {
    /// The number of its watch.
    number: i64,
    watched: bool,
    /// Its state at this revision was reported.
    revision: i64,
    /// Its key of the index is deleted, so the session has probably released it.
    doubtful: bool,
    /// When the index said something of it.
    since: Moment,
}

impl HeldWatch {
    pub(super) fn new(index: Index) -> Self {
        Self {
            index,
            held: BTreeMap::new(),
            numbers: HashMap::new(),
            last_number: INDEX,
            due: VecDeque::new(),
            unread: Vec::new(),
            reading_names: Vec::new(),
            reading: None,
        }
    }

    /// The session holds a record, as it is at `revision`.
    fn hold(&mut self, held: HeldLock, revision: i64) -> HeldEvent {
        self.last_number += 1;
        let (number, now) = (self.last_number, Clock::Runtime.now());
        let known = self.held.entry(held.record.clone()).or_insert_with(|| {
            self.numbers.insert(number, held.record.clone());
            self.due.push_back((now + DELAY, number));
            Held { number, watched: false, revision, doubtful: false, since: now }
        });
        known.revision = known.revision.max(revision);
        (known.doubtful, known.since) = (false, now);
        HeldEvent::Set(held)
    }

    /// The session does not hold the record any more.
    fn lose(&mut self, requests: &Requests, record: &RecordName) {
        if let Some(held) = self.held.remove(record) {
            self.numbers.remove(&held.number);
            if held.watched {
                requests.cancel(held.number);
            }
        }
    }

    /// Begins the watches and the reads that are due.
    fn watch_due(&mut self, requests: &Requests) {
        let now = Clock::Runtime.now();
        while let Some((at, number)) = self.due.front()
            && *at <= now
        {
            let record = self.numbers.get(number).cloned();
            let number = *number;
            self.due.pop_front();
            let Some(record) = record else { continue };
            let Some(held) = self.held.get_mut(&record) else { continue };
            if held.since + DELAY > now {
                self.due.push_back((held.since + DELAY, number));
                continue;
            }
            if held.doubtful {
                self.lose(requests, &record);
                self.unread.push(record);
                continue;
            }
            held.watched = true;
            let watch = self.index.record(&record).watch(number, held.revision);
            requests.create(WatchCreate { progress_notify: false, ..watch });
        }
    }

    fn responded(
        &mut self,
        requests: &Requests,
        response: WatchResponse,
    ) -> Result<Vec<HeldEvent>, Status> {
        let over = response.canceled || response.compact_revision != 0;
        if over && response.watch_id > INDEX {
            match self.numbers.get(&response.watch_id).cloned() {
                // It was cancelled here.
                None => return Ok(Vec::new()),
                Some(record) if response.compact_revision != 0 => {
                    self.lose(requests, &record);
                    self.unread.push(record);
                    return Ok(Vec::new());
                }
                Some(_) => {}
            }
        }
        let events = events(response)?;
        Ok(events.iter().filter_map(|event| self.changed(requests, event)).collect())
    }

    fn changed(&mut self, requests: &Requests, event: &Event) -> Option<HeldEvent> {
        let kv = event.kv.as_ref()?;
        let (record, revision) = (codec::record_name(kv), kv.mod_revision);
        let known = self.held.get(&record);
        let in_index = kv.key.starts_with(self.index.keys.key.as_bytes());
        if known.is_some_and(|held| revision <= held.revision) || known.is_none() && !in_index {
            return None;
        }
        if in_index && event.is_deletion() {
            // Also a person may have deleted it, or it was deleted later than the record was written. So the record
            // decides, by a watch of it or by a read. Not at once, because a lock that goes from hand to hand comes back.
            if let Some(held) = self.held.get_mut(&record) {
                (held.doubtful, held.since) = (true, Clock::Runtime.now());
            }
            return None;
        } else if in_index {
            let copy = codec::decode_copy(kv, &self.index.session);
            if copy.is_none() {
                self.unread.push(record);
            }
            return copy.map(|held| self.hold(held, revision));
        } else if let Some(held) = self.index.judge(Some(kv).filter(|_| !event.is_deletion())) {
            return Some(self.hold(held, revision));
        }
        self.lose(requests, &record);
        gone(record, revision)
    }

    /// Judges records by what was read of them, unless something newer is known.
    fn read(&mut self, requests: &Requests, found: Vec<Found>) -> Vec<HeldEvent> {
        let judged = found.into_iter().filter_map(|found| {
            if self.held.get(&found.name).is_some_and(|held| held.revision > found.revision) {
                return None;
            }
            if let Some(held) = self.index.judge(found.record.as_ref()) {
                return Some(self.hold(held, found.revision));
            }
            self.lose(requests, &found.name);
            gone(found.name, found.record.map_or(found.revision, |kv| kv.mod_revision))
        });
        judged.collect()
    }
}

/// The session does not hold the record since `revision`.
fn gone(record: RecordName, revision: i64) -> Option<HeldEvent> {
    Some(HeldEvent::Gone(record, codec::number(revision)?))
}

impl Source for HeldWatch {
    type Report = HeldEvent;

    async fn begin(&mut self) -> Result<(Open, Vec<HeldEvent>), Status> {
        let (mut names, revision) = self.index.names().await?;
        // What was held before is judged too, and what was to be read.
        let before = self.held.keys().chain(&self.unread).chain(&self.reading_names);
        names.extend(before.map(|record| (record.clone(), 0)));
        let found = self.index.read(names.into_keys().collect()).await?;
        let create = self.index.keys.watch(INDEX, revision);
        let open = Open::begin(&self.index.cluster.client, create).await?;
        *self = Self { last_number: self.last_number, ..Self::new(self.index.clone()) };
        let (mut all, mut events) = (Vec::new(), Vec::new());
        for event in self.read(&open.requests, found) {
            match event {
                HeldEvent::Set(held) => all.push(held),
                event => events.push(event),
            }
        }
        events.insert(0, HeldEvent::All(all));
        Ok((open, events))
    }

    async fn progress(&mut self, open: &mut Open) -> Result<Vec<HeldEvent>, Status> {
        self.watch_due(&open.requests);
        if self.reading.is_none() && !self.unread.is_empty() {
            let (index, unread) = (self.index.clone(), std::mem::take(&mut self.unread));
            self.reading_names.clone_from(&unread);
            self.reading = Some(Box::pin(async move { index.read(unread).await }));
        }
        let next = self.due.front().map(|(at, _)| at.since(Clock::Runtime.now()));
        tokio::select! {
            biased;
            response = open.response() => self.responded(&open.requests, response?),
            found = wait(&mut self.reading) => {
                self.reading = None;
                let found = found?;
                self.reading_names.clear();
                Ok(self.read(&open.requests, found))
            }
            () = sleep(next.unwrap_or_default()), if next.is_some() => Ok(Vec::new()),
        }
    }

    fn blind(&self, status: &Status) -> HeldEvent {
        HeldEvent::Blind(self.index.keys.error("watch", status))
    }
}

/// The result; pending if there is nothing to wait for.
async fn wait<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
