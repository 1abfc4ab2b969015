//! The scenario that a seed gives: the hosts, what their programs do, and which faults happen.

use std::time::Duration;

use leasehold_test_support::Rng;

use crate::{circumstance::Circumstance, faults::Fault, sessions::SessionKind};

/// Times are in microseconds of true time.
pub(crate) const MS: u64 = 1_000;
pub(crate) const SEC: u64 = 1_000_000;

/// How far the world advances in one step.
pub(crate) const TICK: u64 = 100 * MS;

pub(crate) const LOCKS: &[&str] = &["orders", "jobs"];
pub(crate) const ELECTION: &str = "billing";

/// The slowest and the fastest clock, in millionths of true time. They differ by less than the ratio 15 : 13 that the
/// default timing tolerates.
pub(crate) const SLOWEST: u64 = 931_000;
pub(crate) const FASTEST: u64 = 1_074_000;

/// How long faults are injected in one run.
pub(crate) const FAULT_PHASE: u64 = 480 * SEC;

/// The assumption that does not hold in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenAssumption {
    None,
    /// The rates of two clocks differ by more than the timing tolerates.
    ClockRates,
    /// A person deletes and edits Leases.
    ManualEdits,
    /// Reads come from a replica that lags.
    StaleReads,
}

/// What happens in one run. Rates are in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// What happens in a run with sessions; `None` for one without.
    pub(crate) sessions: Option<SessionKind>,
    pub(crate) hosts: usize,
    pub(crate) workers: usize,
    pub(crate) candidates: bool,
    pub(crate) fault_phase: u64,
    /// The share of requests that meet a fault.
    pub(crate) request_fault_rate: u64,
    /// The share of watches that meet a fault.
    pub(crate) watch_fault_rate: u64,
    /// The mean time between two faults of hosts, of the server or of records.
    pub(crate) fault_interval: u64,
    pub(crate) work_time: Duration,
    pub(crate) think_time: Duration,
    pub(crate) cancel_rate: u64,
    pub(crate) broken: BrokenAssumption,
    pub(crate) circumstance: Circumstance,
    /// How far the hosts are from the server, as the time of one way; empty if none is far.
    pub(crate) distances: &'static [u64],
    pub(crate) foreign_elector: bool,
    /// Two hosts use the same identity, in all their incarnations.
    pub(crate) shared_identity: bool,
    /// How often each process is replaced.
    pub(crate) redeploy_interval: Option<u64>,
    pub(crate) ttls: &'static [u64],
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Self {
        if let Some(kind) = SessionKind::of(seed) {
            return kind.scenario(seed);
        }
        let circumstance = Circumstance::of(seed);
        if circumstance != Circumstance::None {
            return Self::with(circumstance, seed);
        }
        let mut rng = Rng::new(seed ^ 0x5ce7e);
        let is_fast = seed.is_multiple_of(2);
        let (work_time, think_time) = if is_fast { (2_000, 4_000) } else { (60_000, 8_000) };
        let kind = seed / 2 % 6;
        Self {
            sessions: None,
            hosts: 2 + rng.index(4),
            workers: 1 + rng.index(2),
            candidates: kind != 3,
            fault_phase: FAULT_PHASE,
            request_fault_rate: if is_fast { 10 } else { 60 },
            watch_fault_rate: if is_fast { 50 } else { 300 },
            fault_interval: if is_fast { 12 * SEC } else { 6 * SEC },
            work_time: Duration::from_millis(work_time),
            think_time: Duration::from_millis(think_time),
            cancel_rate: if is_fast { 60 } else { 150 },
            broken: match kind {
                1 => BrokenAssumption::ClockRates,
                2 => BrokenAssumption::ManualEdits,
                4 => BrokenAssumption::StaleReads,
                _ => BrokenAssumption::None,
            },
            circumstance,
            distances: circumstance.distances(seed),
            foreign_elector: kind == 3,
            shared_identity: kind == 0 && seed / 12 % 2 == 1,
            redeploy_interval: (kind == 5).then_some(30 * SEC),
            ttls: if is_fast { &[3, 5, 6, 15] } else { &[6, 15, 15, 30] },
        }
    }

    /// A run in which requests are slow, and other faults are rare, so that they explain few losses.
    fn with(circumstance: Circumstance, seed: u64) -> Self {
        let busy = circumstance.is_busy();
        Self {
            sessions: None,
            hosts: if circumstance == Circumstance::FarNeighbour { 2 } else { 3 },
            workers: if busy { 3 } else { 2 },
            candidates: !busy,
            fault_phase: if busy { FAULT_PHASE / 8 } else { FAULT_PHASE },
            request_fault_rate: 0,
            watch_fault_rate: 50,
            fault_interval: FAULT_PHASE / 4,
            work_time: Duration::from_millis(if busy { 600 } else { 60_000 }),
            think_time: Duration::from_millis(if busy { 2 } else { 8_000 }),
            cancel_rate: 30,
            broken: BrokenAssumption::None,
            circumstance,
            distances: circumstance.distances(seed),
            foreign_elector: false,
            shared_identity: false,
            redeploy_interval: None,
            ttls: circumstance.ttls(),
        }
    }

    /// Draws the rate of one clock.
    pub(crate) fn rate(&self, rng: &mut Rng) -> (u64, Option<Fault>) {
        if self.broken == BrokenAssumption::ClockRates && rng.chance(500) {
            return (rng.pick(&[600_000, 700_000, 1_300_000, 1_700_000]), Some(Fault::RateBeyond));
        }
        if self.sessions.is_some() {
            return (SessionKind::rate(rng), None);
        }
        let rates = [SLOWEST, SLOWEST, 1_000_000, FASTEST, FASTEST, rng.between(SLOWEST, FASTEST)];
        (rng.pick(&rates), None)
    }

    /// How much later than a ttl a process is at rest, when its users have left.
    pub(crate) const fn lingers(&self) -> u64 {
        match self.sessions {
            Some(_) => SessionKind::lingers(),
            None => self.circumstance.lingers(),
        }
    }

    /// Whether C1 must hold in this scenario.
    pub(crate) const fn requires_exclusion(&self) -> bool {
        matches!(self.broken, BrokenAssumption::None | BrokenAssumption::StaleReads)
    }
}
