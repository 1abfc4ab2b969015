//! One host of the simulation: a clock of its own, a machine, and an application that wants the tenure.

use std::{sync::Arc, time::Duration};

use crate::{clock::Moment, engine::machine::Machine, timing::Timing};

/// How many requests a host may send at once, beyond the lasting rate.
const BURST: u64 = 40;
/// How many requests a host may send each renewal interval, or each 5 s where that is less, whatever goes wrong, beside what it is asked for and told.
const LASTING: u64 = 5;

/// A monotonic clock that runs at a rate of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostClock {
    pub(super) offset: u64,
    /// Millionths of the true rate.
    pub(super) rate: u64,
}

impl HostClock {
    pub(super) fn local(self, at: u64) -> Moment {
        let passed = u128::from(at) * u128::from(self.rate) / 1_000_000;
        Moment::from_nanos(self.offset + u64::try_from(passed).expect("a short run"))
    }

    /// The first true time at which this clock shows `moment`.
    pub(super) fn when(self, moment: Moment) -> u64 {
        let passed = u128::from(moment.as_nanos().saturating_sub(self.offset)) * 1_000_000;
        u64::try_from(passed.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX)
    }
}

/// What the application on a host is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum App {
    Idle,
    Wants,
    Works,
}

/// How news reaches a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Off,
    On,
    Forbidden,
}

/// What a host believes: that it holds the record with this token, until then on the true clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Belief {
    pub(super) token: u64,
    pub(super) since: u64,
    pub(super) until: u64,
}

/// The last state that reached a machine: its version, and for how long it lives if it was somebody else's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) foreign: Option<Duration>,
    /// When it was deleted, once a watch has told of that.
    pub(super) gone: Option<u64>,
    /// A lagging server said since that there is no record.
    pub(super) denied: bool,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) me: Arc<str>,
    pub(super) seed: u64,
    pub(super) machine: Machine,
    pub(super) temporary: bool,
    pub(super) timing: Timing,
    pub(super) clock: HostClock,
    /// How far its wall clock is off.
    pub(super) skew: i64,
    /// Counts the crashes: what was sent to a former life never arrives.
    pub(super) life: u64,
    pub(super) alive: bool,
    pub(super) paused_until: u64,
    pub(super) cut_until: u64,
    /// Counts the timers: only the last one set goes off.
    pub(super) timer: u64,
    /// Counts the requests, and which of them is under way.
    pub(super) requests: u64,
    pub(super) flight: Option<u64>,
    pub(super) watch: Watch,
    pub(super) watches: u64,
    pub(super) app: App,
    pub(super) turn: u64,
    /// When the tenure was last asked for.
    pub(super) claimed: u64,
    pub(super) belief: Option<Belief>,
    pub(super) told: Told,
    pub(super) bucket: Bucket,
}

impl Host {
    pub(super) fn new(
        me: Arc<str>,
        seed: u64,
        timing: Timing,
        clock: HostClock,
        skew: i64,
    ) -> Self {
        Self {
            machine: Machine::new(Arc::clone(&me), seed, timing),
            temporary: false,
            me,
            seed,
            timing,
            clock,
            skew,
            life: 0,
            alive: true,
            paused_until: 0,
            cut_until: 0,
            timer: 0,
            requests: 0,
            flight: None,
            watch: Watch::Off,
            watches: 0,
            app: App::Idle,
            turn: 0,
            claimed: 0,
            belief: None,
            told: Told::default(),
            bucket: Bucket::default(),
        }
    }

    pub(super) fn wall(&self, now: u64) -> i64 {
        i64::try_from(now).expect("a short run") + self.skew
    }

    /// A new process of the same name on the same host.
    pub(super) fn restart(&mut self, seed: u64) {
        self.seed = seed;
        self.renew_machine();
        self.alive = true;
        self.flight = None;
        self.watch = Watch::Off;
        self.app = App::Idle;
        self.told = Told::default();
    }

    pub(super) fn renew_machine(&mut self) {
        let machine = Machine::new(Arc::clone(&self.me), self.seed, self.timing);
        self.machine = if self.temporary { machine.temporary() } else { machine };
    }

    pub(super) fn crash(&mut self) {
        self.alive = false;
        self.life += 1;
        self.belief = None;
    }
}

/// Counts requests against what is allowed, in thousandths of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    level: u64,
    filled: Moment,
}

impl Bucket {
    /// One more request; false if it is one too many.
    pub(super) fn add(&mut self, now: Moment, each: Duration) -> bool {
        let leaked = (now - self.filled).as_nanos() * 1000 * u128::from(LASTING) / each.as_nanos();
        self.level = self.level.saturating_sub(u64::try_from(leaked).unwrap_or(u64::MAX));
        self.filled = now;
        self.level += 1000;
        self.level <= BURST * 1000
    }

    /// The host was asked for something, or told something new: that may cost `requests`.
    pub(super) fn allow(&mut self, requests: u64) {
        self.level = self.level.saturating_sub(requests * 1000);
    }
}
