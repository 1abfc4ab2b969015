//! The watches of elections that a user of a session observes: one for each record, as long as there is a stream.
//!
//! Only they are watched by name. A candidate that nothing observes reads the record now and then, because 50 waiters with
//! a watch each would cost 100 events per hand-over.

use std::{collections::BTreeMap, fmt};

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{AbortHandle, Abortable, BoxStream, FuturesUnordered},
};

use super::task::Task;
use crate::{api::name::RecordName, store::sessions::HeldEvent};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Elections {
    /// The number of streams of each election, and what ends its watch.
    observed: BTreeMap<RecordName, (usize, AbortHandle)>,
    /// The next event of each watch.
    next: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
}

/// An event, and the watch that it is from.
pub(super) struct Event {
    record: RecordName,
    change: HeldEvent,
    watch: BoxStream<'static, HeldEvent>,
    ended: AbortHandle,
}

impl Elections {
    /// The next event; pending without a watch.
    pub(super) async fn next(&mut self) -> Event {
        while let Some(next) = self.next.next().await {
            if let Some(event) = next {
                return event;
            }
        }
        std::future::pending().await
    }

    fn wait(
        &mut self,
        record: RecordName,
        mut watch: BoxStream<'static, HeldEvent>,
    ) -> AbortHandle {
        let (ended, registration) = AbortHandle::new_pair();
        let handle = ended.clone();
        let next = async move {
            let change = watch.next().await?;
            Some(Event { record, change, watch, ended })
        };
        let next = Abortable::new(next, registration);
        self.next.push(Box::pin(async move { next.await.ok().flatten() }));
        handle
    }
}

impl Task {
    /// A stream of this election begins or ends.
    pub(super) fn observe_election(&mut self, record: &RecordName, begins: bool) {
        let Self { elections, locks, sender, .. } = self;
        match (elections.observed.get_mut(record), begins) {
            (Some((streams, _)), true) => *streams += 1,
            (Some((streams, _)), false) if *streams > 1 => *streams -= 1,
            (Some(_), false) => {
                if let Some((_, ended)) = elections.observed.remove(record) {
                    ended.abort();
                }
            }
            (None, true) => {
                let Some(lock) = locks.get(record) else { return };
                let watch = sender.store.watch_lock(&lock.key);
                let ended = elections.wait(record.clone(), watch);
                elections.observed.insert(record.clone(), (1, ended));
            }
            (None, false) => {}
        }
    }

    /// The watch of an election reports something.
    pub(super) fn election_changed(&mut self, event: Event) {
        let now = self.clock.now();
        let Event { record, change, watch, ended } = event;
        if ended.is_aborted() {
            return;
        }
        let next = self.elections.wait(record.clone(), watch);
        if let Some((_, ended)) = self.elections.observed.get_mut(&record) {
            *ended = next;
        }
        match change {
            HeldEvent::All(found) if found.is_empty() => {
                if let Some(lock) = self.locks.get_mut(&record) {
                    lock.machine.doubt();
                }
            }
            HeldEvent::All(found) | HeldEvent::Some(found) => return self.listed(now, found),
            HeldEvent::Set(found) => return self.seen(now, found),
            HeldEvent::Gone(_, version) => {
                if let Some(lock) = self.locks.get_mut(&record) {
                    lock.machine.unlabelled(version);
                }
            }
            HeldEvent::Blind(error) => {
                tracing::debug!(%record, %error, "the watch of an election is interrupted");
            }
        }
        self.drive(&record);
    }
}

impl fmt::Debug for Elections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elections").field("observed", &self.observed.keys()).finish_non_exhaustive()
    }
}
