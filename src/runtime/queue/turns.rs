//! Turns between this process and others: for how long local callers pass the record on among themselves, and for how
//! long it is then left to other processes.
//!
//! A *turn* lasts as long as the ttl that the record states when the turn begins, and at most [`MAX_TURN`]. If a local
//! caller still waits after that, the record is freed, and no local caller claims it during a *pause*:
//!
//! | pause | when | as long as |
//! |---|---|---|
//! | short | after a turn | twice what this contender's own release took, and 1 % of the ttl (at most 200 ms) |
//! | long | after every 16th turn, and after each turn while long pauses are used | an interval of polling, and a short pause |
//!
//! Each is longer by twice the time for which the others may leave the record to a process that is farther away, so by
//! at most 800 ms.
//!
//! In a short pause, another process receives the event of the release and its claim is stored. A process that has no
//! watch, or that is much farther from the server, needs the long one. A long pause ends early when another process has
//! taken the record.

use std::time::Duration;

use crate::{
    api::timing::Durations,
    protocol::machine::{Release, Status},
    util::clock::Moment,
};

/// The longest turn: the default ttl. A waiter then waits for a busy process no longer than for one that has crashed,
/// and a task with a ttl of a day does not keep the record for a day on behalf of all others in its process.
const MAX_TURN: Duration = Duration::from_secs(15);

/// How many requests as slow as this contender's own release a short pause has room for. An event and a claim take
/// another process as long as its own requests, while the answer to the release and the next claim take this one as
/// long as a request. So the other process may be three times as far from the server.
const REQUESTS: u32 = 2;
/// What a short pause adds, at most: for the other process itself, and for a server that is slow at this moment.
const MAX_ALLOWANCE: Duration = Duration::from_millis(200);

/// After how many turns a pause is long. An interval of polling is a third of the ttl at most, so this costs a process
/// that is alone 2 % of its time.
const TURNS_PER_LONG_PAUSE: u32 = 16;

#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: Option<Turn>,
    pause: Option<Pause>,
    /// How many turns have ended since the last long pause.
    ended: u32,
    /// Another process has taken the record in the last long pause: the next pause is long too.
    patient: bool,
}

#[derive(Debug)]
struct Turn {
    began: Moment,
    timing: Durations,
}

#[derive(Debug)]
enum Pause {
    /// The release is not confirmed: until then no other process could take the record.
    Pending {
        released_at: Moment,
        timing: Durations,
    },
    Running(Running),
}

#[derive(Debug)]
struct Running {
    until: Moment,
    long: bool,
    /// The changes of holder when the pause began.
    transitions: Option<i32>,
}

impl Turns {
    /// A local caller got the record.
    pub(super) fn granted(&mut self, now: Moment, timing: Durations) {
        if let Some(Pause::Running(Running { long: true, .. })) = self.pause.take() {
            // No other process needed it.
            self.patient = false;
        }
        self.turn.get_or_insert(Turn { began: now, timing });
    }

    /// Whether the next local caller may get the record without a pause.
    pub(super) fn continues(&self, now: Moment) -> bool {
        self.turn.as_ref().is_some_and(|turn| now - turn.began < turn.timing.ttl().min(MAX_TURN))
    }

    /// The turn ends without a pause: no local caller waits, or the tenure was lost.
    pub(super) fn end(&mut self) {
        self.turn = None;
    }

    /// The turn ends with a pause, once the release that begins now is confirmed.
    pub(super) fn leave(&mut self, now: Moment) {
        if let Some(Turn { timing, .. }) = self.turn.take() {
            self.ended += 1;
            self.pause = Some(Pause::Pending { released_at: now, timing });
        }
    }

    /// Local callers must not claim the record.
    pub(super) fn is_pause(&self, now: Moment) -> bool {
        match &self.pause {
            Some(Pause::Pending { .. }) => true,
            Some(Pause::Running(pause)) => now < pause.until,
            None => false,
        }
    }

    /// A watch would end the pause early. Setting one up takes as long as a whole short pause.
    pub(super) fn wants_watch(&self, now: Moment) -> bool {
        matches!(&self.pause, Some(Pause::Running(pause)) if pause.long && now < pause.until)
    }

    /// When the pause ends, if that is after `now`.
    pub(super) fn pause_ends(&self, now: Moment) -> Option<Moment> {
        match &self.pause {
            Some(Pause::Running(pause)) => Some(pause.until).filter(|&until| until > now),
            Some(Pause::Pending { .. }) | None => None,
        }
    }

    /// Ends a pause for a caller that cannot wait and has no other local caller before it.
    pub(super) fn skip_pause(&mut self) {
        self.pause = None;
    }

    /// Begins a pause whose release is confirmed, and ends one in which another process has taken the record.
    pub(super) fn advance(&mut self, now: Moment, status: &Status) {
        if let Some(Pause::Pending { released_at, timing }) = self.pause
            && status.release != Release::Pending
        {
            self.pause =
                Some(Pause::Running(self.pause_after(now, now - released_at, timing, status)));
        }
        if let Some(Pause::Running(pause)) = &self.pause
            && status.tenure.is_none()
            && pause.is_over_by(status)
        {
            self.patient |= pause.long;
            self.pause = None;
        }
    }

    fn pause_after(
        &mut self,
        now: Moment,
        release_took: Duration,
        timing: Durations,
        status: &Status,
    ) -> Running {
        let allowance = (timing.ttl() / 100).min(MAX_ALLOWANCE);
        // A release that had to be repeated says nothing about how far other processes are.
        let short = release_took.min(timing.attempt_timeout()) * REQUESTS + allowance;
        let long = self.patient || self.ended >= TURNS_PER_LONG_PAUSE;
        if long {
            self.ended = 0;
        }
        // Each contender measures the mean turn itself, and what follows from it is a power of two.
        let short = short + status.left_open * 2;
        Running {
            until: now + short + if long { timing.retry() } else { Duration::ZERO },
            long,
            transitions: transitions(status),
        }
    }
}

impl Running {
    /// Another process holds the record, or has held it since the pause began.
    fn is_over_by(&self, status: &Status) -> bool {
        let held = status.record.as_ref().is_some_and(|found| !found.record.is_free());
        held && status.barred || transitions(status) != self.transitions
    }
}

fn transitions(status: &Status) -> Option<i32> {
    status.record.as_ref().map(|found| found.record.transitions)
}
