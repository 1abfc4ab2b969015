//! One contender for one record.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    bugs::{Bug, seeded},
    record::{Change, Nonce, Record, Version, Versioned, Write},
};
use crate::{clock::Moment, error::Loss, timing::Timing, token::Token};

/// How many unanswered writes are remembered; an older one would be taken for a stranger's, which is safe.
const REMEMBERED: usize = 8;
/// The longest pause that a backend can ask for where no tenure is at stake.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The time that the last step asked for has come, or nothing in particular.
    Wake,
    /// Somebody wants the tenure.
    Claim(Timing),
    /// Nobody wants it any more.
    Release,
    /// The present tenure ends and the next one, of somebody else in this process, begins.
    Pass(Timing),
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
#[derive(Clone, Debug)]
struct Tenure {
    version: Version,
    nonce: Nonce,
    token: Token,
    /// When the last write known to be stored was sent.
    sent: Moment,
    until: Moment,
    /// The record asks for another holder: no more renewals.
    yielding: bool,
}

/// A write that may be stored, now or later.
#[derive(Clone, Debug)]
struct Attempt {
    nonce: Nonce,
    sent: Moment,
    base: Option<Version>,
    /// It may begin a tenure: claimed for whoever wants it now.
    claims: bool,
}

#[derive(Clone, Debug)]
enum View {
    Unknown,
    Absent { free_at: Moment, checked: Moment },
    Present { found: Arc<Versioned>, since: Moment, checked: Moment },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    None,
    /// A read, sent when `highest` was this.
    Read(u64),
    /// A write of this nonce, for this, with this time to live.
    Write(Nonce, Change, Duration),
}

/// The state machine of one contender. See the [module](super) for its picture and invariants.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    me: Arc<str>,
    /// Random per machine: its nonces and its jitter come from it.
    seed: u64,
    writes: u64,
    timing: Timing,
    /// The record is deleted when it is released.
    temporary: bool,
    wanted: bool,
    blind: bool,
    tenure: Option<Tenure>,
    loss: Option<Loss>,
    view: View,
    /// The highest version processed, from any source.
    highest: u64,
    open: Vec<Attempt>,
    flight: Flight,
    /// An answer is owed by the record itself before anything is decided.
    reread: bool,
    quiet_until: Moment,
    failures: u32,
    conflicts: u32,
    /// Since when every read was older than what had been seen before.
    stale_since: Option<Moment>,
    /// When to stop clearing up and leave the rest to the time to live.
    give_up: Moment,
    /// The backend stored something else than was written.
    altered: bool,
}

impl Machine {
    /// A contender named `me`. `seed` must be random: nothing else tells two machines of one name apart.
    pub(crate) fn new(me: Arc<str>, seed: u64, timing: Timing) -> Self {
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
            quiet_until: Moment::default(),
            failures: 0,
            conflicts: 0,
            stale_since: None,
            give_up: Moment::default(),
            altered: false,
        }
    }

    /// The record is deleted instead of freed at the end of a tenure.
    pub(crate) fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// Takes in what happened at `now` and says what to do next. `now` never goes back.
    pub(crate) fn step(&mut self, now: Moment, input: Input) -> Step {
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
            Input::Changed(found) => {
                self.blind = false;
                self.observe(now, &found, false);
            }
            Input::Deleted(version) => self.deleted(now, version),
            Input::Missed => {
                self.blind = false;
                self.reread = true;
            }
            Input::Blind => self.blind = true,
        }
        self.plan(now)
    }

    /// The token of the tenure held at `now`, if one is.
    pub(crate) fn holds(&self, now: Moment) -> Option<Token> {
        self.tenure.as_ref().filter(|tenure| now < tenure.until).map(|tenure| tenure.token)
    }

    /// When the present tenure ends unless it is renewed.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.tenure.as_ref().map(|tenure| tenure.until)
    }

    /// From when on the present tenure is in doubt: one attempt to renew it has had its time.
    pub(crate) fn doubtful(&self) -> Option<Moment> {
        let timing = self.timing;
        self.tenure.as_ref().map(|tenure| match tenure.yielding {
            true => tenure.sent,
            false => tenure.sent + timing.renew() + timing.attempt(),
        })
    }

    /// What ended the last tenure.
    pub(crate) const fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Whoever else holds the record, as far as this machine knows.
    pub(crate) fn holder(&self) -> Option<&Arc<str>> {
        match &self.view {
            View::Present { found, .. } => found.record.holder.as_ref(),
            _ => None,
        }
    }

    /// The last known state of the record.
    pub(crate) fn seen(&self) -> Option<&Arc<Versioned>> {
        match &self.view {
            View::Present { found, .. } => Some(found),
            _ => None,
        }
    }

    /// Whether the machine has nothing to do but to wait for somebody else's tenure to end.
    pub(crate) fn waits(&self) -> bool {
        let foreign = match &self.view {
            View::Present { found, .. } => !found.record.is_free() && !self.is_mine(&found.record),
            View::Absent { free_at, checked } => checked < free_at,
            View::Unknown => false,
        };
        self.tenure.is_none() && self.flight == Flight::None && !self.reread && foreign
    }

    /// Whether no answer has come since the last failure.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether the backend stored something else than was written, since this was last asked.
    pub(crate) fn take_altered(&mut self) -> bool {
        std::mem::take(&mut self.altered)
    }

    /// The version that a read shows for longer than a time to live although a higher one was seen: a restored backup.
    pub(crate) fn regressed(&self, now: Moment) -> bool {
        self.stale_since.is_some_and(|since| now - since >= self.timing.ttl())
    }

    /// How long one request may take.
    pub(crate) const fn attempt(&self) -> Duration {
        self.timing.attempt()
    }

    /// Whether the tenure is wanted and not held.
    pub(crate) const fn is_contending(&self) -> bool {
        self.wanted && self.tenure.is_none()
    }

    /// Whether news of the record would be of use: somebody else's tenure is in the way.
    pub(crate) fn wants_news(&self) -> bool {
        let foreign = self.seen().is_some_and(|found| self.is_foreign(&found.record));
        self.is_contending()
            && (foreign
                || matches!(self.view, View::Absent { free_at, checked } if checked < free_at))
    }

    /// Whether somebody else's record has been seen unchanged for as long as it says: a watch, if any, told nothing since.
    pub(crate) fn is_overdue(&self, now: Moment) -> bool {
        match &self.view {
            View::Present { found, since, .. } => {
                self.is_foreign(&found.record) && now >= *since + found.record.lives()
            }
            _ => false,
        }
    }

    /// Whether nothing is held, wanted or left behind.
    pub(crate) fn is_done(&self, now: Moment) -> bool {
        let left = self.seen().is_some_and(|found| self.is_mine(&found.record));
        let settled = now >= self.give_up || self.open.is_empty() && !left;
        !self.wanted && self.tenure.is_none() && self.flight == Flight::None && settled
    }

    /// Whether somebody wants the tenure.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether a tenure that was given back is out of this machine's hands: `None` while that is not known.
    pub(crate) fn has_left(&self, now: Moment) -> Option<bool> {
        let working = self.reread || self.flight != Flight::None;
        match self.seen() {
            _ if self.wanted => Some(true),
            Some(found) if self.is_mine(&found.record) => (now >= self.give_up).then_some(false),
            _ => (!working).then_some(true).or((now >= self.give_up).then_some(false)),
        }
    }

    /// The highest version processed.
    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    // ---- what happened ----

    fn expire(&mut self, now: Moment) {
        if self.tenure.as_ref().is_some_and(|tenure| now >= tenure.until) {
            self.end(now, Loss::Expired);
        }
    }

    fn claim(&mut self, timing: Timing) {
        self.timing = timing;
        self.wanted = true;
        self.loss = None;
    }

    fn release(&mut self, now: Moment) {
        if self.tenure.is_some() && !seeded(Bug::HoldWhileReleasing) {
            self.end(now, Loss::Released);
        }
        self.abandon(now);
        if self.failures == 0 {
            self.quiet_until = now;
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
        for attempt in &mut self.open {
            attempt.claims = false;
        }
    }

    fn read(&mut self, now: Moment, answer: Result<Option<Arc<Versioned>>, Failure>) {
        let Flight::Read(sent_at) = std::mem::replace(&mut self.flight, Flight::None) else {
            return;
        };
        match answer {
            Err(failure) => self.back_off(now, failure),
            Ok(Some(found)) => {
                self.answered();
                self.reread = false;
                let fresh = self.observe(now, &found, true);
                if !fresh && sent_at == self.highest {
                    // Nothing newer came in between: the server itself is behind.
                    self.stale_since.get_or_insert(now);
                    self.reread = true;
                    self.back_off(now, Failure::default());
                }
            }
            Ok(None) => {
                self.answered();
                self.reread = sent_at != self.highest;
                if !self.reread {
                    self.absent(now);
                }
            }
        }
    }

    fn wrote(&mut self, now: Moment, outcome: Outcome) {
        let Flight::Write(nonce, change, ttl) = std::mem::replace(&mut self.flight, Flight::None)
        else {
            return;
        };
        match outcome {
            Outcome::Stored(found) => {
                self.answered();
                self.conflicts = 0;
                self.reread = false;
                if seeded(Bug::CountFromAnswer) {
                    self.open.iter_mut().filter(|a| a.nonce == nonce).for_each(|a| a.sent = now);
                }
                let echoed = change == Change::Free
                    || self.is_me(&found.record)
                        && found.record.nonce == Some(nonce)
                        && found.record.ttl == Some(ttl);
                self.observe(now, &found, true);
                if !echoed {
                    self.altered = true;
                    self.back_off(now, Failure { refused: true, retry_after: None });
                }
            }
            Outcome::Gone => {
                self.answered();
                self.absent(now);
            }
            Outcome::Conflict => {
                self.failures = 0;
                self.conflicts += 1;
                let attempt = self.open.iter().find(|attempt| attempt.nonce == nonce);
                // A watch may have told already what the record is now.
                let base = attempt
                    .and_then(|attempt| attempt.base.as_ref())
                    .map_or(0, |base| base.number.get());
                let told = self.seen().is_some_and(|found| found.version.number.get() > base);
                self.reread = !(told && change == Change::Claim);
                if self.conflicts > 1 {
                    self.pause(now, self.conflicts - 1, Failure::default());
                }
            }
            Outcome::Failed(failure) => {
                if failure.refused {
                    self.open.retain(|attempt| attempt.nonce != nonce);
                }
                if seeded(Bug::UnknownIsStored) {
                    let attempt = self.open.iter().find(|attempt| attempt.nonce == nonce).cloned();
                    if let (Some(tenure), Some(attempt)) = (self.tenure.as_mut(), attempt) {
                        tenure.until = attempt.sent + self.timing.held_for();
                    }
                }
                self.reread = !failure.refused;
                self.back_off(now, failure);
            }
        }
    }

    /// Takes in a state of the record; false if it is older than one already known.
    fn observe(&mut self, now: Moment, found: &Arc<Versioned>, asked: bool) -> bool {
        let number = found.version.number.get();
        if number < self.highest && !seeded(Bug::StaleRead) {
            return false;
        }
        if number > self.highest {
            self.reread = false;
        }
        self.highest = number;
        self.stale_since = None;
        let mine =
            self.open.iter().find(|attempt| Some(attempt.nonce) == found.record.nonce).cloned();
        self.open.retain(|attempt| attempt.base.as_ref() == Some(&found.version));
        match &self.tenure {
            Some(_) => self.confirm(now, found, mine.as_ref()),
            None => self.begin(now, found, mine.as_ref()),
        }
        if let Some(tenure) = &mut self.tenure {
            tenure.yielding =
                found.record.preferred.as_ref().is_some_and(|preferred| *preferred != self.me);
        }
        if self.is_foreign(&found.record) && !seeded(Bug::BlindRelease) {
            self.conflicts = 0;
        }
        match &mut self.view {
            View::Present { found: known, checked, .. } if known.version == found.version => {
                if asked {
                    *checked = now;
                }
            }
            view => *view = View::Present { found: Arc::clone(found), since: now, checked: now },
        }
        true
    }

    /// A tenure begins if, and only if, `found` is what a claim of this machine stored.
    fn begin(&mut self, now: Moment, found: &Versioned, mine: Option<&Attempt>) {
        let adopted =
            Attempt { nonce: Nonce { machine: 0, write: 0 }, sent: now, base: None, claims: true };
        let mine = if seeded(Bug::AdoptOnRead) && self.is_me(&found.record) {
            Some(&adopted)
        } else {
            mine
        };
        let Some(attempt) = mine.filter(|attempt| attempt.claims && self.wanted) else { return };
        let until = attempt.sent + self.timing.held_for();
        if self.is_me(&found.record) && found.record.ttl == Some(self.timing.ttl()) && now < until {
            self.tenure = Some(Tenure {
                version: found.version.clone(),
                nonce: found.record.nonce.unwrap_or(attempt.nonce),
                token: Token::new(found.version.number),
                sent: attempt.sent,
                until,
                yielding: false,
            });
        }
    }

    /// The tenure goes on if `found` is what this machine wrote, last confirmed or recognised just now.
    fn confirm(&mut self, now: Moment, found: &Versioned, mine: Option<&Attempt>) {
        let Some(tenure) = &mut self.tenure else { return };
        if found.version.uid != tenure.version.uid {
            return self.end(now, Loss::Deleted);
        }
        if found.version.number == tenure.version.number {
            return;
        }
        if found.record.holder.as_ref() != Some(&self.me) {
            return self.end(now, Loss::Taken);
        }
        let known = found.record.nonce == Some(tenure.nonce) || seeded(Bug::IgnoreNonce);
        if found.record.ttl != Some(self.timing.ttl()) || !known && mine.is_none() {
            return self.end(now, Loss::Altered);
        }
        tenure.version = found.version.clone();
        if let Some(attempt) = mine {
            tenure.nonce = attempt.nonce;
            tenure.sent = tenure.sent.max(attempt.sent);
            tenure.until = tenure.until.max(attempt.sent + self.timing.held_for());
        }
    }

    fn deleted(&mut self, now: Moment, version: NonZeroU64) {
        if version.get() > self.highest {
            self.highest = version.get();
            self.absent(now);
        }
    }

    /// There is no record. Whoever knew one that somebody else held waits as long as that holder may believe in it.
    fn absent(&mut self, now: Moment) {
        if self.tenure.is_some() {
            self.end(now, Loss::Deleted);
        }
        self.open.retain(|attempt| attempt.base.is_none());
        self.view = match &self.view {
            View::Absent { free_at, .. } => View::Absent { free_at: *free_at, checked: now },
            View::Present { found, .. }
                if self.is_foreign(&found.record) && !seeded(Bug::CreateAtOnce) =>
            {
                View::Absent { free_at: now + found.record.lives(), checked: now }
            }
            _ => View::Absent { free_at: now, checked: now },
        };
    }

    // ---- what to do next ----

    fn plan(&mut self, now: Moment) -> Step {
        if self.flight != Flight::None {
            return self.sleep(now, Moment::NEVER);
        }
        if now < self.quiet_until {
            return self.sleep(now, self.quiet_until);
        }
        if self.reread {
            return self.ask();
        }
        if let Some(tenure) = &self.tenure {
            let due = tenure.sent + self.timing.renew();
            return match (tenure.yielding, now < due) {
                (true, _) => self.sleep(now, Moment::NEVER),
                (false, true) => self.sleep(now, due),
                (false, false) => self.write(now, Change::Renew),
            };
        }
        if self.wanted { self.contend(now) } else { self.settle(now) }
    }

    fn contend(&mut self, now: Moment) -> Step {
        match &self.view {
            View::Unknown => self.ask(),
            View::Absent { free_at, .. } if now < *free_at => Step::Sleep(*free_at),
            View::Absent { free_at, checked } if checked < free_at => self.ask(),
            View::Absent { .. } => self.write(now, Change::Claim),
            View::Present { found, .. } if !self.is_foreign(&found.record) => {
                self.write(now, Change::Claim)
            }
            View::Present { found, since, checked } => {
                let lives =
                    if seeded(Bug::OwnTtl) { self.timing.ttl() } else { found.record.lives() };
                let mut expiry = *since + lives;
                if seeded(Bug::RemoteTimestamps) {
                    expiry = Moment::from_nanos(
                        expiry.as_nanos().saturating_sub(nanos(found.age.unwrap_or_default())),
                    );
                }
                let take = expiry
                    + self.spread(
                        found.version.number.get(),
                        (lives / 30).min(Duration::from_millis(500)),
                    );
                let poll = *checked
                    + self.timing.renew() / 2
                    + self.spread(checked.as_nanos(), self.timing.renew() / 2);
                if now >= take && *checked >= expiry {
                    self.write(now, Change::Claim)
                } else if now >= take || self.blind && now >= poll {
                    self.ask()
                } else {
                    Step::Sleep(if self.blind { take.min(poll) } else { take })
                }
            }
        }
    }

    /// Nobody wants the tenure: leave nothing of this machine behind, nor anything that may still come.
    fn settle(&mut self, now: Moment) -> Step {
        let pending = !self.open.is_empty();
        let left =
            self.seen().is_some_and(|found| self.is_mine(&found.record)) || self.blind_release();
        if now >= self.give_up || !pending && !left {
            return Step::Done;
        }
        match &self.view {
            View::Unknown => self.ask(),
            View::Absent { .. } if self.temporary => Step::Done,
            // A claim on somebody's expired record: it is settled when anybody takes or renews that.
            View::Present { found, checked, .. }
                if self.is_foreign(&found.record) && !self.blind_release() =>
            {
                let again = *checked + self.timing.renew();
                if now < again { Step::Sleep(again) } else { self.ask() }
            }
            // Frees what is held, or moves the version on so that an unanswered claim cannot be stored any more.
            _ => self.write(now, Change::Free),
        }
    }

    fn ask(&mut self) -> Step {
        self.flight = Flight::Read(self.highest);
        Step::Read
    }

    fn write(&mut self, now: Moment, change: Change) -> Step {
        self.writes += 1;
        let nonce = Nonce { machine: self.seed, write: self.writes };
        let base = self.seen().cloned();
        let before = base.as_ref().map(|found| &found.record);
        let record = Record {
            holder: (change != Change::Free).then(|| Arc::clone(&self.me)),
            nonce: Some(nonce),
            ttl: Some(self.timing.ttl()),
            transitions: match (change, before) {
                (Change::Claim, Some(before)) if !self.is_me(before) => before.next_transition(),
                (_, before) => before.map_or(0, |before| before.transitions.max(0)),
            },
            preferred: None,
            token: self.tenure.as_ref().map(|tenure| tenure.token.number()),
        };
        if change != Change::Free {
            if self.open.len() == REMEMBERED {
                self.open.remove(0);
            }
            let version = base.as_ref().map(|found| found.version.clone());
            self.open.push(Attempt {
                nonce,
                sent: now,
                base: version,
                claims: change == Change::Claim,
            });
        }
        self.flight = Flight::Write(nonce, change, self.timing.ttl());
        Step::Write(Write { base, change, record })
    }

    /// Sleeps, but not past what must be told of the present tenure.
    fn sleep(&self, now: Moment, until: Moment) -> Step {
        let end = self.deadline().unwrap_or(Moment::NEVER);
        let doubt = self.doubtful().filter(|&doubt| doubt > now).unwrap_or(Moment::NEVER);
        Step::Sleep(until.min(end).min(doubt))
    }

    // ---- words ----

    fn is_me(&self, record: &Record) -> bool {
        record.holder.as_ref() == Some(&self.me)
    }

    /// Held by a write of this very machine, not only of its name.
    fn is_mine(&self, record: &Record) -> bool {
        let nonce = record.nonce.is_some_and(|nonce| nonce.machine == self.seed);
        self.is_me(record) && (nonce || seeded(Bug::IgnoreNonce))
    }

    fn is_foreign(&self, record: &Record) -> bool {
        !record.is_free() && !self.is_mine(record)
    }

    fn blind_release(&self) -> bool {
        seeded(Bug::BlindRelease) && self.conflicts > 0
    }

    fn answered(&mut self) {
        self.failures = 0;
    }

    fn back_off(&mut self, now: Moment, failure: Failure) {
        self.failures = self.failures.saturating_add(1);
        self.pause(now, self.failures, failure);
    }

    /// Exponential, jittered, capped; and as long as the backend asks, if a tenure leaves that much.
    fn pause(&mut self, now: Moment, count: u32, failure: Failure) {
        let cap = if self.tenure.is_some() && !failure.refused {
            self.timing.attempt()
        } else {
            self.timing.renew()
        };
        let doubled = (self.timing.ttl() / 150).saturating_mul(1 << (count - 1).min(10));
        let most = if failure.refused { cap } else { doubled.min(cap) };
        let mut pause = most / 2 + self.spread(now.as_nanos(), most / 2);
        if let Some(asked) = failure.retry_after {
            let room = self
                .deadline()
                .map_or(LONGEST_PAUSE, |end| (end - now).saturating_sub(self.timing.attempt() * 2));
            pause = pause.max(asked.min(room));
        }
        self.quiet_until = now + pause;
    }

    /// A share of `most` that is this machine's own, and another for each `salt`.
    fn spread(&self, salt: u64, most: Duration) -> Duration {
        let mut x = self.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from((x ^ (x >> 31)) >> 48).unwrap_or(0);
        most.saturating_mul(part) / (1 << 16)
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
