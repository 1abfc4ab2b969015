//! One contender for one record.
//!
//! # States
//!
//! ```text
//!                  Claim                          a record is free, absent or expired
//!      ┌──────┐ ──────────▶ ┌────────────┐ ──────────────────────────────▶ ┌──────────┐
//!      │ idle │             │ contending │                                 │ claiming │
//!      └──────┘ ◀────┐      └────────────┘ ◀────────────────────────────── └──────────┘
//!                    │            │             conflict, or not stored         │
//!         clean      │            │ Release                                     │ stored, or recognised
//!                    │            ▼                                             ▼ by its nonce in a read
//!                    │      ┌──────────┐    Release, deadline,             ┌──────────┐ ──┐
//!                    └───── │ settling │ ◀──────────────────────────────── │ holding  │   │ renewal
//!                           └──────────┘    deleted, taken, altered        └──────────┘ ◀─┘ stored
//! ```
//!
//! The states are not an enum. They follow from `wanted`, `held` and `unresolved`, so that no field repeats them:
//!
//! | state | `wanted` | `held` | it does |
//! |---|---|---|---|
//! | idle | no | none | nothing: [`Step::Done`] |
//! | contending | yes | none | reads, waits until the record is free or expired, claims it |
//! | claiming | yes | none | has its claim in flight, or unresolved because the answer was lost |
//! | holding | yes | some | renews each interval; in doubt while a renewal is overdue |
//! | settling | no | none | frees the record, or makes sure that an unresolved write cannot be stored any more |
//!
//! Idle and settling differ in what is left to do: settling lasts while `unresolved` is not empty or the record still
//! shows this machine's own write, and for one ttl at most.
//!
//! # One tenure
//!
//! The default timing: ttl 15 s, hold 13 s, a renewal each 4 to 5 s, 1.5 s for one attempt.
//!
//! 1. `Claim` at 0 s. Nothing is known of the record, so the step is `Read`.
//! 2. The answer shows a record held by `b`. The machine sleeps until that record has been unchanged for its ttl, on
//!    this machine's clock. The driver follows a watch meanwhile. A watch event with a newer version restarts the wait;
//!    an event of a free record ends it, and the machine claims at once.
//! 3. The wait ends at 15 s plus up to 0.5 s of jitter. The machine reads once more, because a watch may be silent.
//! 4. The record is unchanged. The step is `Write` with a claim on exactly that version and uid, with a new nonce.
//! 5. The answer says that the claim is stored. The tenure begins: its token is the version of the claim, and its
//!    deadline is the instant at which the claim was *sent*, plus 13 s.
//! 6. If the answer is lost, the machine reads. Its nonce in the record means that the claim was stored, and the tenure
//!    begins with the same deadline. Another nonce means that another process won, and the wait restarts. A record that
//!    is still the same is claimed again, with a new nonce; the first claim may still be stored and is remembered.
//! 7. A renewal is sent 4 to 5 s after the claim was sent. Each stored renewal moves the deadline. A renewal that is not
//!    confirmed after 1.5 s puts the tenure in doubt; it is not lost before its deadline.
//! 8. The tenure ends at its deadline, or earlier: with `Release`, or when the record is found deleted, taken or
//!    altered. The step that learns of it ends the tenure locally, before any request.
//! 9. The machine settles: it frees the record with one more conditional write, and reads on a conflict or a lost
//!    answer. It stops when the record is free or held by another process, or after one ttl. The step is `Done`.
//!
//! `Pass` is `Release` and `Claim` in one step, without step 9: the claim of the next tenure is written on the record
//! of the last one.

mod backoff;
mod decide;
mod input;
mod late;
mod not_before;
mod observe;
mod responses;
mod rivals;
mod status;

use std::sync::Arc;

use super::{
    not_before::{Known, WallClock},
    record::{Nonce, Record, Version, Versioned},
};
use crate::{
    api::{error::Loss, timing::Durations, token::Token},
    util::clock::Moment,
};

use self::backoff::Backoff;
pub(crate) use self::input::{Failure, Input, LateAnswer, Outcome, SentWrite, Step, Urgency};
pub(crate) use self::status::{Release, Status, TenureStatus};

/// The tenure that this machine holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    /// The last state of the record that confirmed the tenure. Its nonce is that of the last own write.
    version: Version,
    /// The version of the claim. It stays the same for the whole tenure.
    token: Token,
    /// When the last write that is known to be stored was sent.
    sent_at: Moment,
    /// The deadline: `sent_at` plus the hold.
    until: Moment,
    /// The holder that the record already preferred when this machine claimed it. It had one ttl to claim the record
    /// first, so the tenure does not yield to it.
    passed_over: Option<Arc<str>>,
    /// The record prefers another holder, so the tenure is not renewed.
    yielding: bool,
}

/// A claim or renewal that may be stored, now or later. Releases are not remembered: whether one was stored shows in
/// the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct UnresolvedWrite {
    nonce: Nonce,
    sent_at: Moment,
    /// The state that the write is conditional on; `None` for a create. Once the record has another version, the write
    /// cannot be stored any more.
    base: Option<Version>,
    /// The write is a claim, and the caller that wanted it has not left. A withdrawn claim must not begin a tenure for
    /// the next caller, because each tenure needs a write of its own.
    may_begin_tenure: bool,
}

/// What is known of the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum View {
    Unknown,
    /// There is no record.
    Absent {
        /// When the last known holder has stopped to trust its tenure, even if it did not notice the deletion.
        free_at: Moment,
        /// When the absence was last confirmed.
        confirmed_at: Moment,
    },
    Present {
        found: Arc<Versioned>,
        /// When this machine first saw this state. The wait for its expiry counts from here.
        since: Moment,
        /// When an answer last showed this state, or `since`. Watch events do not count, because they may be late.
        confirmed_at: Moment,
    },
}

/// The request in flight. There is at most one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum InFlight {
    #[default]
    None,
    Read(SentRequest),
    Write(SentRequest, SentWrite),
}

/// What the machine knew when it sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SentRequest {
    sent_at: Moment,
    /// The highest version at that time. If it has grown since, an old answer does not mean that the server lags.
    highest: u64,
    /// Something happened since that the answer may be too old to show: read again after it.
    read_again: bool,
    /// A watch has reported the record since. If this read fails, the state is known all the same.
    event_seen: bool,
}

/// A row of answers that were all older than the highest version.
///
/// A server that lags behind catches up. If the answers stay old for a ttl, the store was restored from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Regression {
    first: Moment,
    last: Moment,
}

/// The state machine of one contender. See the [module](self) for its states, and [`protocol`](super) for its
/// invariants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact: no two exclude each other"
)]
pub(crate) struct Machine {
    /// The identity that claims and renewals write as the holder.
    identity: Arc<str>,
    /// Random per machine, for jitter alone.
    seed: u64,
    /// The timing of the present or next tenure.
    timing: Durations,
    /// The record is deleted instead of freed when it is released.
    temporary: bool,
    /// A caller wants the tenure.
    wanted: bool,
    /// There is no watch, so the machine polls.
    without_watch: bool,
    held: Option<Held>,
    /// Why the last tenure ended.
    loss: Option<Loss>,
    view: View,
    /// The highest version processed, from any source. Older states are ignored.
    highest: u64,
    /// The claims and renewals without a known outcome, oldest first.
    unresolved: Vec<UnresolvedWrite>,
    /// The nonce of the last claim or renewal of this machine that the record has shown.
    own_write: Option<Nonce>,
    in_flight: InFlight,
    /// Something happened that only a read can explain. Nothing else is decided before that read.
    must_read: bool,
    /// When a caller that does not wait called last, if no read shows the record since.
    tried_at: Option<Moment>,
    /// When that happened last. A read that was sent before then does not explain it.
    read_owed_at: Moment,
    backoff: Backoff,
    /// The version, or zero for none, on which the last conflict occurred. A read that shows this version again is from
    /// a server that lags behind, because the conflict has proved that the record moved on.
    conflicted_on: Option<u64>,
    regression: Option<Regression>,
    /// When to stop settling and leave the record to expire.
    settle_deadline: Moment,
    /// In this step an answer showed that the backend stored something else than was written.
    altered: bool,
    /// A moment, and what the wall clock of this host showed then.
    wall_clock: WallClock,
    /// The not-before time of the tenure that this machine began last, which its renewals and its release state. `None`
    /// from the next claim on, because a claim that begins no tenure must leave no such time.
    stated: Option<Known>,
    /// The not-before time in the last known state of the record.
    shown: Option<Known>,
    /// The nonce of the write that this step may send; `None` if this step may not send a request.
    nonce: Option<Nonce>,
}

impl Machine {
    /// A contender with this identity. `seed` should be random, so that contenders do not act in step.
    pub(crate) fn new(identity: Arc<str>, seed: u64, timing: Durations) -> Self {
        Self {
            identity,
            seed,
            timing,
            temporary: false,
            wanted: false,
            without_watch: false,
            held: None,
            loss: None,
            view: View::Unknown,
            highest: 0,
            unresolved: Vec::new(),
            own_write: None,
            in_flight: InFlight::None,
            must_read: false,
            tried_at: None,
            read_owed_at: Moment::default(),
            backoff: Backoff::default(),
            conflicted_on: None,
            regression: None,
            settle_deadline: Moment::default(),
            altered: false,
            wall_clock: WallClock::UNSET,
            stated: None,
            shown: None,
            nonce: None,
        }
    }

    /// Deletes the record instead of freeing it at the end of a tenure.
    pub(crate) fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// Processes what happened at `now`. Returns what to do next, and the status after it. `now` must never go back.
    ///
    /// `random` must be drawn from the operating system for this call: a write of this step has it as its nonce. If the
    /// machine derived its nonces from its own state, a copy of the process would write the same ones.
    pub(crate) fn step(&mut self, now: Moment, input: Input, random: u64) -> (Step, Status) {
        self.process(now, input, Some(Nonce(random)))
    }

    /// The same while no request may be sent: returns [`Step::Queue`] in place of a request, and does not count it as
    /// sent.
    pub(crate) fn step_without_request(&mut self, now: Moment, input: Input) -> (Step, Status) {
        self.process(now, input, None)
    }

    fn process(&mut self, now: Moment, input: Input, nonce: Option<Nonce>) -> (Step, Status) {
        self.nonce = nonce;
        self.altered = false;
        // First: an input that arrives after the deadline must find the tenure ended.
        self.expire_tenure(now);
        match input {
            Input::Wake => {}
            Input::Claim(timing) => self.on_claim(timing),
            Input::Release => self.on_release(now),
            Input::Cancel => {
                self.on_release(now);
                self.stated = None;
            }
            Input::Pass(timing) => {
                self.on_release(now);
                self.stated = None;
                self.on_claim(timing);
            }
            Input::Read(answer) => self.on_read(now, answer),
            Input::Wrote(outcome) => self.on_write(now, outcome),
            Input::Changed(found) => self.on_changed(now, &found),
            Input::Deleted(version) => self.on_deleted(now, version),
            Input::Missed => self.on_missed(now),
            Input::Look => self.on_look(now),
            Input::Try => {
                self.tried_at = Some(now);
                self.on_look(now);
            }
            Input::Blind => self.without_watch = true,
            Input::Late(answer) => self.on_late_answer(now, answer),
        }
        self.confirm_try(now);
        let step = self.next_step(now);
        self.nonce = None;
        (step, self.status(now))
    }

    /// Something happened that only a read can explain.
    const fn owe_read(&mut self, now: Moment) {
        self.must_read = true;
        self.read_owed_at = now;
    }

    fn expire_tenure(&mut self, now: Moment) {
        if self.held.as_ref().is_some_and(|held| now >= held.until) {
            self.end_tenure(now, Loss::Expired);
        }
    }

    fn on_claim(&mut self, timing: Durations) {
        self.timing = timing;
        self.wanted = true;
        self.loss = None;
    }

    fn on_release(&mut self, now: Moment) {
        if self.held.is_some() {
            self.end_tenure(now, Loss::Released);
        }
        self.withdraw(now);
        // A pause after a conflict would only delay the release. A failing store still gets its pause.
        if !self.backoff.is_failing() {
            self.backoff.end_pause(now);
        }
    }

    /// Ends the tenure locally. Requests and reports come after it.
    fn end_tenure(&mut self, now: Moment, loss: Loss) {
        self.held = None;
        self.loss = Some(loss);
        self.withdraw(now);
    }

    /// No caller wants a tenure: a write that is stored later must not begin one.
    fn withdraw(&mut self, now: Moment) {
        self.wanted = false;
        self.settle_deadline = now + self.timing.ttl();
        self.unresolved.iter_mut().for_each(|attempt| attempt.may_begin_tenure = false);
    }

    /// The holder has this machine's identity. That does not prove that this machine wrote the record.
    fn names_identity(&self, record: &Record) -> bool {
        record.holder.as_ref() == Some(&self.identity)
    }

    /// This machine wrote the record as its holder, and remembers the write.
    ///
    /// A write that the machine has forgotten counts as foreign, which is safe: the machine waits for its ttl.
    fn is_own(&self, record: &Record) -> bool {
        self.names_identity(record) && record.nonce.is_some() && record.nonce == self.own_write
    }

    /// The record is held, and this machine did not write it.
    fn is_foreign(&self, record: &Record) -> bool {
        !record.is_free() && !self.is_own(record)
    }

    fn prefers_other(&self, record: &Record) -> bool {
        record.preferred.as_ref().is_some_and(|preferred| *preferred != self.identity)
    }

    /// Another process comes first, the holder or the preferred holder, or no tenure may begin yet.
    fn blocks_claim(&self, now: Moment, record: &Record) -> bool {
        self.is_foreign(record) || self.prefers_other(record) || self.is_closed(now, record)
    }

    /// The last known state of the record.
    fn last_seen(&self) -> Option<&Arc<Versioned>> {
        match &self.view {
            View::Present { found, .. } => Some(found),
            View::Unknown | View::Absent { .. } => None,
        }
    }

    /// The last known state of the record is a claim or renewal of this machine.
    fn still_shows_own(&self) -> bool {
        self.last_seen().is_some_and(|found| self.is_own(&found.record))
    }

    /// When `held` becomes doubtful: a renewal was due and has had the time of one attempt.
    ///
    /// A yielding tenure is in doubt at once, so that the application brings its work to an end.
    fn doubtful_at(&self, held: &Held) -> Moment {
        let overdue = self.timing.renew_interval() + self.timing.attempt_timeout();
        if held.yielding { held.sent_at } else { held.sent_at + overdue }
    }
}
