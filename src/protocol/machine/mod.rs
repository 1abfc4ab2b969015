//! One contender for one record.

mod backoff;
mod decide;
mod observe;
mod responses;
mod status;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::record::{Nonce, Record, Version, Versioned, Write, WriteKind};
use crate::{
    api::{error::Loss, timing::Durations, token::Token},
    util::clock::Moment,
};

use self::backoff::Backoff;
pub(crate) use self::status::{Release, Status, TenureStatus};

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The time that the last step asked for has come, or nothing in particular.
    Wake,
    /// Somebody wants the tenure.
    Claim(Durations),
    /// Nobody wants it any more.
    Release,
    /// The present tenure ends and the next one, of somebody else in this process, begins.
    Pass(Durations),
    /// The answer to the read that was asked for.
    Read(Result<Option<Arc<Versioned>>, Failure>),
    /// The answer to the write that was asked for.
    Wrote(Outcome),
    /// A watch saw this state, at no particular time.
    Changed(Arc<Versioned>),
    /// A watch saw the record disappear; the version is that of the deletion.
    Deleted(NonZeroU64),
    /// A watch was set up anew and no longer finds the record: only a read can tell.
    Missed,
    /// Somebody asks who has not asked before: what is in the way now decides, and what fails now, not what was and did.
    Look,
    /// There is no watch, so that only reads tell. Any news of a watch says that there is one again.
    Blind,
}

/// What became of a conditional write.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is stored, as this.
    Stored(Arc<Versioned>),
    /// It is carried out, and the record is gone.
    Gone,
    /// The record was not what the write was conditional on.
    Conflict,
    /// Not stored, or nobody knows.
    Failed(Failure),
}

/// Why there was no useful answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failure {
    /// The backend understood and will not do it: try again, but slowly. The write is not stored.
    pub(crate) refused: bool,
    /// How long the backend asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// The one thing to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Read the record.
    Read,
    /// Write it. Counts as sent at the instant of this step.
    Write(Write),
    /// Nothing until then, or until there is an input.
    Sleep(Moment),
    /// Nothing at all: no tenure, none wanted, nothing left behind.
    Done,
}

/// A record held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    version: Version,
    nonce: Nonce,
    token: Token,
    /// When the last write known to be stored was sent.
    sent: Moment,
    until: Moment,
    /// Whom the record preferred already when it was claimed: they had their time to take it.
    passed_over: Option<Arc<str>>,
    /// The record asks for another holder: no more renewals.
    yielding: bool,
}

/// A write that may be stored, now or later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OpenWrite {
    nonce: Nonce,
    sent: Moment,
    base: Option<Version>,
    /// It may begin a tenure: claimed for whoever wants it now.
    claims: bool,
}

/// What is known of the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum View {
    Unknown,
    /// It is not there. `free_at` is when whoever held it has stopped to believe so.
    Absent {
        free_at: Moment,
        checked: Moment,
    },
    /// It has been seen like this `since` then; `checked` is when a request last said so.
    Present {
        found: Arc<Versioned>,
        since: Moment,
        checked: Moment,
    },
}

/// The one request under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Flight {
    #[default]
    None,
    Read(Sent),
    Write(Sent, Sending),
}

/// What was known when a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sent {
    highest: u64,
    /// A watch has missed the record since: the answer may be from before that.
    missed: bool,
    /// A watch has reported the record since: if this read fails, nothing is unknown.
    heard: bool,
}

/// A write under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sending {
    nonce: Nonce,
    kind: WriteKind,
    ttl: Duration,
    /// The version that it is conditional on; zero for there being no record.
    base: u64,
}

/// The state machine of one contender. See the [module](super) for its picture and invariants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own: no two exclude each other"
)]
pub(crate) struct Machine {
    me: Arc<str>,
    /// Random per machine: its nonces and its jitter come from it.
    seed: u64,
    writes: u64,
    timing: Durations,
    /// The record is deleted when it is released.
    temporary: bool,
    wanted: bool,
    blind: bool,
    tenure: Option<Held>,
    loss: Option<Loss>,
    view: View,
    /// The highest version processed, from any source.
    highest: u64,
    open: Vec<OpenWrite>,
    flight: Flight,
    /// An answer is owed by the record itself before anything is decided.
    reread: bool,
    backoff: Backoff,
    /// The version, or zero for none, that a conflict has shown to be outdated: a read that shows it is from a
    /// server that lags behind.
    refuted: Option<u64>,
    /// The first and the last of the answers that were older than what had been seen before, none between them newer.
    stale: Option<(Moment, Moment)>,
    /// When to stop clearing up and leave the rest to the time to live.
    give_up: Moment,
    /// The backend stored something else than was written.
    altered: bool,
}

impl Machine {
    /// A contender named `me`. `seed` must be random: nothing else tells two machines of one name apart.
    pub(crate) fn new(me: Arc<str>, seed: u64, timing: Durations) -> Self {
        Self {
            me,
            seed,
            writes: 0,
            timing,
            temporary: false,
            wanted: false,
            blind: false,
            tenure: None,
            loss: None,
            view: View::Unknown,
            highest: 0,
            open: Vec::new(),
            flight: Flight::None,
            reread: false,
            backoff: Backoff::default(),
            refuted: None,
            stale: None,
            give_up: Moment::default(),
            altered: false,
        }
    }

    /// The record is deleted instead of freed at the end of a tenure.
    pub(crate) fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// Takes in what happened at `now`, and returns what to do next and what the machine then is. `now` never goes back.
    pub(crate) fn step(&mut self, now: Moment, input: Input) -> (Step, Status) {
        self.altered = false;
        self.expire(now);
        match input {
            Input::Wake => {}
            Input::Claim(timing) => self.claim(timing),
            Input::Release => self.release(now),
            Input::Pass(timing) => {
                self.release(now);
                self.claim(timing);
            }
            Input::Read(answer) => self.read(now, answer),
            Input::Wrote(outcome) => self.wrote(now, outcome),
            Input::Changed(found) => self.changed(now, &found),
            Input::Deleted(version) => self.deleted(now, version),
            Input::Missed => self.missed(now),
            Input::Look => self.look(now),
            Input::Blind => self.blind = true,
        }
        let step = self.plan(now);
        (step, self.status(now))
    }

    fn expire(&mut self, now: Moment) {
        if self.tenure.as_ref().is_some_and(|tenure| now >= tenure.until) {
            self.end(now, Loss::Expired);
        }
    }

    fn claim(&mut self, timing: Durations) {
        self.timing = timing;
        self.wanted = true;
        self.loss = None;
    }

    fn release(&mut self, now: Moment) {
        if self.tenure.is_some() {
            self.end(now, Loss::Released);
        }
        self.abandon(now);
        if !self.backoff.is_failing() {
            self.backoff.resume(now);
        }
    }

    /// The tenure ends here and now, before anything is told to anybody.
    fn end(&mut self, now: Moment, loss: Loss) {
        self.tenure = None;
        self.loss = Some(loss);
        self.abandon(now);
    }

    /// Nobody wants the tenure: what was written for it must not begin one later.
    fn abandon(&mut self, now: Moment) {
        self.wanted = false;
        self.give_up = now + self.timing.ttl();
        self.open.iter_mut().for_each(|attempt| attempt.claims = false);
    }

    fn is_me(&self, record: &Record) -> bool {
        record.holder.as_ref() == Some(&self.me)
    }

    /// Held by a write of this very machine, not only of its name.
    fn is_mine(&self, record: &Record) -> bool {
        self.is_me(record) && record.nonce.is_some_and(|nonce| nonce.machine == self.seed)
    }

    fn is_foreign(&self, record: &Record) -> bool {
        !record.is_free() && !self.is_mine(record)
    }

    fn prefers_other(&self, record: &Record) -> bool {
        record.preferred.as_ref().is_some_and(|preferred| *preferred != self.me)
    }

    /// Somebody else comes first: the holder, or whom the record prefers.
    fn is_in_the_way(&self, record: &Record) -> bool {
        self.is_foreign(record) || self.prefers_other(record)
    }

    /// The last known state of the record.
    fn seen(&self) -> Option<&Arc<Versioned>> {
        match &self.view {
            View::Present { found, .. } => Some(found),
            View::Unknown | View::Absent { .. } => None,
        }
    }

    /// The record still shows a write of this machine.
    fn is_left_behind(&self) -> bool {
        self.seen().is_some_and(|found| self.is_mine(&found.record))
    }

    /// From when on `held` is in doubt: one attempt to renew it has had its time.
    fn doubtful_at(&self, held: &Held) -> Moment {
        let overdue = self.timing.renew_interval() + self.timing.attempt_timeout();
        if held.yielding { held.sent } else { held.sent + overdue }
    }
}
