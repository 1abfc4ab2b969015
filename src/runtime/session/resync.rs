//! The list of all records that a session holds, in case that its watch missed an event.
//!
//! The list comes in pages, and each page is processed before the next one is requested, so that a session with thousands
//! of locks never has all of their objects at once. A lock on a page is marked with the number of the list.

use std::time::Duration;

use super::{callers::Caller, task::Task, timers::Timer};
use crate::{
    api::error::Result,
    store::sessions::{Cursor, HeldLock, HeldPage},
    util::clock::Moment,
};

/// How often the records that the session holds are listed.
const RESYNC: Duration = Duration::from_secs(30);
/// A session with so many locks lists them as much less often, because a list of 10,000 is 11 MB.
const RESYNC_LOCKS: usize = 500;

/// The list that is under way, or was the last one.
#[derive(Debug, Default)]
pub(super) struct Resync {
    /// When its first page was requested.
    began_at: Moment,
    /// Grows with each list, and when a list begins again.
    number: u64,
    /// Its pages have expired once.
    begun_again: bool,
}

impl Resync {
    /// Another list begins.
    fn begin(&mut self, now: Moment, again: bool) {
        *self = Self { began_at: now, number: self.number + 1, begun_again: again };
    }
}

impl Task {
    /// All records that this session holds, as its watch lists them.
    pub(super) fn listed(&mut self, now: Moment, held: Vec<HeldLock>) {
        for held in held {
            self.seen(now, held);
        }
    }

    /// Lists what the session holds.
    pub(super) fn resync(&mut self, now: Moment) {
        if self.ready {
            self.resync.begin(now, false);
            self.request_page(None);
        }
    }

    fn request_page(&mut self, cursor: Option<Cursor>) {
        let id = self.beats.heartbeat.id().clone();
        self.requests.push(self.sender.list(id, cursor));
    }

    /// A page of the list, or why there is none. A list that is not complete proves nothing.
    pub(super) fn resync_answered(&mut self, now: Moment, answer: Result<HeldPage>) {
        match answer {
            Ok(HeldPage::Some(held, cursor)) => {
                for held in &held {
                    if let Some(lock) = self.locks.get_mut(&held.record) {
                        lock.listed_in = self.resync.number;
                    }
                }
                self.listed(now, held);
                if cursor.is_some() {
                    return self.request_page(cursor);
                }
                self.read_missing();
            }
            // The next list shows a later state, so a lock may be missing there which was on a page of this one.
            Ok(HeldPage::Expired) if !self.resync.begun_again => {
                self.resync.begin(now, true);
                return self.request_page(None);
            }
            Ok(HeldPage::Expired) => tracing::debug!("the pages of the list of held locks expire"),
            Err(error) => tracing::debug!(%error, "could not list the held locks"),
        }
        self.schedule_resync(now);
    }

    /// The list is complete. A lock that was held before the list was requested and is not in it is read: only that read
    /// decides.
    fn read_missing(&mut self) {
        let missing = self.tenures.iter().filter(|(nonce, (record, _))| {
            let Some(lock) = self.locks.get(record) else { return false };
            let Some(Caller::Held { since, .. }) = lock.callers.get(**nonce) else { return false };
            *since < self.resync.began_at && lock.listed_in != self.resync.number
        });
        let missing = missing.map(|(_, (record, _))| record.clone());
        // A reservation may last for days, so it must not depend on one event.
        let reserved = self.locks.iter().filter(|(_, lock)| {
            lock.listed_in != self.resync.number && lock.machine.has_reservation()
        });
        let missing: Vec<_> = missing.chain(reserved.map(|(record, _)| record.clone())).collect();
        for record in missing {
            if let Some(lock) = self.locks.get_mut(&record) {
                lock.machine.doubt();
            }
            self.drive(&record);
        }
        // Not those that have ended by themselves: the release of a guard that was dropped a moment ago is still to come.
        let Self { tenures, locks, .. } = self;
        tenures.retain(|nonce, (record, _)| {
            let caller = locks.get(record).and_then(|lock| lock.callers.get(*nonce));
            matches!(caller, Some(Caller::Held { .. }))
        });
    }

    pub(super) fn schedule_resync(&mut self, now: Moment) {
        let locks = u32::try_from(self.tenures.len() / RESYNC_LOCKS).unwrap_or(u32::MAX);
        self.timers.set(Timer::Resync, now + RESYNC.saturating_mul(locks.saturating_add(1)));
    }
}
