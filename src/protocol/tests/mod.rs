//! The rules of the protocol, one by one. Times are milliseconds on the machine's own clock.

mod deletion;
mod floors;
mod holding;
mod inputs;
mod pace;
mod pauses;
mod preferred;
mod releasing;
mod speed;
mod standing;
mod unknown;
mod waiting;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    machine::{self, Failure, Input, Outcome, Release, Status, Step},
    record::{Nonce, Record, Version, Versioned, Write, WriteKind},
};
use crate::{
    api::timing::{Durations, Timing},
    util::clock::Moment,
};

const SEED: u64 = 0xa;
const UNKNOWN: Failure = Failure { refused: false, retry_after: None };
const REFUSED: Failure = Failure { refused: true, retry_after: None };

/// A machine, and the status that its last step returned.
#[derive(Clone, Debug)]
struct Machine {
    machine: machine::Machine,
    status: Status,
}

impl Machine {
    fn new(identity: Arc<str>, seed: u64, timing: Durations) -> Self {
        let machine = machine::Machine::new(identity, seed, timing);
        Self { status: machine.status(at(0)), machine }
    }

    fn temporary(self) -> Self {
        Self { machine: self.machine.temporary(), ..self }
    }

    fn step(&mut self, now: Moment, input: Input) -> Step {
        let (step, status) = self.machine.step(now, input);
        self.status = status;
        step
    }

    fn status(&self, now: Moment) -> Status {
        self.machine.status(now)
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

    /// A watch of the record would be of use.
    fn wants_watch(&self) -> bool {
        self.status.contending() && self.status.barred
    }

    fn is_overdue(&self, now: Moment) -> bool {
        self.status.overdue_at.is_some_and(|overdue_at| now >= overdue_at)
    }
}

/// Some clocks start late.
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
    number.try_into().expect("counts from one")
}

fn found(uid: &str, version: u64, record: Record) -> Arc<Versioned> {
    let version = Version { number: number(version), uid: uid.into() };
    Arc::new(Versioned { version, record, age: None, whole: Arc::default() })
}

/// The record of uid `u`, held by a leasehold machine named `b`.
fn held(version: u64) -> Arc<Versioned> {
    found("u", version, held_record(version))
}

fn held_record(write: u64) -> Record {
    let nonce = Some(Nonce { machine: 0xb, write });
    Record { holder: Some("b".into()), nonce, ttl: Some(secs(15)), ..Record::default() }
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

/// A machine named `a` with the default timing: 15 s to live, 13 s of hold, renewed every 5 s.
fn machine() -> Machine {
    Machine::new("a".into(), SEED, Durations::default())
}

/// One that wants the tenure, and reads.
fn contender() -> Machine {
    let mut machine = machine();
    assert_eq!(machine.step(at(0), Input::Claim(Durations::default())), Step::Read);
    machine
}

/// One that has read, at 0 ms, that the record is held by `b`: version 10.
fn waiter() -> Machine {
    let mut machine = contender();
    assert_sleeps(&machine.step(at(0), read(&held(10))));
    machine
}

/// One that wrote at 0 ms what was stored as version 10, and this.
fn holder() -> (Machine, Arc<Versioned>) {
    let mut machine = contender();
    let write = written(machine.step(at(0), absent()));
    let now = after(&write, 10);
    assert_sleeps(&machine.step(at(0), stored(&now)));
    assert_eq!(token(&machine, 0), Some(10));
    (machine, now)
}

/// What `write` makes of the record.
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
fn write_for(step: Step, change: WriteKind) -> Write {
    let write = written(step);
    assert_eq!(write.kind, change, "{write:?}");
    write
}

#[track_caller]
fn assert_sleeps(step: &Step) -> Moment {
    match step {
        Step::Sleep(until) => *until,
        other => panic!("expected a sleep, not {other:?}"),
    }
}

/// The next step once its sleep is over.
#[track_caller]
fn wake(machine: &mut Machine, step: &Step) -> (Moment, Step) {
    let until = assert_sleeps(step);
    (until, machine.step(until, Input::Wake))
}

/// The next step that is no sleep.
#[track_caller]
fn sleep_on(machine: &mut Machine, mut step: Step) -> (Moment, Step) {
    let mut now = assert_sleeps(&step);
    loop {
        step = machine.step(now, Input::Wake);
        let Step::Sleep(until) = step else { return (now, step) };
        assert!(until > now, "it sleeps until {until:?} and no further");
        now = until;
    }
}
