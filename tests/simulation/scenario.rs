//! What a seed stands for: who is there, what they want, and what goes wrong.

use std::time::Duration;

use crate::{faults::Fault, rng::Rng};

/// Microseconds of true time.
pub(crate) const MS: u64 = 1_000;
pub(crate) const SEC: u64 = 1_000_000;

/// How far the world goes at a time.
pub(crate) const TICK: u64 = 100 * MS;

pub(crate) const LOCKS: &[&str] = &["orders", "jobs"];
pub(crate) const ELECTION: &str = "billing";

/// Parts in a million: two clocks within these run apart by less than the 15 : 13 that the default timing leaves.
pub(crate) const SLOWEST: u64 = 931_000;
pub(crate) const FASTEST: u64 = 1_074_000;

/// How long things go wrong in one run.
pub(crate) const FAULT_PHASE: u64 = 480 * SEC;

/// Which of the assumptions does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenAssumption {
    None,
    /// Clock rates are further apart than the timing leaves.
    ClockRates,
    /// Somebody deletes and edits Leases.
    ManualEdits,
    /// Reads come from a replica that lags.
    StaleReads,
}

/// One kind of life. Shares are in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) hosts: usize,
    pub(crate) workers: usize,
    pub(crate) candidates: bool,
    pub(crate) fault_phase: u64,
    /// How many requests meet with a fault.
    pub(crate) request_fault_rate: u64,
    /// How many watches do.
    pub(crate) watch_fault_rate: u64,
    /// How often something happens to a host or to the server.
    pub(crate) fault_interval: u64,
    pub(crate) work_time: Duration,
    pub(crate) think_time: Duration,
    pub(crate) cancel_rate: u64,
    pub(crate) broken: BrokenAssumption,
    pub(crate) foreign_elector: bool,
    /// Two hosts, and all their lives, have one identity.
    pub(crate) shared_identity: bool,
    /// Each process ends and begins anew this often.
    pub(crate) redeploy_interval: Option<u64>,
    pub(crate) ttls: &'static [u64],
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5ce7e);
        let is_fast = seed.is_multiple_of(2);
        let (work_time, think_time) = if is_fast { (2_000, 4_000) } else { (60_000, 8_000) };
        let kind = seed / 2 % 6;
        Self {
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
            foreign_elector: kind == 3,
            shared_identity: kind == 0 && seed / 12 % 2 == 1,
            redeploy_interval: (kind == 5).then_some(30 * SEC),
            ttls: if is_fast { &[3, 5, 6, 15] } else { &[6, 15, 15, 30] },
        }
    }

    /// A rate for one clock.
    pub(crate) fn rate(&self, rng: &mut Rng) -> (u64, Option<Fault>) {
        if self.broken == BrokenAssumption::ClockRates && rng.chance(500) {
            return (rng.pick(&[600_000, 700_000, 1_300_000, 1_700_000]), Some(Fault::RateBeyond));
        }
        let rates = [SLOWEST, SLOWEST, 1_000_000, FASTEST, FASTEST, rng.between(SLOWEST, FASTEST)];
        (rng.pick(&rates), None)
    }

    /// Whether C1 is asked for.
    pub(crate) const fn requires_exclusion(&self) -> bool {
        matches!(self.broken, BrokenAssumption::None | BrokenAssumption::StaleReads)
    }
}
