//! One host: a paused runtime of its own, with a clock that has its own rate, and the process on it.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use leasehold::{Clock, Kubernetes, Loss, Options, Tenure, TenureState};
use tokio::{
    runtime::{Builder, Runtime},
    time::{advance, sleep},
};

use crate::{
    channel::{Message, ProcessChannel},
    checks::{overlap::Interval, request_rate::RequestRate},
    elections::{candidate, observer},
    locks::{Program, worker},
    rng::Rng,
    scenario::{MS, Scenario},
    wire,
};

/// The clock of one life: it stands at zero when that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    pub(crate) started: u64,
    /// In parts of a million.
    pub(crate) rate: u64,
}

impl HostClock {
    /// Whole milliseconds of this clock at that true time.
    pub(crate) const fn local_time(self, at: u64) -> u64 {
        at.saturating_sub(self.started) * self.rate / 1_000_000 / MS
    }

    /// When it shows this.
    pub(crate) const fn true_time(self, local: u64) -> u64 {
        self.started + (local * MS * 1_000_000).div_ceil(self.rate)
    }
}

/// A tenure that a task on this host has, or believes it has.
pub(crate) struct HeldTenure {
    pub(crate) name: &'static str,
    tenure: Tenure,
    since: u64,
    /// When it ends if nothing more happens.
    until: u64,
}

/// A process in one of its lives.
pub(crate) struct Process {
    pub(crate) runtime: Runtime,
    pub(crate) channel: ProcessChannel,
    pub(crate) clock: HostClock,
    local: u64,
    pub(crate) held: Vec<HeldTenure>,
    pub(crate) identity: String,
    /// What its tasks want.
    pub(crate) wanted: Vec<&'static str>,
    /// It has been told to end.
    pub(crate) stopping: bool,
    /// The handle, where its users do not take it with them.
    pub(crate) handle: Option<Arc<Kubernetes>>,
}

pub(crate) struct Host {
    pub(crate) incarnation: u64,
    pub(crate) rate: u64,
    pub(crate) process: Option<Process>,
    pub(crate) paused_until: u64,
    /// It is without a connection from then on; before, its answers are slow.
    pub(crate) cut_from: u64,
    pub(crate) cut_until: u64,
    /// Since when it has been running and connected.
    pub(crate) available_since: u64,
    /// How far its wall clock is off, in seconds.
    pub(crate) skew: i64,
    pub(crate) request_rate: RequestRate,
}

impl Host {
    pub(crate) const fn is_cut(&self, at: u64) -> bool {
        self.cut_from <= at && at < self.cut_until
    }

    pub(crate) fn new(rate: u64) -> Self {
        Self {
            incarnation: 0,
            rate,
            process: None,
            paused_until: 0,
            cut_from: 0,
            cut_until: 0,
            available_since: 0,
            skew: 0,
            request_rate: RequestRate::default(),
        }
    }
}

impl Process {
    pub(crate) fn start(
        scenario: &Arc<Scenario>,
        rng: &mut Rng,
        faults_stopped: &Arc<AtomicBool>,
        clock: HostClock,
        identity: String,
    ) -> Self {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("one");
        let channel = runtime.block_on(async { ProcessChannel::new(Arc::clone(faults_stopped)) });
        let wall = wall_at(clock.started, 0);
        leasehold::simulate(rng.draw(), channel.started_at().into_std(), wall);
        let ttl = Duration::from_secs(rng.pick(scenario.ttls));
        let keeps_handle = rng.chance(500);
        let handle = runtime.block_on(async {
            let options = Options::default().identity(&identity).clock(Clock::Runtime);
            let sync = Kubernetes::new(wire::client(&channel), options).expect("usable options");
            let scenario = Arc::clone(scenario);
            let program = Program { channel: channel.clone(), sync: Arc::new(sync), scenario, ttl };
            for _ in 0..program.scenario.workers {
                let work = worker(program.clone(), Rng::new(rng.draw()));
                tokio::spawn(program.clone().until_stopped(work));
            }
            if program.scenario.candidates {
                let campaign = candidate(program.clone(), Rng::new(rng.draw()));
                tokio::spawn(program.clone().until_stopped(campaign));
                let watch = observer(program.clone(), Rng::new(rng.draw()));
                tokio::spawn(program.clone().until_stopped(watch));
            }
            keeps_handle.then_some(program.sync)
        });
        Self {
            runtime,
            channel,
            clock,
            local: 0,
            held: Vec::new(),
            identity,
            wanted: Vec::new(),
            stopping: false,
            handle,
        }
    }

    /// Lets the process run until its clock shows what it shows at `to`. One that was paused finds the time
    /// gone at once.
    pub(crate) fn run(
        &mut self,
        seed: u64,
        to: u64,
        skew: i64,
        resumed: bool,
    ) -> Vec<(u64, Message)> {
        let target = self.clock.local_time(to);
        let ahead = Duration::from_millis(target.saturating_sub(self.local));
        leasehold::simulate(seed, self.channel.started_at().into_std(), wall_at(to, skew));
        self.runtime.block_on(async {
            if resumed {
                advance(ahead).await;
            } else {
                sleep(ahead).await;
            }
        });
        self.local = target;
        self.channel.collect()
    }

    pub(crate) fn tenure_began(&mut self, name: &'static str, tenure: Tenure, since: u64) {
        self.held.push(HeldTenure { name, tenure, since, until: since });
    }

    /// A tenure that was given back at `at`.
    pub(crate) fn tenure_ended(
        &mut self,
        name: &'static str,
        token: u64,
        at: u64,
    ) -> Option<(&'static str, Interval)> {
        let found = self
            .held
            .iter()
            .position(|held| held.name == name && held.tenure.token().get() == token)?;
        Some(self.held.remove(found).close(at))
    }

    /// Asks each tenure for how long it is held, and lets go of those that are not held any more.
    pub(crate) fn poll_held(&mut self, now: u64) -> Vec<(&'static str, Interval, Loss)> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let (clock, local) = (self.clock, self.local);
        let _on = self.runtime.enter();
        let mut lost = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            let held = &mut self.held[at];
            let left = u64::try_from(held.tenure.remaining().as_millis()).expect("short");
            if held.tenure.is_held() {
                held.until = clock.true_time(local + left + 1);
                at += 1;
            } else {
                let why = match held.tenure.state() {
                    TenureState::Lost(why) => why,
                    _ => Loss::Abandoned,
                };
                let (name, tenure) = self.held.remove(at).close(now);
                lost.push((name, tenure, why));
            }
        }
        lost
    }
}

impl HeldTenure {
    pub(crate) fn interval(&self) -> Interval {
        Interval { token: self.tenure.token().get(), since: self.since, until: self.until }
    }

    fn close(self, at: u64) -> (&'static str, Interval) {
        // A tenure that was never asked had its first deadline after its end.
        let until = if self.until > self.since { self.until.min(at) } else { at };
        (self.name, Interval { until: until.max(self.since), ..self.interval() })
    }
}

/// What a wall clock shows that is off by so many seconds.
fn wall_at(at: u64, skew: i64) -> SystemTime {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let shown = noon + Duration::from_micros(at);
    let by = Duration::from_secs(skew.unsigned_abs());
    if skew < 0 { shown - by } else { shown + by }
}
