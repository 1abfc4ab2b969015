//! Runs in which the processes use sessions.
//!
//! | file | content |
//! |---|---|
//! | `mod` | which runs those are, and what happens in them |
//! | [`program`] | the tasks of a process |
//! | [`calls`] | reports of these tasks, and what a process believes to hold |
//! | [`commits`] | the checks of each write |
//! | [`ticks`] | the checks of each tick, and at the end |
//! | [`faults`] | faults of sessions and of their locks |

pub(crate) mod calls;
mod commits;
mod faults;
pub(crate) mod program;
mod ticks;

use std::{collections::BTreeMap, time::Duration};

use leasehold_test_support::Rng;

use crate::{
    checks::sessions::{
        claims::Orphans,
        exclusion::{Belief, HandMade},
        handover::Handovers,
        heartbeat::Sessions,
        tokens::Grants,
    },
    circumstance::Circumstance,
    scenario::{BrokenAssumption, FAULT_PHASE, LOCKS, SEC, Scenario},
};

/// A seed with this bit is one of a run with sessions. The other seeds stay what they were.
pub(crate) const SESSIONS: u64 = 1 << 60;

/// Locked exclusively and shared. The foreign elector uses it too.
pub(crate) const ORDERS: &str = LOCKS[0];
/// Locked exclusively.
pub(crate) const JOBS: &str = LOCKS[1];
/// A lock with slots.
pub(crate) const GPU: &str = "gpu";
pub(crate) const SLOTS: u16 = 2;
/// Locked together.
pub(crate) const PAIR: [&str; 2] = ["pair-a", "pair-b"];

/// The slowest and the fastest clock, in millionths of true time. They differ by less than the 11 % that a session
/// tolerates.
const SLOWEST: u64 = 949_000;
const FASTEST: u64 = 1_051_000;

/// What happens in a run with sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// Faults of all kinds, short tenures and short times to live.
    Fast,
    /// Many faults, long tenures.
    Slow,
    /// A person deletes and edits locks, and ends sessions.
    HandEdits,
    /// An elector like that of client-go on one of the locks.
    ForeignElector,
    /// Reads, lists and watches come from servers that lag.
    Lagging,
    /// Each process is replaced again and again.
    Redeploys,
    /// Processes crash, and nothing else happens.
    Crashes,
    /// One process holds dozens of locks, and connections are slow.
    ManyLocks,
    /// The clocks run apart by more than sessions tolerate.
    ClockRates,
}

impl SessionKind {
    const ALL: [Self; 8] = [
        Self::Fast,
        Self::Slow,
        Self::HandEdits,
        Self::ForeignElector,
        Self::Lagging,
        Self::Redeploys,
        Self::Crashes,
        Self::ManyLocks,
    ];

    /// `None` for a run without sessions.
    pub(crate) fn of(seed: u64) -> Option<Self> {
        let number =
            usize::try_from(seed & (SESSIONS - 1)).ok().filter(|_| seed & SESSIONS != 0)?;
        match Self::ALL[number % Self::ALL.len()] {
            Self::HandEdits if number / Self::ALL.len() % 4 == 3 => Some(Self::ClockRates),
            kind => Some(kind),
        }
    }

    pub(crate) fn rate(rng: &mut Rng) -> u64 {
        rng.pick(&[
            SLOWEST,
            SLOWEST,
            1_000_000,
            FASTEST,
            FASTEST,
            rng.clone().between(SLOWEST, FASTEST),
        ])
    }

    /// How much later a process is at rest than a ttl after its users have left: the deletion of a session's record.
    pub(crate) const fn lingers() -> u64 {
        15 * SEC
    }

    pub(crate) fn scenario(self, seed: u64) -> Scenario {
        let mut rng = Rng::new(seed ^ 0x5e55);
        let slow = matches!(self, Self::Slow | Self::ForeignElector | Self::ManyLocks);
        let quiet = matches!(self, Self::Crashes | Self::ManyLocks);
        let (work, think) = if slow { (30_000, 8_000) } else { (2_000, 3_000) };
        Scenario {
            sessions: Some(self),
            hosts: 2 + rng.index(3),
            workers: 1 + rng.index(3),
            candidates: false,
            fault_phase: FAULT_PHASE,
            request_fault_rate: [10, 60][usize::from(slow)] * u64::from(!quiet),
            watch_fault_rate: [50, 300][usize::from(slow)] * u64::from(!quiet),
            fault_interval: match self {
                Self::Crashes => 25 * SEC,
                Self::ManyLocks => FAULT_PHASE / 4,
                _ if slow => 6 * SEC,
                _ => 12 * SEC,
            },
            work_time: Duration::from_millis(work),
            think_time: Duration::from_millis(think),
            cancel_rate: if slow { 150 } else { 60 },
            broken: match self {
                Self::Lagging => BrokenAssumption::StaleReads,
                Self::HandEdits => BrokenAssumption::ManualEdits,
                Self::ClockRates => BrokenAssumption::ClockRates,
                _ => BrokenAssumption::None,
            },
            circumstance: match self {
                Self::ManyLocks if rng.chance(500) => Circumstance::SlowConnections,
                _ => Circumstance::None,
            },
            distances: &[],
            foreign_elector: self == Self::ForeignElector,
            shared_identity: false,
            redeploy_interval: (self == Self::Redeploys).then_some(30 * SEC),
            ttls: match self {
                Self::Crashes => [&[6][..], &[15]][rng.index(2)],
                Self::ManyLocks => &[15],
                _ if slow => &[6, 15, 15],
                _ => &[3, 5, 6, 15],
            },
        }
    }
}

/// What the checks of sessions remember.
#[derive(Debug, Default)]
pub(crate) struct SessionChecks {
    pub(crate) sessions: Sessions,
    pub(crate) grants: Grants,
    pub(crate) hand_made: HandMade,
    orphans: Orphans,
    pub(crate) handovers: Handovers,
    beliefs: BTreeMap<&'static str, Vec<Belief>>,
    /// The spec of each lock, and since when it is unchanged.
    specs: BTreeMap<String, (String, u64)>,
    /// When each claim was stored first, by nonce.
    stored_at: BTreeMap<String, u64>,
}
