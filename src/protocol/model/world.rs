//! The state of the model, and how each action changes it.

use std::{sync::Arc, time::Duration};

use super::{Bounds, rules::Violation};
use crate::{
    api::timing::{Durations, Timing},
    protocol::{
        machine::{Failure, Input, Machine, Outcome, Step},
        record::{Version, Versioned, Write},
    },
    util::clock::Moment,
};

/// Some hours, so that jitter is shorter than a tick.
const TTL: Duration = Duration::from_secs(9000);
/// The longest hold that is accepted.
const HOLD: Duration = Duration::from_secs(8100);
const RENEW: Duration = Duration::from_secs(2700);
/// The longest time that jitter adds to a wait.
const JITTER: Duration = Duration::from_millis(500);

const UNKNOWN: Failure = Failure { refused: false, retry_after: None };

/// One event. The index is that of a contender, unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Time passes, for both contenders.
    Tick,
    /// The timer of the contender fires.
    Wake(usize),
    /// The request of the contender reaches the store.
    ReachStore(usize),
    /// The answer reaches the contender.
    Deliver(usize),
    /// The contender gives its request up, answered or not. A write may still reach the store later.
    GiveUp(usize),
    /// The late write with this index reaches the store. Its sender does not wait for it any more.
    ReachStoreLate(usize),
    /// A watch reports the present state to the contender.
    WatchEvent(usize),
    Release(usize),
    Claim(usize),
    /// The process crashes and starts again with the same identity.
    Crash(usize),
    Delete,
}

impl Action {
    const fn is_mishap(self) -> bool {
        matches!(self, Self::GiveUp(_) | Self::Release(_) | Self::Crash(_) | Self::Delete)
    }
}

/// A request that has not reached the store yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) from: usize,
    pub(super) seed: u64,
    pub(super) sent: u32,
    /// The ttl of the last record that the sender saw, if another process held it.
    pub(super) foreign_ttl: Option<Duration>,
    /// The write; `None` for a read.
    pub(super) write: Option<Write>,
}

/// The request of a contender, or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum InFlight {
    None,
    Sent(Request),
    Found(Option<Arc<Versioned>>),
    Stored(Arc<Versioned>),
    Conflict,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contender {
    pub(super) machine: Machine,
    pub(super) seed: u64,
    pub(super) wanted: bool,
    wake: Moment,
    in_flight: InFlight,
    pub(super) foreign_ttl: Option<Duration>,
    /// The versions of its stored claims with which no tenure has begun yet.
    pub(super) claim_versions: Vec<u64>,
    /// The token of its tenure after its last step.
    pub(super) held_token: Option<u64>,
}

/// What is left of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Remaining {
    ticks: u32,
    versions: u64,
    mishaps: u8,
}

/// A state of the model: two contenders, the record, and the requests between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    ttl_ticks: u32,
    short_ttl: bool,
    tick: u32,
    pub(super) contenders: [Contender; 2],
    late: Vec<Request>,
    pub(super) record: Option<Arc<Versioned>>,
    pub(super) version: u64,
    /// The tick of the last change of the record.
    pub(super) since: u32,
    pub(super) deleted: bool,
    remaining: Remaining,
    pub(super) last_token: u64,
    pub(super) violation: Option<Violation>,
}

impl World {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let Bounds { ttl_ticks, short_ttl, ticks, versions, mishaps, .. } = *bounds;
        let mut world = Self {
            ttl_ticks,
            short_ttl,
            tick: 0,
            contenders: [0, 1].map(|at| contender(at, 0xa + at as u64, short_ttl)),
            late: Vec::new(),
            record: None,
            version: 0,
            since: 0,
            deleted: false,
            remaining: Remaining { ticks, versions, mishaps },
            last_token: 0,
            violation: None,
        };
        (0..2).for_each(|at| world.claim(at));
        world
    }

    /// Adds every action that is possible next.
    pub(super) fn enabled_actions(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        let Remaining { ticks, versions, mishaps } = self.remaining;
        let mishaps = mishaps > 0;
        let mut add = |possible: bool, action| actions.extend(possible.then_some(action));
        add(ticks > 0, Action::Tick);
        add(mishaps && versions > 0 && self.record.is_some() && !self.deleted, Action::Delete);
        for at in 0..self.late.len() {
            add(versions > 0, Action::ReachStoreLate(at));
        }
        for (at, contender) in self.contenders.iter().enumerate() {
            let idle = contender.in_flight == InFlight::None;
            let storable = |request: &Request| versions > 0 || request.write.is_none();
            let sent = matches!(&contender.in_flight, InFlight::Sent(request) if storable(request));
            add(idle && contender.wake <= self.now(at), Action::Wake(at));
            add(sent, Action::ReachStore(at));
            add(!idle && !matches!(contender.in_flight, InFlight::Sent(_)), Action::Deliver(at));
            add(mishaps && !idle, Action::GiveUp(at));
            let status = contender.machine.status(self.now(at));
            let unseen = bounds.watched && self.version > status.highest;
            add(unseen && status.contending() && status.barred, Action::WatchEvent(at));
            add(mishaps && contender.wanted, Action::Release(at));
            add(!contender.wanted, Action::Claim(at));
            add(mishaps, Action::Crash(at));
        }
    }

    pub(super) fn apply(&self, action: Action) -> Self {
        let mut world = self.clone();
        world.remaining.mishaps -= u8::from(action.is_mishap());
        match action {
            Action::Tick => {
                world.tick += 1;
                world.remaining.ticks -= 1;
            }
            Action::Wake(at) => world.step(at, Input::Wake),
            Action::ReachStore(at) => world.reach_store(at),
            Action::Deliver(at) => world.deliver(at),
            Action::GiveUp(at) => world.give_up(at),
            Action::ReachStoreLate(at) => {
                let request = world.late.remove(at);
                world.store(&request);
            }
            Action::WatchEvent(at) => world.deliver_watch_event(at),
            Action::Release(at) => {
                world.contenders[at].wanted = false;
                world.step(at, Input::Release);
            }
            Action::Claim(at) => world.claim(at),
            Action::Crash(at) => world.crash(at),
            Action::Delete => {
                world.deleted = true;
                world.change(None);
            }
        }
        world
    }

    /// How many contenders hold the record, each by its own clock.
    pub(super) fn holder_count(&self) -> usize {
        (0..2)
            .filter(|&at| self.contenders[at].machine.status(self.now(at)).tenure.is_some())
            .count()
    }

    /// What the clock of this contender shows. The first clock is slow, the second one fast.
    pub(super) fn time_at(&self, at: usize, tick: u32) -> Moment {
        let span = if at == 0 { HOLD / self.ttl_ticks } else { TTL / self.ttl_ticks + JITTER };
        Moment::from_nanos(7_000_000_000) + span * tick
    }

    pub(super) fn now(&self, at: usize) -> Moment {
        self.time_at(at, self.tick)
    }

    fn claim(&mut self, at: usize) {
        self.contenders[at].wanted = true;
        self.step(at, Input::Claim(timing(at, self.short_ttl)));
    }

    fn step(&mut self, at: usize, input: Input) {
        let now = self.now(at);
        let contender = &mut self.contenders[at];
        let (step, status) = contender.machine.step(now, input);
        contender.wake = if let Step::Sleep(until) = step { until } else { Moment::NEVER };
        let write = match step {
            Step::Read => Some(None),
            Step::Write(write) => Some(Some(write)),
            Step::Sleep(_) | Step::Done => None,
        };
        if let Some(write) = write {
            let (seed, foreign_ttl) = (contender.seed, contender.foreign_ttl);
            assert_eq!(contender.in_flight, InFlight::None, "at most one request is in flight");
            contender.in_flight =
                InFlight::Sent(Request { from: at, seed, sent: self.tick, foreign_ttl, write });
        }
        // After a loss the contender wants no tenure until a `Claim` action.
        contender.wanted &= status.wanted;
        let token = status.tenure.map(|held| held.token.get());
        if token != contender.held_token {
            contender.held_token = token;
            self.check_begin(at);
        }
    }

    fn reach_store(&mut self, at: usize) {
        let flight = std::mem::replace(&mut self.contenders[at].in_flight, InFlight::None);
        let InFlight::Sent(request) = flight else { return };
        let reply = match &request.write {
            None => InFlight::Found(self.record.clone()),
            Some(_) => self.store(&request).map_or(InFlight::Conflict, InFlight::Stored),
        };
        self.contenders[at].in_flight = reply;
    }

    fn deliver(&mut self, at: usize) {
        let input = match std::mem::replace(&mut self.contenders[at].in_flight, InFlight::None) {
            InFlight::Found(found) => {
                found.as_ref().into_iter().for_each(|found| self.note_observed(at, found));
                Input::Read(Ok(found))
            }
            InFlight::Stored(found) => {
                self.note_observed(at, &found);
                Input::Wrote(Outcome::Stored(found))
            }
            InFlight::Conflict => Input::Wrote(Outcome::Conflict),
            InFlight::None | InFlight::Sent(_) => return,
        };
        self.step(at, input);
    }

    fn give_up(&mut self, at: usize) {
        let flight = std::mem::replace(&mut self.contenders[at].in_flight, InFlight::None);
        let read = match &flight {
            InFlight::Found(_) => true,
            InFlight::Sent(request) => request.write.is_none(),
            _ => false,
        };
        self.abandon_request(flight);
        let failed = Input::Wrote(Outcome::Failed(UNKNOWN));
        self.step(at, if read { Input::Read(Err(UNKNOWN)) } else { failed });
    }

    /// The sender does not wait for this request any more. A write may still be stored later.
    fn abandon_request(&mut self, flight: InFlight) {
        if let InFlight::Sent(request) = flight
            && self.may_store(&request)
        {
            self.late.push(request);
        }
    }

    fn deliver_watch_event(&mut self, at: usize) {
        let input = match self.record.clone() {
            Some(found) => {
                self.note_observed(at, &found);
                Input::Changed(found)
            }
            None => Input::Deleted(self.version.try_into().expect("a version is not zero")),
        };
        self.step(at, input);
    }

    fn crash(&mut self, at: usize) {
        let next = contender(at, self.contenders[at].seed + 0x10, self.short_ttl);
        let last = std::mem::replace(&mut self.contenders[at], next);
        self.abandon_request(last.in_flight);
        self.claim(at);
    }

    fn may_store(&self, request: &Request) -> bool {
        let base = |write: &Write| write.base.as_ref().map(|base| base.version.clone());
        let current = self.record.as_ref().map(|found| found.version.clone());
        request.write.as_ref().is_some_and(|write| base(write) == current)
    }

    /// Compare and swap.
    fn store(&mut self, request: &Request) -> Option<Arc<Versioned>> {
        let write = request.write.as_ref().filter(|_| self.may_store(request))?;
        self.check_commit(request, write);
        let number = (self.version + 1).try_into().expect("a version is not zero");
        let uid = write
            .base
            .as_ref()
            .map_or_else(|| format!("u{number}").into(), |base| Arc::clone(&base.version.uid));
        let version = Version { number, uid };
        let record = write.record.clone();
        let found = Arc::new(Versioned { version, record, age: None, whole: Arc::default() });
        self.change(Some(Arc::clone(&found)));
        Some(found)
    }

    fn change(&mut self, record: Option<Arc<Versioned>>) {
        self.record = record;
        self.version += 1;
        self.remaining.versions -= 1;
        self.since = self.tick;
        let late = std::mem::take(&mut self.late);
        self.late = late.into_iter().filter(|request| self.may_store(request)).collect();
    }
}

fn contender(at: usize, seed: u64, short_ttl: bool) -> Contender {
    let machine = Machine::new(["a", "b"][at].into(), seed, timing(at, short_ttl));
    Contender {
        machine,
        seed,
        wanted: false,
        wake: Moment::NEVER,
        in_flight: InFlight::None,
        foreign_ttl: None,
        claim_versions: Vec::new(),
        held_token: None,
    }
}

fn timing(at: usize, short_ttl: bool) -> Durations {
    let share = if short_ttl && at == 1 { 2 } else { 1 };
    Timing::new(TTL / share).hold(HOLD / share).renew_interval(RENEW / share).durations()
}
