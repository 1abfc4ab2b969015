//! The rules of the protocol, one by one. A test is named after the rule that it proves.
//!
//! Numbers of rules are those of `src/docs/protocol.md`. Times are milliseconds on the machine's own clock.

mod backoff;
mod copies;
mod deletion;
mod holding;
mod late;
mod not_before;
mod open_races;
mod pause_lengths;
mod preferred_holder;
mod races;
mod random_inputs;
mod releasing;
mod speed;
mod status;
mod unknown;
mod waiting;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    machine::{self, Failure, Input, Outcome, Release, Status, Step},
    record::{Nonce, Record, Version, Versioned, Whole, Write, WriteKind},
};
use crate::{
    api::timing::{Durations, Timing},
    util::clock::Moment,
};

const SEED: u64 = 0xa;
const UNKNOWN: Failure = Failure { refused: false, retry_after: None };
const REFUSED: Failure = Failure { refused: true, retry_after: None };

/// A machine with the status that its last step returned, and a source of nonces.
#[derive(Clone, Debug)]
struct Machine {
    inner: machine::Machine,
    status: Status,
    /// The next random number: different for each step, and for each source.
    random: u64,
}

impl Machine {
    fn new(identity: Arc<str>, seed: u64, timing: Durations) -> Self {
        let inner = machine::Machine::new(identity, seed, timing);
        Self { status: inner.status(at(0)), inner, random: nonce(seed, 0).0 }
    }

    fn temporary(self) -> Self {
        Self { inner: self.inner.temporary(), ..self }
    }

    fn step(&mut self, now: Moment, input: Input) -> Step {
        self.random += 1;
        let (step, status) = self.inner.step(now, input, self.random);
        self.status = status;
        step
    }

    fn status(&self, now: Moment) -> Status {
        self.inner.status(now)
    }

    fn deadline(&self) -> Option<Moment> {
        self.status.tenure.map(|held| held.until)
    }

    fn doubtful_at(&self) -> Option<Moment> {
        self.status.tenure.map(|held| held.doubtful_at)
    }

    fn yields(&self) -> bool {
        self.status.tenure.is_some_and(|held| held.yielding)
    }

    fn holder(&self) -> Option<&str> {
        self.status.record.as_ref()?.record.holder.as_deref()
    }

    fn seen(&self) -> Option<&Arc<Versioned>> {
        self.status.record.as_ref()
    }

    /// The driver follows a watch of the record.
    fn wants_watch(&self) -> bool {
        self.status.contending() && self.status.barred
    }

    fn is_overdue(&self, now: Moment) -> bool {
        self.status.overdue_at.is_some_and(|overdue_at| now >= overdue_at)
    }
}

/// The instant `millis` after the start. A monotonic clock does not start at zero, so the tests do not either.
fn at(millis: u64) -> Moment {
    Moment::from_nanos(7_000_000_000) + ms(millis)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn number(number: u64) -> NonZeroU64 {
    number.try_into().expect("a version is not zero")
}

fn found(uid: &str, version: u64, record: Record) -> Arc<Versioned> {
    let version = Version { number: number(version), uid: uid.into() };
    Arc::new(Versioned { version, record, age: None, whole: Whole::default() })
}

/// The record with the uid `u`, held by another machine with the identity `b`.
fn held(version: u64) -> Arc<Versioned> {
    found("u", version, held_record(version))
}

fn held_record(write: u64) -> Record {
    let nonce = Some(nonce(0xb, write));
    Record { holder: Some("b".into()), nonce, ttl: Some(secs(15)), ..Record::default() }
}

/// A number that stands for a random one: different for each source and for each write.
const fn nonce(source: u64, write: u64) -> Nonce {
    Nonce((source << 48) + write)
}

fn held_by(holder: &str, version: u64) -> Arc<Versioned> {
    found("u", version, Record { holder: Some(holder.into()), ..held_record(version) })
}

fn free(version: u64) -> Arc<Versioned> {
    found("u", version, Record { holder: None, ..held_record(version) })
}

fn read(found: &Arc<Versioned>) -> Input {
    Input::Read(Ok(Some(Arc::clone(found))))
}

fn changed(found: &Arc<Versioned>) -> Input {
    Input::Changed(Arc::clone(found))
}

const fn absent() -> Input {
    Input::Read(Ok(None))
}

const fn conflict() -> Input {
    Input::Wrote(Outcome::Conflict)
}

const fn unknown() -> Input {
    Input::Wrote(Outcome::Failed(UNKNOWN))
}

fn stored(found: &Arc<Versioned>) -> Input {
    Input::Wrote(Outcome::Stored(Arc::clone(found)))
}

/// A machine with the identity `a` and the default timing: ttl 15 s, hold 13 s, a renewal every 5 s.
fn machine() -> Machine {
    Machine::new("a".into(), SEED, Durations::default())
}

/// A machine that wants a tenure and has its first read in flight.
fn contender() -> Machine {
    let mut machine = machine();
    assert_eq!(machine.step(at(0), Input::Claim(Durations::default())), Step::Read);
    machine
}

/// A contender that read at 0 ms that `b` holds the record, in version 10.
fn waiter() -> Machine {
    let mut machine = contender();
    assert_sleeps(&machine.step(at(0), read(&held(10))));
    machine
}

/// A holder whose claim was sent and stored at 0 ms as version 10, and the record.
fn holder() -> (Machine, Arc<Versioned>) {
    let mut machine = contender();
    let write = written(machine.step(at(0), absent()));
    let now = after(&write, 10);
    assert_sleeps(&machine.step(at(0), stored(&now)));
    assert_eq!(token(&machine, 0), Some(10));
    (machine, now)
}

/// The record after `write`, stored as this version.
fn after(write: &Write, version: u64) -> Arc<Versioned> {
    let uid = write.base.as_ref().map_or("u", |base| &base.version.uid);
    found(uid, version, write.record.clone())
}

fn token(machine: &Machine, millis: u64) -> Option<u64> {
    machine.status(at(millis)).tenure.map(|held| held.token.get())
}

#[track_caller]
fn written(step: Step) -> Write {
    match step {
        Step::Write(write) => write,
        other => panic!("expected a write, not {other:?}"),
    }
}

#[track_caller]
fn write_for(step: Step, kind: WriteKind) -> Write {
    let write = written(step);
    assert_eq!(write.kind, kind, "{write:?}");
    write
}

#[track_caller]
fn assert_sleeps(step: &Step) -> Moment {
    match step {
        Step::Sleep(until) => *until,
        other => panic!("expected a sleep, not {other:?}"),
    }
}

/// Sleeps until a renewal is due, 0.8 to 1.0 of the interval after the send of the last one.
#[track_caller]
fn assert_renews(step: &Step, sent_at: Moment) {
    let due = assert_sleeps(step);
    assert!((sent_at + ms(4000)..=sent_at + ms(5000)).contains(&due), "{due:?}");
}

/// Sleeps as `step` says. Returns when the sleep ends, and the step after it.
#[track_caller]
fn wake(machine: &mut Machine, step: &Step) -> (Moment, Step) {
    let until = assert_sleeps(step);
    (until, machine.step(until, Input::Wake))
}

/// Sleeps until the step is no sleep. Returns when that is, and the step.
#[track_caller]
fn sleep_on(machine: &mut Machine, mut step: Step) -> (Moment, Step) {
    let mut now = assert_sleeps(&step);
    loop {
        step = machine.step(now, Input::Wake);
        let Step::Sleep(until) = step else { return (now, step) };
        assert!(until > now, "a sleep until {until:?} must end later than {now:?}");
        now = until;
    }
}
