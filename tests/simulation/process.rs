//! One incarnation of a process: a paused tokio runtime of its own, and the tasks on it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use leasehold::{Clock, Kubernetes, Loss, Options, Tenure, TenureState};
use tokio::{
    runtime::{Builder, Runtime},
    time::{advance, sleep},
};

use leasehold_test_support::{Rng, overlap::Interval};

use crate::{
    channel::{Message, ProcessChannel},
    circumstance::{Circumstance, MANY_NAMES},
    elections::{candidate, observer},
    host::HostClock,
    locks::{keeper, worker},
    program::Program,
    scenario::Scenario,
    sessions::{
        self, SessionKind,
        calls::{Call, Calls},
    },
    wire,
};

/// A tenure that a task of this process holds, or believes to hold.
pub(crate) struct HeldTenure {
    pub(crate) name: &'static str,
    tenure: Tenure,
    since: u64,
    /// When the tenure ends if it is not renewed.
    until: u64,
}

/// One incarnation of a process.
pub(crate) struct Process {
    pub(crate) runtime: Runtime,
    pub(crate) channel: ProcessChannel,
    pub(crate) clock: HostClock,
    local: u64,
    /// The ttl of its tenures, in seconds.
    pub(crate) ttl: u64,
    /// The calls of its sessions, by number.
    pub(crate) calls: BTreeMap<u64, Call>,
    /// When it ended one of its sessions.
    pub(crate) sessions_ended: Option<u64>,
    pub(crate) held: Vec<HeldTenure>,
    pub(crate) identity: String,
    /// The names that its tasks want. A name is listed once for each task.
    pub(crate) wanted: Vec<&'static str>,
    /// The names that it keeps locked, besides those that all processes share.
    pub(crate) names: &'static [&'static str],
    /// Whether the process was asked to end.
    pub(crate) stopping: bool,
    /// The library's handle, if it outlives the tasks.
    pub(crate) handle: Option<Arc<Kubernetes>>,
}

impl Process {
    pub(crate) fn start(
        scenario: &Arc<Scenario>,
        rng: &mut Rng,
        faults_stopped: &Arc<AtomicBool>,
        clock: HostClock,
        (h, identity): (usize, String),
    ) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let channel = runtime.block_on(async { ProcessChannel::new(Arc::clone(faults_stopped)) });
        let wall = wall_at(clock.started, 0);
        leasehold::simulate(rng.draw(), channel.started_at().into_std(), wall);
        let ttl = Duration::from_secs(rng.pick(scenario.ttls));
        let attempt = u64::try_from(ttl.as_millis() / 10).expect("fewer than 2^64 ms");
        let keeps_many = h == 0 && scenario.circumstance == Circumstance::ManyNames;
        let names: &'static [&'static str] = if keeps_many { &MANY_NAMES } else { &[] };
        let keeps_handle = rng.chance(500);
        let handle = runtime.block_on(async {
            let options = Options::default().identity(&identity).clock(Clock::Runtime);
            let sync =
                Kubernetes::new(wire::client(&channel, attempt), options).expect("usable options");
            let scenario = Arc::clone(scenario);
            let program = Program { channel: channel.clone(), sync: Arc::new(sync), scenario, ttl };
            if program.scenario.sessions.is_some() {
                let calls = Calls::default();
                for session in 0..rng.between(1, 3) {
                    let keeps_many = h == 0
                        && session == 0
                        && program.scenario.sessions == Some(SessionKind::ManyLocks);
                    let rng = Rng::new(rng.draw());
                    tokio::spawn(sessions::program::run(
                        program.clone(),
                        rng,
                        calls.clone(),
                        keeps_many,
                    ));
                }
                return None;
            }
            for _ in 0..program.scenario.workers {
                let work = worker(program.clone(), Rng::new(rng.draw()));
                tokio::spawn(program.clone().until_stopped(work));
            }
            for name in names {
                tokio::spawn(program.clone().until_stopped(keeper(program.clone(), name)));
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
            ttl: ttl.as_secs(),
            calls: BTreeMap::new(),
            sessions_ended: None,
            held: Vec::new(),
            identity,
            wanted: Vec::new(),
            names,
            stopping: false,
            handle,
        }
    }

    /// Runs the process until its clock shows the local time of `to`. A process that was paused sees its clock jump.
    pub(crate) fn run(
        &mut self,
        seed: u64,
        to: u64,
        skew: i64,
        was_paused: bool,
    ) -> Vec<(u64, Message)> {
        let target = self.clock.local_time(to);
        let ahead = Duration::from_millis(target.saturating_sub(self.local));
        leasehold::simulate(seed, self.channel.started_at().into_std(), wall_at(to, skew));
        self.runtime.block_on(async {
            if was_paused {
                advance(ahead).await;
            } else {
                sleep(ahead).await;
            }
        });
        self.local = target;
        self.channel.collect()
    }

    /// What its clock shows, in milliseconds.
    pub(crate) const fn local(&self) -> u64 {
        self.local
    }

    /// For how many locks its sessions wait.
    pub(crate) fn waits(&self) -> u64 {
        self.calls.values().filter(|call| call.held.is_none()).count() as u64
    }

    pub(crate) fn tenure_began(&mut self, name: &'static str, tenure: Tenure, since: u64) {
        self.held.push(HeldTenure { name, tenure, since, until: since });
    }

    /// The user ended a tenure at the true time `at`.
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

    /// Updates the deadline of each tenure. Removes and returns the tenures that are no longer held.
    pub(crate) fn poll_held(&mut self, now: u64) -> Vec<(&'static str, Interval, Loss)> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let (clock, local) = (self.clock, self.local);
        let _entered = self.runtime.enter();
        let mut ended = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            let held = &mut self.held[at];
            let left =
                u64::try_from(held.tenure.remaining().as_millis()).expect("fewer than 2^64 ms");
            if held.tenure.is_held() {
                held.until = clock.true_time(local + left + 1);
                at += 1;
            } else {
                let loss = match held.tenure.state() {
                    TenureState::Lost(loss) => loss,
                    _ => Loss::Abandoned,
                };
                let (name, tenure) = self.held.remove(at).close(now);
                ended.push((name, tenure, loss));
            }
        }
        ended
    }
}

impl HeldTenure {
    pub(crate) fn interval(&self) -> Interval {
        Interval { token: self.tenure.token().get(), since: self.since, until: self.until }
    }

    fn close(self, at: u64) -> (&'static str, Interval) {
        // A tenure that was never polled was held until its end, because its first deadline is later than that.
        let until = if self.until > self.since { self.until.min(at) } else { at };
        (self.name, Interval { until: until.max(self.since), ..self.interval() })
    }
}

/// What a wall clock with an error of `skew` seconds shows at the true time `at`.
fn wall_at(at: u64, skew: i64) -> SystemTime {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let shown = noon + Duration::from_micros(at);
    let by = Duration::from_secs(skew.unsigned_abs());
    if skew < 0 { shown - by } else { shown + by }
}
