//! The state of the model, and how each action changes it.

use std::{sync::Arc, time::Duration};

use super::{Bounds, requests::Request, rules::Violation};
use crate::{
    api::timing::{Durations, Timing},
    protocol::{
        machine::{Failure, Input, Machine, Outcome, Step},
        record::{Nonce, Versioned},
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

/// The bits of a nonce that count the writes of a machine. The bits above are its seed.
const WRITES: u32 = 16;

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
    /// The attempt of the contender ends, answered or not. The request goes on.
    GiveUp(usize),
    /// The late request with this index reaches the store. Its sender has gone on without it.
    ReachStoreLate(usize),
    /// The answer to the late request with this index reaches the contender.
    DeliverLate(usize),
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

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contender {
    pub(super) machine: Machine,
    pub(super) seed: u64,
    /// The number of its writes so far, for nonces.
    writes: u64,
    pub(super) wanted: bool,
    wake: Moment,
    /// The request that the machine waits for.
    pub(super) in_flight: Option<Request>,
    /// How many of its attempts have ended without an answer. Its clock shows a nanosecond more after each, because an
    /// attempt takes time.
    given_up: u64,
    /// The version at which its last read found no record.
    pub(super) absent_at: u64,
    pub(super) foreign_ttl: Option<Duration>,
    /// The versions of its stored claims with which no tenure has begun yet.
    pub(super) claim_versions: Vec<u64>,
    /// The token of its tenure after its last step.
    pub(super) held_token: Option<u64>,
}

/// What is left of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Remaining {
    ticks: u32,
    pub(super) versions: u64,
    mishaps: u8,
}

/// A state of the model: two contenders, the record, and the requests between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    ttl_ticks: u32,
    short_ttl: bool,
    temporary: bool,
    tick: u32,
    pub(super) contenders: [Contender; 2],
    /// The requests whose attempts are over. An answer that never arrives stays here.
    pub(super) late: Vec<Request>,
    pub(super) record: Option<Arc<Versioned>>,
    pub(super) version: u64,
    /// The tick of the last change of the record.
    pub(super) since: u32,
    pub(super) deleted: bool,
    pub(super) remaining: Remaining,
    pub(super) last_token: u64,
    pub(super) violation: Option<Violation>,
}

impl World {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let Bounds { ttl_ticks, short_ttl, temporary, ticks, versions, mishaps, .. } = *bounds;
        let mut world = Self {
            ttl_ticks,
            short_ttl,
            temporary,
            tick: 0,
            contenders: [0, 1].map(|at| contender(at, 0xa + at as u64, short_ttl, temporary)),
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
        let may_reach = |request: &Request| {
            request.answer.is_none() && (versions > 0 || request.write.is_none())
        };
        for (at, request) in self.late.iter().enumerate() {
            add(may_reach(request), Action::ReachStoreLate(at));
            add(request.answer.is_some(), Action::DeliverLate(at));
        }
        for (at, contender) in self.contenders.iter().enumerate() {
            let in_flight = contender.in_flight.as_ref();
            let answered = in_flight.is_some_and(|request| request.answer.is_some());
            add(in_flight.is_none() && contender.wake <= self.now(at), Action::Wake(at));
            add(in_flight.is_some_and(may_reach), Action::ReachStore(at));
            add(answered, Action::Deliver(at));
            add(mishaps && in_flight.is_some(), Action::GiveUp(at));
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
            Action::ReachStoreLate(at) => world.reach_store_late(at),
            Action::DeliverLate(at) => world.deliver_late(at),
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
        self.time_at(at, self.tick) + Duration::from_nanos(self.contenders[at].given_up)
    }

    fn claim(&mut self, at: usize) {
        self.contenders[at].wanted = true;
        self.step(at, Input::Claim(timing(at, self.short_ttl)));
    }

    pub(super) fn step(&mut self, at: usize, input: Input) {
        let now = self.now(at);
        let contender = &mut self.contenders[at];
        // Instead of a random number: one that no other write has, and that tells the rules the writer.
        let nonce = (contender.seed << WRITES) + contender.writes;
        let (step, status) = contender.machine.step(now, input, nonce);
        contender.writes += u64::from(matches!(step, Step::Write(_)));
        contender.wake = if let Step::Sleep(until) = step { until } else { Moment::NEVER };
        let write = match step {
            Step::Read => Some(None),
            Step::Write(write) => Some(Some(write)),
            Step::Queue { .. } | Step::Sleep(_) | Step::Done => None,
        };
        if let Some(write) = write {
            let (seed, foreign_ttl) = (contender.seed, contender.foreign_ttl);
            assert_eq!(contender.in_flight, None, "the machine waits for one request at a time");
            contender.in_flight = Some(Request {
                from: at,
                seed,
                sent: self.tick,
                sent_at: now,
                highest: status.highest,
                foreign_ttl,
                write,
                answer: None,
            });
        }
        // After a loss the contender wants no tenure until a `Claim` action.
        contender.wanted &= status.wanted;
        let token = status.tenure.map(|held| held.token.get());
        if token != contender.held_token {
            contender.held_token = token;
            self.check_begin(at);
        }
    }

    fn give_up(&mut self, at: usize) {
        let Some(request) = self.contenders[at].in_flight.take() else { return };
        self.contenders[at].given_up += 1;
        let input = match &request.write {
            None => Input::Read(Err(UNKNOWN)),
            Some(_) => Input::Wrote(Outcome::Failed(UNKNOWN)),
        };
        self.go_on_late(request);
        self.step(at, input);
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
        let next = contender(at, self.contenders[at].seed + 0x10, self.short_ttl, self.temporary);
        let last = std::mem::replace(&mut self.contenders[at], next);
        last.in_flight.into_iter().for_each(|request| self.go_on_late(request));
        self.settle_late();
        self.claim(at);
    }

    pub(super) fn change(&mut self, record: Option<Arc<Versioned>>) {
        self.record = record;
        self.version += 1;
        self.remaining.versions -= 1;
        self.since = self.tick;
        self.settle_late();
    }
}

/// The seed of the machine that wrote with this nonce.
pub(super) const fn writer(nonce: Nonce) -> u64 {
    nonce.0 >> WRITES
}

fn contender(at: usize, seed: u64, short_ttl: bool, temporary: bool) -> Contender {
    let machine = Machine::new(["a", "b"][at].into(), seed, timing(at, short_ttl));
    let machine = if temporary { machine.temporary() } else { machine };
    Contender {
        machine,
        seed,
        writes: 0,
        wanted: false,
        wake: Moment::NEVER,
        in_flight: None,
        given_up: 0,
        absent_at: 0,
        foreign_ttl: None,
        claim_versions: Vec::new(),
        held_token: None,
    }
}

fn timing(at: usize, short_ttl: bool) -> Durations {
    let share = if short_ttl && at == 1 { 2 } else { 1 };
    Timing::new(TTL / share).hold(HOLD / share).renew_interval(RENEW / share).durations()
}
