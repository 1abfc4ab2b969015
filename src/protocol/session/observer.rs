//! The machine that finds out whether the session of another process is over.
//!
//! Silence is no proof: the owner may renew at the same instant. The proof is a conditional write that ends the session
//! in the version that was unchanged for its whole time to live. A session whose record is missing is created first, as
//! a placeholder, because its owner may still be about to renew: a missing record cannot be written conditionally.

use std::{sync::Arc, time::Duration};

use super::{SessionAnswer, SessionId, SessionRecord, Stored};
use crate::util::clock::Moment;

/// The identity in a placeholder, for people.
pub(super) const PLACEHOLDER: &str = "placeholder of a missing session";

/// After so many conflicts, the pause is the interval between reads.
const MOST_CONFLICTS: u32 = 5;

/// The next request, or how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Read,
    /// Creates the missing record, not ended.
    CreatePlaceholder(SessionRecord),
    /// Ends the session in this version.
    End(Arc<Stored<SessionRecord>>, SessionRecord),
    Sleep(Moment),
    /// The session is over, for good.
    Over,
}

/// What the last answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Last {
    /// The record, or that it was written to by another.
    Present,
    Missing,
    /// None that says anything, so the record is read again before the session is ended.
    Failed,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Observer {
    id: SessionId,
    /// The newest version, and when the answer that showed it first arrived.
    seen: Option<(Arc<Stored<SessionRecord>>, Moment)>,
    last: Last,
    under_way: bool,
    over: bool,
    read_at: Moment,
    /// Conflicts of placeholders since the record was last seen.
    conflicts: u32,
}

impl Observer {
    /// An observer that reads first at `read_at`.
    pub(crate) const fn new(id: SessionId, read_at: Moment) -> Self {
        let (under_way, over) = (false, false);
        Self { id, seen: None, last: Last::Present, under_way, over, read_at, conflicts: 0 }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// An answer is awaited.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// The ended record, if this observer has seen it.
    pub(crate) fn ended(&self) -> Option<Arc<Stored<SessionRecord>>> {
        self.seen.as_ref().map(|(seen, _)| Arc::clone(seen)).filter(|seen| seen.record.is_over())
    }

    /// A version of the session is known, and its time runs.
    pub(crate) const fn has_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// The last read found no record: the next request creates one.
    pub(crate) fn is_missing(&self) -> bool {
        self.last == Last::Missing && !self.under_way
    }

    /// Reads at `at`, if that is earlier than planned.
    pub(crate) fn hurry(&mut self, at: Moment) {
        self.read_at = self.read_at.min(at);
    }

    /// What to do now. After a request, nothing until [`answered`](Self::answered).
    pub(crate) fn next(&mut self, now: Moment) -> Look {
        if self.over {
            return Look::Over;
        }
        if self.under_way {
            return Look::Sleep(Moment::NEVER);
        }
        let expires = self.seen.as_ref().map(|(_, at)| *at + self.id.ttl());
        let expires = expires.filter(|_| self.last != Last::Failed);
        if let (Some((seen, _)), Some(expires)) = (&self.seen, expires)
            && now >= expires
        {
            self.under_way = true;
            return Look::End(Arc::clone(seen), seen.record.ended());
        }
        if now < self.read_at {
            return Look::Sleep(expires.map_or(self.read_at, |expires| expires.min(self.read_at)));
        }
        self.under_way = true;
        if self.last == Last::Missing {
            return Look::CreatePlaceholder(SessionRecord::new(&self.id, PLACEHOLDER.into()));
        }
        Look::Read
    }

    /// The answer to the last request. The next read follows after `interval`.
    pub(crate) fn answered(&mut self, now: Moment, interval: Duration, answer: SessionAnswer) {
        self.under_way = false;
        match answer {
            SessionAnswer::Found(Some(found)) | SessionAnswer::Written(found) => {
                self.last = Last::Present;
                self.conflicts = 0;
                self.read_at = now + interval;
                self.found(now, found);
            }
            SessionAnswer::Found(None) => {
                // The clock of a version that is gone must not count for another object.
                self.seen = None;
                self.last = Last::Missing;
                self.read_at = now;
            }
            // The record exists now: it is read at once. Behind a cache, the next read may not show it either.
            SessionAnswer::Conflict if self.last == Last::Missing => {
                self.last = Last::Present;
                let pause = interval / 10 * ((1 << self.conflicts) >> 1);
                self.read_at = now + pause.min(interval);
                self.conflicts = (self.conflicts + 1).min(MOST_CONFLICTS);
            }
            SessionAnswer::Conflict => {
                self.seen = None;
                self.read_at = now;
            }
            SessionAnswer::Failed => {
                // An outage makes no version newer, so its time goes on.
                self.last = Last::Failed;
                self.read_at = now + interval;
            }
        }
    }

    fn found(&mut self, now: Moment, found: Arc<Stored<SessionRecord>>) {
        if found.record.is_over() {
            self.over = true;
            self.seen = Some((found, now));
            return;
        }
        let unchanged = self.seen.as_ref().is_some_and(|(seen, _)| {
            seen.version.uid == found.version.uid && seen.version.number >= found.version.number
        });
        // A lower version is an outdated answer: it must not start the wait again.
        if !unchanged {
            self.seen = Some((found, now));
        }
    }
}
