//! The machine of this process's own session.
//!
//! ```text
//!            stored                 answer missing, conflict
//! Creating ─────────▶ Alive ◀───────────────────────────────▶ in doubt: read
//!    │ anything else     │ end                                   │ ended, gone, another object
//!    ▼                   ▼                                       ▼
//!   Lost              Ending ──── stored ───▶ Lost ◀─────────────┘
//! ```
//!
//! A session that is ending is given up at the end of its validity, whatever became of the request that ends it.
//!
//! The session counts from before the write was sent, so no answer and no event can make it longer than other processes
//! wait. A lost session is never written again: its name is not used a second time.

use std::{sync::Arc, time::Duration};

use super::{SessionAnswer, SessionId, SessionRecord, Stored};
use crate::{protocol::MAX_RETRY_AFTER, util::clock::Moment};

/// How many pauses fit into a time to live: after a failure that came at once, and between reads in doubt.
const PAUSES: u32 = 60;

/// The durations of a session. All follow from its time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pace {
    /// How long one renewal is trusted: nine tenths of the time to live. The rest is the margin for clocks that run at
    /// different rates.
    pub(crate) hold: Duration,
    /// The time from one renewal to the next.
    pub(crate) renew: Duration,
    /// How long to wait for an answer. Three attempts fit between a due renewal and the end of the hold.
    pub(crate) attempt: Duration,
    pause: Duration,
}

impl Pace {
    pub(crate) fn of(ttl: Duration) -> Self {
        Self { hold: ttl / 10 * 9, renew: ttl / 3, attempt: ttl / 6, pause: ttl / PAUSES }
    }
}

/// The next request, or how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Create(SessionRecord),
    Renew(Arc<Stored<SessionRecord>>, SessionRecord),
    Read,
    /// Ends the session.
    End(Arc<Stored<SessionRecord>>, SessionRecord),
    /// Nothing to send before this moment.
    Sleep(Moment),
    /// The session is over. Its name must not be used again.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Creating,
    Alive,
    Ending,
    Lost,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Heartbeat {
    id: SessionId,
    identity: Arc<str>,
    pace: Pace,
    phase: Phase,
    base: Option<Arc<Stored<SessionRecord>>>,
    validity: Moment,
    /// When the next request is due.
    due: Moment,
    /// The end of the attempt that is under way.
    attempt_ends: Option<Moment>,
    /// The outcome of a write is not known, so the record must be read before it is written again.
    doubtful: bool,
    /// Failures since the last success.
    failures: u32,
    /// A random number for the next renewal.
    random: u64,
    /// The marks of the renewals of `base` that were sent.
    sent: Vec<i32>,
}

impl Heartbeat {
    pub(crate) fn new(now: Moment, id: SessionId, identity: Arc<str>) -> Self {
        Self {
            pace: Pace::of(id.ttl()),
            id,
            identity,
            phase: Phase::Creating,
            base: None,
            validity: Moment::default(),
            due: now,
            attempt_ends: None,
            doubtful: false,
            failures: 0,
            random: 0,
            sent: Vec::new(),
        }
    }

    pub(crate) const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The end of the last confirmed renewal: until then no other process can have ended the session.
    pub(crate) const fn validity(&self) -> Moment {
        self.validity
    }

    /// The moment from which a renewal is late: one attempt has had its time.
    pub(crate) fn overdue_at(&self) -> Moment {
        let rest = self.pace.hold.saturating_sub(self.pace.renew + self.pace.attempt);
        let rest = u64::try_from(rest.as_nanos()).unwrap_or_default();
        Moment::from_nanos(self.validity.as_nanos().saturating_sub(rest))
    }

    pub(crate) fn is_created(&self) -> bool {
        self.base.is_some()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.phase == Phase::Lost
    }

    /// Gives up a session that was not created. If its record exists, other processes end it.
    pub(crate) const fn abandon(&mut self) {
        self.phase = Phase::Lost;
    }

    /// Ends the session as soon as nothing is under way.
    pub(crate) fn end(&mut self, now: Moment) {
        if self.phase == Phase::Alive {
            self.phase = Phase::Ending;
            self.due = now;
        }
    }

    /// Sets the number that the next renewal writes. It must come from the operating system: a copy of the process, as
    /// from a snapshot of its virtual machine, would draw the same one from any other source.
    pub(crate) const fn set_random(&mut self, random: u64) {
        self.random = random;
    }

    /// What to do now. A request begins an attempt: its answer goes to [`answered`](Self::answered).
    pub(crate) fn next(&mut self, now: Moment) -> Beat {
        if self.phase == Phase::Lost {
            return Beat::Lost;
        }
        if let Some(end) = self.attempt_ends {
            return Beat::Sleep(end);
        }
        if now < self.due {
            return Beat::Sleep(self.due);
        }
        let limit = if self.phase == Phase::Creating { self.pace.hold } else { self.pace.attempt };
        self.attempt_ends = Some(now + limit);
        match (&self.base, self.phase) {
            (None, _) => Beat::Create(SessionRecord::new(&self.id, Arc::clone(&self.identity))),
            (Some(_), _) if self.doubtful => Beat::Read,
            (Some(base), Phase::Ending) => Beat::End(Arc::clone(base), base.record.ended()),
            (Some(base), _) => {
                let renewed = base.record.renewed(self.random);
                self.sent.push(renewed.mark);
                Beat::Renew(Arc::clone(base), renewed)
            }
        }
    }

    /// The time is `now`. Ends the attempt if its time is over; its answer may still come.
    pub(crate) fn tick(&mut self, now: Moment) {
        if self.attempt_ends.is_some_and(|end| now >= end) {
            self.attempt_ends = None;
            self.failed(now);
        }
    }

    /// The answer to a request that was sent at `sent_at`. `late`: its attempt was over before.
    pub(crate) fn answered(
        &mut self,
        now: Moment,
        sent_at: Moment,
        late: bool,
        answer: SessionAnswer,
    ) {
        if !late {
            self.attempt_ends = None;
        }
        match answer {
            _ if self.phase == Phase::Lost => {}
            SessionAnswer::Written(stored) => self.written(now, sent_at, late, stored),
            // What an abandoned request failed with, or found, is older than what was done since.
            _ if late => {}
            SessionAnswer::Found(found) => self.found(now, found),
            SessionAnswer::Conflict | SessionAnswer::Failed => self.failed(now),
        }
    }

    /// The backend asks for a pause. It gets it as far as two attempts fit between its end and the end of the validity.
    pub(crate) fn pause(&mut self, now: Moment, requested: Duration) {
        let room = match self.validity.since(now) {
            // Nothing is left to lose.
            Duration::ZERO => MAX_RETRY_AFTER,
            rest => rest.saturating_sub(self.pace.attempt * 2),
        };
        if self.attempt_ends.is_none() {
            self.due = self.due.max(now + requested.min(room));
        }
    }

    fn written(
        &mut self,
        now: Moment,
        sent_at: Moment,
        late: bool,
        stored: Arc<Stored<SessionRecord>>,
    ) {
        if !self.is_mine(&stored) {
            // The answer to our own end of the session, or a server that stored something else.
            self.phase = Phase::Lost;
            return;
        }
        let newer =
            self.base.as_ref().is_none_or(|base| base.version.number < stored.version.number);
        // Another program takes each change back, so other processes see no new version. A late answer with the known
        // version may be of that kind too while a renewal of this version has no known outcome.
        if !newer && !late {
            return self.failed(now);
        }
        if !newer && !self.sent.is_empty() {
            return;
        }
        if newer {
            self.base = Some(stored);
            self.sent.clear();
            self.doubtful = false;
            self.failures = 0;
            self.due = sent_at + self.pace.renew;
            if self.phase == Phase::Creating {
                self.phase = Phase::Alive;
            }
            if self.phase == Phase::Ending {
                self.due = now;
            }
        }
        self.validity = self.validity.max(sent_at + self.pace.hold);
    }

    fn found(&mut self, now: Moment, found: Option<Arc<Stored<SessionRecord>>>) {
        match found.filter(|found| self.is_mine(found)) {
            // The server does not catch up, so the store was restored: the base can never be renewed again.
            Some(found) if now >= self.validity && self.is_older(&found) => {
                self.phase = Phase::Lost;
            }
            // A copy of this process renews the session, and counts on it.
            Some(found) if self.is_renewed_by_another(&found) => self.phase = Phase::Lost,
            Some(found) => {
                // A lower version is an outdated answer. The next write then conflicts.
                if self.base.as_ref().is_none_or(|b| b.version.number < found.version.number) {
                    self.base = Some(found);
                    self.sent.clear();
                }
                self.doubtful = false;
                self.due = now;
            }
            None => self.phase = Phase::Lost,
        }
    }

    fn is_older(&self, found: &Stored<SessionRecord>) -> bool {
        self.base.as_ref().is_some_and(|base| found.version.number < base.version.number)
    }

    /// A newer version with the mark of no renewal of this machine.
    fn is_renewed_by_another(&self, found: &Stored<SessionRecord>) -> bool {
        let mark = found.record.mark;
        let known = |base: &Arc<Stored<SessionRecord>>| {
            found.version.number <= base.version.number || mark == base.record.mark
        };
        !self.base.as_ref().is_none_or(known) && !self.sent.contains(&mark)
    }

    fn failed(&mut self, now: Moment) {
        if self.phase == Phase::Creating {
            // The object may exist, but another attempt with the same name could follow its end.
            self.phase = Phase::Lost;
            return;
        }
        // Nothing counts on it any more, and a process that waits for it ends it. Its own task must come to an end.
        if self.phase == Phase::Ending && now >= self.validity {
            self.phase = Phase::Lost;
            return;
        }
        self.doubtful = true;
        self.failures += 1;
        let pause = match self.failures {
            // The first failure is repeated at once.
            1 => Duration::ZERO,
            // A process that waits for the session has ended it by now, so there is no hurry.
            _ if now >= self.validity + self.id.ttl() => self.pace.renew,
            _ => self.pace.pause,
        };
        self.due = now + pause;
    }

    /// The object that this machine created, and not ended.
    fn is_mine(&self, stored: &Stored<SessionRecord>) -> bool {
        let same = self.base.as_ref().is_none_or(|base| base.version.uid == stored.version.uid);
        same && stored.record.holder.as_deref() == Some(self.id.as_str())
    }
}
