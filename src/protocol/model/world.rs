//! Two contenders, the record, and the requests between them.

use std::{sync::Arc, time::Duration};

use super::{Bounds, laws::Wrong};
use crate::{
    api::timing::{Durations, Timing},
    protocol::{
        machine::{Failure, Input, Machine, Outcome, Step},
        record::{Version, Versioned, Write},
    },
    util::clock::Moment,
};

/// Hours, so that no jitter counts.
const TTL: Duration = Duration::from_secs(9000);
/// The longest hold that is accepted.
const HOLD: Duration = Duration::from_secs(8100);
const RENEW: Duration = Duration::from_secs(2700);
/// What jitter may add to a wait.
const JITTER: Duration = Duration::from_millis(500);

const UNKNOWN: Failure = Failure { refused: false, retry_after: None };

/// One thing that may happen, to the contender of this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Tick,
    /// Its timer goes off.
    Wake(usize),
    /// Its request reaches the store.
    Serve(usize),
    /// It is told the reply.
    Deliver(usize),
    /// It gives its request up, answered or not. If that was a write, it may still come.
    GiveUp(usize),
    /// The write of this index, whose sender no longer waits, reaches the store.
    ServeLate(usize),
    /// A watch tells it what is there now.
    Tell(usize),
    Release(usize),
    Claim(usize),
    /// It ends, and its next life begins.
    Crash(usize),
    Delete,
}

impl Action {
    const fn is_mishap(self) -> bool {
        matches!(self, Self::GiveUp(_) | Self::Release(_) | Self::Crash(_) | Self::Delete)
    }
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) from: usize,
    pub(super) seed: u64,
    pub(super) sent: u32,
    /// The time to live of the last record that its sender knew, if that was another's.
    pub(super) knew: Option<Duration>,
    /// What to write; `None` is a read.
    pub(super) write: Option<Write>,
}

/// The one request of a contender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Flight {
    None,
    Asked(Request),
    Found(Option<Arc<Versioned>>),
    Stored(Arc<Versioned>),
    Conflict,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contender {
    pub(super) machine: Machine,
    pub(super) seed: u64,
    pub(super) wants: bool,
    wake: Moment,
    flight: Flight,
    pub(super) knew: Option<Duration>,
    /// The versions of its claims, until a tenure has begun with them.
    pub(super) claimed: Vec<u64>,
    /// The token that it held with when it was last looked at.
    pub(super) holding: Option<u64>,
}

/// How many of each there may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    ticks: u32,
    versions: u64,
    mishaps: u8,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    lives: u32,
    hasty: bool,
    tick: u32,
    pub(super) contenders: [Contender; 2],
    late: Vec<Request>,
    pub(super) record: Option<Arc<Versioned>>,
    pub(super) version: u64,
    /// The tick of the last change of the record.
    pub(super) since: u32,
    pub(super) deleted: bool,
    left: Left,
    pub(super) last_token: u64,
    pub(super) wrong: Option<Wrong>,
}

impl World {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let Bounds { lives, hasty, ticks, versions, mishaps, .. } = *bounds;
        let mut world = Self {
            lives,
            hasty,
            tick: 0,
            contenders: [0, 1].map(|at| contender(at, 0xa + at as u64, hasty)),
            late: Vec::new(),
            record: None,
            version: 0,
            since: 0,
            deleted: false,
            left: Left { ticks, versions, mishaps },
            last_token: 0,
            wrong: None,
        };
        (0..2).for_each(|at| world.claim(at));
        world
    }

    /// Everything that may happen next.
    pub(super) fn offer(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        if self.wrong.is_some() {
            return;
        }
        let Left { ticks, versions, mishaps } = self.left;
        let mishaps = mishaps > 0;
        let mut offer = |possible: bool, action| actions.extend(possible.then_some(action));
        offer(ticks > 0, Action::Tick);
        offer(mishaps && versions > 0 && self.record.is_some() && !self.deleted, Action::Delete);
        for at in 0..self.late.len() {
            offer(versions > 0, Action::ServeLate(at));
        }
        for (at, contender) in self.contenders.iter().enumerate() {
            let idle = contender.flight == Flight::None;
            let asked = matches!(&contender.flight, Flight::Asked(request) if versions > 0 || request.write.is_none());
            offer(idle && contender.wake <= self.now(at), Action::Wake(at));
            offer(asked, Action::Serve(at));
            offer(!idle && !matches!(contender.flight, Flight::Asked(_)), Action::Deliver(at));
            offer(mishaps && !idle, Action::GiveUp(at));
            let status = contender.machine.status(self.now(at));
            let news = bounds.watched && self.version > status.highest;
            offer(news && status.contending() && status.barred, Action::Tell(at));
            offer(mishaps && contender.wants, Action::Release(at));
            offer(!contender.wants, Action::Claim(at));
            offer(mishaps, Action::Crash(at));
        }
    }

    pub(super) fn after(&self, action: Action) -> Self {
        let mut world = self.clone();
        world.left.mishaps -= u8::from(action.is_mishap());
        match action {
            Action::Tick => {
                world.tick += 1;
                world.left.ticks -= 1;
            }
            Action::Wake(at) => world.feed(at, Input::Wake),
            Action::Serve(at) => world.serve(at),
            Action::Deliver(at) => world.deliver(at),
            Action::GiveUp(at) => world.give_up(at),
            Action::ServeLate(at) => {
                let request = world.late.remove(at);
                world.store(&request);
            }
            Action::Tell(at) => world.tell(at),
            Action::Release(at) => {
                world.contenders[at].wants = false;
                world.feed(at, Input::Release);
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

    /// How many believe that they hold the record.
    pub(super) fn believers(&self) -> usize {
        (0..2)
            .filter(|&at| self.contenders[at].machine.status(self.now(at)).tenure.is_some())
            .count()
    }

    /// What the clock of this contender shows: the first one's is slow, the second one's fast.
    pub(super) fn at(&self, at: usize, tick: u32) -> Moment {
        let span = if at == 0 { HOLD / self.lives } else { TTL / self.lives + JITTER };
        Moment::from_nanos(7_000_000_000) + span * tick
    }

    pub(super) fn now(&self, at: usize) -> Moment {
        self.at(at, self.tick)
    }

    fn claim(&mut self, at: usize) {
        self.contenders[at].wants = true;
        self.feed(at, Input::Claim(timing(at, self.hasty)));
    }

    fn feed(&mut self, at: usize, input: Input) {
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
            let (seed, knew) = (contender.seed, contender.knew);
            assert_eq!(contender.flight, Flight::None, "one request at once");
            contender.flight =
                Flight::Asked(Request { from: at, seed, sent: self.tick, knew, write });
        }
        // A tenure that was lost is wanted again only once that is said.
        contender.wants &= status.wanted;
        let token = status.tenure.map(|held| held.token.get());
        if token != contender.holding {
            contender.holding = token;
            self.check_begin(at);
        }
    }

    fn serve(&mut self, at: usize) {
        let flight = std::mem::replace(&mut self.contenders[at].flight, Flight::None);
        let Flight::Asked(request) = flight else { return };
        let reply = match &request.write {
            None => Flight::Found(self.record.clone()),
            Some(_) => self.store(&request).map_or(Flight::Conflict, Flight::Stored),
        };
        self.contenders[at].flight = reply;
    }

    fn deliver(&mut self, at: usize) {
        let input = match std::mem::replace(&mut self.contenders[at].flight, Flight::None) {
            Flight::Found(found) => {
                found.as_ref().into_iter().for_each(|found| self.inform(at, found));
                Input::Read(Ok(found))
            }
            Flight::Stored(found) => {
                self.inform(at, &found);
                Input::Wrote(Outcome::Stored(found))
            }
            Flight::Conflict => Input::Wrote(Outcome::Conflict),
            Flight::None | Flight::Asked(_) => return,
        };
        self.feed(at, input);
    }

    fn give_up(&mut self, at: usize) {
        let flight = std::mem::replace(&mut self.contenders[at].flight, Flight::None);
        let read = match &flight {
            Flight::Found(_) => true,
            Flight::Asked(request) => request.write.is_none(),
            _ => false,
        };
        self.leave(flight);
        let failed = Input::Wrote(Outcome::Failed(UNKNOWN));
        self.feed(at, if read { Input::Read(Err(UNKNOWN)) } else { failed });
    }

    /// Nobody waits for this request any more.
    fn leave(&mut self, flight: Flight) {
        if let Flight::Asked(request) = flight
            && self.may_store(&request)
        {
            self.late.push(request);
        }
    }

    fn tell(&mut self, at: usize) {
        let input = match self.record.clone() {
            Some(found) => {
                self.inform(at, &found);
                Input::Changed(found)
            }
            None => Input::Deleted(self.version.try_into().expect("counts from one")),
        };
        self.feed(at, input);
    }

    fn crash(&mut self, at: usize) {
        let next = contender(at, self.contenders[at].seed + 0x10, self.hasty);
        let last = std::mem::replace(&mut self.contenders[at], next);
        self.leave(last.flight);
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
        let number = (self.version + 1).try_into().expect("counts from one");
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
        self.left.versions -= 1;
        self.since = self.tick;
        let late = std::mem::take(&mut self.late);
        self.late = late.into_iter().filter(|request| self.may_store(request)).collect();
    }
}

fn contender(at: usize, seed: u64, hasty: bool) -> Contender {
    let machine = Machine::new(["a", "b"][at].into(), seed, timing(at, hasty));
    Contender {
        machine,
        seed,
        wants: false,
        wake: Moment::NEVER,
        flight: Flight::None,
        knew: None,
        claimed: Vec::new(),
        holding: None,
    }
}

fn timing(at: usize, hasty: bool) -> Durations {
    let share = if hasty && at == 1 { 2 } else { 1 };
    Timing::new(TTL / share).hold(HOLD / share).renew_interval(RENEW / share).durations()
}
