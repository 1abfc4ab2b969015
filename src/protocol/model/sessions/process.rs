//! One process: the machines that ship, and a copy of what the task of a session does with them.
//!
//! The copy follows `runtime::session`, function by function: `beats` (beat, extend, silent, replace), `lock` (deliver),
//! `tenures` (begin), `locks` (drive) and `observed` (interests, observe, passed).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::Hash as _,
    num::NonZeroU64,
    time::Duration,
};

use super::{
    canonical::Canonical,
    messages::{HeldEvent, LockAnswer, LockRequest, SentBeat, SessionRequest},
    store::{SessionWrite, Zombie},
};
use crate::{
    protocol::{
        queue::{
            claim::Mode,
            machine::{Interest, LockMachine},
        },
        record::Nonce,
        session::{
            SessionAnswer, SessionId,
            heartbeat::{Beat, Heartbeat},
            observer::{Look, Observer},
        },
    },
    util::clock::Moment,
};

/// A day, the longest ttl of a session, so that the pauses after conflicts are far shorter than a tick.
pub(super) const TTL: Duration = Duration::from_secs(86_400);
/// A pause that passes within a tick.
const NAP: Duration = Duration::from_secs(10);

/// The caller of `lock` in this process, and then its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    Absent,
    Waiting(Nonce),
    /// The grant was seen after the end of the last confirmed heartbeat: the next one decides.
    Granted(Tenure),
    Held(Tenure),
}

/// What the machine of the lock says of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tenure {
    pub(super) nonce: Nonce,
    pub(super) token: NonZeroU64,
    pub(super) slot: u16,
}

/// Another session that this process waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Observed {
    pub(super) observer: Observer,
    /// A slow request under way.
    pub(super) request: Option<(SessionRequest, Option<SessionAnswer>)>,
    pub(super) every: Duration,
    pub(super) watched: bool,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about the process that the model visits apart"
)]
pub(super) struct Process {
    /// The number of the process.
    pub(super) number: u64,
    pub(super) clock: Moment,
    pub(super) heartbeat: Heartbeat,
    pub(super) beats: Vec<SentBeat>,
    beat_at: Moment,
    /// The session is created, so locks may be claimed.
    pub(super) ready: bool,
    /// Tenures were given up because no heartbeat was confirmed in time.
    silent: bool,
    pub(super) machine: LockMachine,
    pub(super) request: Option<(LockRequest, Option<LockAnswer>)>,
    pub(super) drive_at: Moment,
    pub(super) interests: Vec<Interest>,
    pub(super) observed: BTreeMap<SessionId, Observed>,
    pub(super) over: BTreeSet<SessionId>,
    pub(super) events: VecDeque<HeldEvent>,
    pub(super) caller: Caller,
    pub(super) mode: Mode,
    /// How many claims the callers may still make.
    pub(super) claims: u8,
    pub(super) claimed: u8,
    /// How many more sessions the process may begin.
    pub(super) sessions: u8,
    session: u8,
    /// It does nothing until it goes on.
    pub(super) paused: bool,
    /// Its session is over, and it begins no other one.
    pub(super) stopped: bool,
    /// What was under way when its sender stopped to wait for it.
    pub(super) abandoned: Vec<Zombie>,
    /// The highest version that the lock's machine was shown.
    pub(super) highest: u64,
    /// A grant was taken from a state that is older than another one that the machine was shown.
    pub(super) outdated: bool,
    /// The tenures that began in the last step.
    pub(super) begun: Vec<Tenure>,
}

impl Process {
    pub(super) fn new(number: u64, clock: Moment, mode: Mode, claims: u8, sessions: u8) -> Self {
        let id = SessionId::new(TTL, [number, 0]);
        Self {
            number,
            clock,
            heartbeat: Heartbeat::new(clock, id.clone(), "".into()),
            beats: Vec::new(),
            beat_at: clock,
            ready: false,
            silent: false,
            machine: LockMachine::new(id),
            request: None,
            drive_at: Moment::NEVER,
            interests: Vec::new(),
            observed: BTreeMap::new(),
            over: BTreeSet::new(),
            events: VecDeque::new(),
            caller: Caller::Absent,
            mode,
            claims,
            claimed: 0,
            sessions,
            session: 0,
            paused: false,
            stopped: false,
            abandoned: Vec::new(),
            highest: 0,
            outdated: false,
            begun: Vec::new(),
        }
    }

    /// The tenure in which this process believes to hold the lock, by its own clock.
    pub(super) fn believes(&self) -> Option<Tenure> {
        match self.caller {
            Caller::Held(tenure) if self.clock < self.heartbeat.validity() => Some(tenure),
            _ => None,
        }
    }

    /// The next moment at which a timer fires, except for those of the heartbeat and the observers.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        let silent =
            if self.silent || !self.ready { Moment::NEVER } else { self.heartbeat.validity() };
        self.within_tick(silent.min(self.drive_at))
    }

    /// The next moment at which the heartbeat has something to do.
    pub(super) fn beat_at(&self) -> Option<Moment> {
        self.within_tick(self.beat_at)
    }

    /// The next moment at which the observer of this session has something to do.
    pub(super) fn look_at(&self, id: &SessionId) -> Option<Moment> {
        let observer = self.observed[id].observer.clone();
        let at = match { observer }.next(self.clock) {
            Look::Sleep(until) => until,
            _ => self.clock,
        };
        self.within_tick(at)
    }

    fn within_tick(&self, at: Moment) -> Option<Moment> {
        (at <= self.clock + NAP).then_some(at)
    }

    /// There is something to do, or an answer is still to come.
    pub(super) fn has_due(&self) -> bool {
        let timers = [self.wake_at(), self.beat_at()];
        let mut looks = self.observed.iter();
        let looks = looks.any(|(id, one)| one.request.is_none() && self.look_at(id).is_some());
        let due = timers.iter().any(Option::is_some) || looks || self.request.is_some();
        due && !self.stopped
    }

    /// Whether this process is late from now on, or its events are, if time passes.
    pub(super) fn is_late(&self) -> bool {
        !self.paused && (self.has_due() || !self.events.is_empty())
    }

    /// Time has passed. A timer that is late is due now.
    pub(super) fn tick(&mut self, tick: Duration) {
        self.paused |= self.has_due();
        self.clock = self.clock + tick;
        self.beat_at = self.beat_at.max(self.clock);
        self.drive_at = self.drive_at.max(self.clock);
    }

    /// The timers fire.
    pub(super) fn wake(&mut self, at: Moment) {
        self.clock = self.clock.max(at);
        self.fall_silent();
        if self.drive_at <= self.clock {
            self.drive();
        }
    }

    /// The heartbeat does what is due. True if it has sent a request.
    pub(super) fn beat(&mut self) -> bool {
        self.clock = self.beat_at().map_or(self.clock, |at| self.clock.max(at));
        self.heartbeat.tick(self.clock);
        self.heartbeat.set_random(0);
        let id = self.heartbeat.id().clone();
        let write = |base, record| SessionRequest::Write(SessionWrite { id, base, record });
        let request = match self.heartbeat.next(self.clock) {
            Beat::Create(record) => write(None, record),
            Beat::Renew(base, record) | Beat::End(base, record) => write(Some(base), record),
            Beat::Read => SessionRequest::Read(self.heartbeat.id().clone()),
            Beat::Sleep(until) => {
                self.beat_at = until;
                return false;
            }
            Beat::Lost => {
                self.replace();
                return false;
            }
        };
        self.beats.iter_mut().for_each(|beat| beat.last = false);
        let sent_at = self.clock;
        self.beats.push(SentBeat { sent_at, request, answer: None, last: true });
        self.plan_beat();
        true
    }

    /// The machine says when it has something to do next.
    fn plan_beat(&mut self) {
        let mut heartbeat = self.heartbeat.clone();
        heartbeat.tick(self.clock);
        self.beat_at = match heartbeat.next(self.clock) {
            Beat::Sleep(until) => until,
            _ => self.clock,
        };
    }

    /// The answer to this heartbeat arrives.
    pub(super) fn beaten(&mut self, at: usize) {
        let SentBeat { sent_at, answer, last, .. } = self.beats.remove(at);
        let Some(answer) = answer else { return };
        let confirmed = matches!(answer, SessionAnswer::Written(_));
        let created = self.heartbeat.is_created();
        self.heartbeat.answered(self.clock, sent_at, !last, answer);
        if !self.heartbeat.is_lost() && confirmed {
            if !created {
                self.ready = true;
                self.drive();
            }
            self.silent = false;
            self.begin();
            self.drive();
        }
        self.plan_beat();
    }

    /// No heartbeat was confirmed in time: the tenure is over, for good.
    fn fall_silent(&mut self) {
        if self.clock < self.heartbeat.validity() || self.silent || !self.ready {
            return;
        }
        self.silent = true;
        if let Caller::Held(tenure) = self.caller {
            self.caller = Caller::Absent;
            self.machine.give_up(tenure.nonce);
            self.drive();
        }
    }

    /// The session is over. Begins another one; a caller that still waits joins the queue again.
    fn replace(&mut self) {
        self.abandon_requests();
        self.ready = false;
        self.silent = false;
        self.observed.clear();
        self.interests.clear();
        self.events.clear();
        self.highest = 0;
        self.drive_at = Moment::NEVER;
        let waits = matches!(self.caller, Caller::Waiting(_) | Caller::Granted(_));
        self.caller = Caller::Absent;
        self.stopped = self.sessions == 0;
        if self.stopped {
            self.beat_at = Moment::NEVER;
            return;
        }
        self.sessions -= 1;
        self.session += 1;
        let id = SessionId::new(TTL, [self.number, self.session.into()]);
        self.heartbeat = Heartbeat::new(self.clock, id.clone(), "".into());
        self.beat_at = self.clock;
        self.machine = LockMachine::new(id);
        if waits {
            self.claim_again();
        }
    }

    /// The process crashes, and starts again.
    pub(super) fn crash(&mut self) {
        self.over.clear();
        self.caller = Caller::Absent;
        self.replace();
    }

    /// What is under way may still be stored.
    fn abandon_requests(&mut self) {
        if let Some((Some(write), None)) = self.request.take() {
            self.abandoned.push(Zombie::Lock(self.heartbeat.id().clone(), write));
        }
        for beat in self.beats.drain(..) {
            if let (SessionRequest::Write(write), None) = (beat.request, beat.answer) {
                self.abandoned.push(Zombie::Session(write, true));
            }
        }
        for one in self.observed.values_mut() {
            if let Some((SessionRequest::Write(write), None)) = one.request.take() {
                self.abandoned.push(Zombie::Session(write, false));
            }
        }
    }

    /// What tells the states of this process apart.
    pub(super) fn hash_into(&self, tick: Duration, canonical: &mut Canonical) {
        // On the slower clock a ttl is up to one tick longer.
        const TTL_TICKS: u32 = 3;
        let nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX);
        let Self { heartbeat, machine, request, caller, events, .. } = self;
        // A deadline has passed or not, and the waits of these machines pass within a tick.
        canonical.on_clock(self.clock, nanos, 1);
        (heartbeat, machine, request, caller, events).hash(canonical);
        (self.beat_at, self.drive_at, &self.interests, self.ready, self.silent).hash(canonical);
        (&self.over, self.highest, self.paused, self.stopped).hash(canonical);
        [self.claims, self.claimed, self.sessions, self.session].hash(canonical);
        for (id, one) in &self.observed {
            (id, one.every, one.watched).hash(canonical);
            match &one.request {
                // A wait for a whole ttl goes on in the observer.
                None => {
                    one.observer.hash(canonical);
                    let ends = |&ticks: &u32| one.ends_at(self.clock + tick * ticks);
                    (0..TTL_TICKS).find(ends).hash(canonical);
                }
                Some(request) => {
                    canonical.on_clock(self.clock, nanos, TTL_TICKS.into());
                    (&one.observer, request).hash(canonical);
                    canonical.on_clock(self.clock, nanos, 1);
                }
            }
        }
        canonical.on_clock(self.clock, nanos, TTL_TICKS.into());
        self.beats.hash(canonical);
    }
}

impl Observed {
    /// Whether the observer ends the session at this moment.
    fn ends_at(&self, now: Moment) -> bool {
        let mut observer = self.observer.clone();
        matches!(observer.next(now), Look::End(..))
    }
}
