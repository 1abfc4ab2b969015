//! The result of a run.

use std::{collections::BTreeMap, fmt, time::Duration};

use leasehold_test_support::Violation;

use crate::{
    checks::{self, Overran},
    event::{Fence, Lock, Mode},
    fault::Fault,
    ledger::Ledger,
};

#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    lasted: Duration,
    faults: BTreeMap<Fault, usize>,
    /// By lock, and those that shared it.
    tenures: [usize; 3],
    shared: usize,
    late: usize,
    excepted: usize,
    acknowledged: [usize; 5],
    lost: [usize; 5],
    refused: [u64; 5],
    read_twice: u64,
    changed: u64,
    overran: Overran,
    gap: Duration,
    calm: Option<Duration>,
    failures: BTreeMap<String, u64>,
    pub(crate) violations: Vec<Violation>,
}

impl Report {
    pub(crate) fn new(
        seed: u64,
        lasted: Duration,
        ledger: &Ledger,
        files: &[Vec<u64>; 5],
        calm: Option<Duration>,
    ) -> Self {
        let lost = Fence::ALL.map(|fence| checks::lost(ledger, fence, &files[fence.index()]).len());
        let acknowledged = Fence::ALL.map(|fence| ledger.acknowledged(fence).count());
        let mut faults = BTreeMap::new();
        for span in &ledger.spans {
            *faults.entry(span.fault).or_default() += 1;
        }
        let shared = ledger.tenures.iter().filter(|tenure| tenure.mode == Mode::Shared).count();
        let of = |lock| ledger.tenures.iter().filter(|tenure| tenure.lock == lock).count();
        let promised = [
            checks::believed_once(ledger),
            checks::slots_in_range(ledger),
            checks::tokens_grow(ledger),
            checks::forked(ledger, &files[Fence::Check.index()]),
            fenced(Fence::Token, lost),
            fenced(Fence::Slot, lost),
            fenced(Fence::Index, lost),
            changed(ledger.changed),
            calm.is_none().then(|| {
                Violation::new("C5", "not every member had the lock again after the last fault")
            }),
            acknowledged.contains(&0).then(|| Violation::new("C8", "no update was made")),
            (shared == 0).then(|| Violation::new("C8", "no member shared a lock")),
        ];
        let broken = ledger.broken.iter().map(|what| Violation::new("process", what.as_str()));
        Self {
            seed,
            lasted,
            faults,
            tenures: Lock::ALL.map(of),
            shared,
            late: ledger.late.len(),
            excepted: checks::excepted(ledger),
            acknowledged,
            lost,
            refused: ledger.refused,
            read_twice: ledger.read_twice,
            changed: ledger.changed,
            overran: checks::overran(ledger),
            gap: Duration::from_nanos(checks::longest_gap(ledger)),
            calm,
            failures: ledger.failures.clone(),
            violations: promised.into_iter().flatten().chain(broken).collect(),
        }
    }

    /// Whether the log can be deleted: no violation, and no checked update is late or lost. Such an update is worth a
    /// look even where no lock could have prevented it.
    pub(crate) fn unremarkable(&self) -> bool {
        let check = Fence::Check.index();
        self.violations.is_empty() && self.lost[check] == 0 && self.overran.late == 0
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "seed {}: {:#?}", self.seed, self.violations);
    }
}

fn fenced(fence: Fence, lost: [usize; 5]) -> Option<Violation> {
    let lost = lost[fence.index()];
    let what = || format!("the resource lost {lost} acknowledged updates ({fence:?})");
    (lost > 0).then(|| Violation::new("C3", what()))
}

fn changed(reads: u64) -> Option<Violation> {
    let what = || format!("a file changed {reads} times between two reads of a shared holder");
    (reads > 0).then(|| Violation::new("C3", what()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.faults.values().sum();
        let faults: Vec<_> = self.faults.iter().map(|(kind, n)| format!("{n} {kind:?}")).collect();
        writeln!(f, "| seed | {} |\n|---|---|", self.seed)?;
        writeln!(f, "| duration | {:.0} s |", self.lasted.as_secs_f64())?;
        writeln!(f, "| faults | {all}: {} |", faults.join(", "))?;
        let ([orders, gpu, index], shared, late) = (self.tenures, self.shared, self.late);
        writeln!(
            f,
            "| tenures | {orders} of one lock with and without sessions, {gpu} of slots, {index} of a lock that may be shared, {shared} of them shared; {late} over before `lock` returned |",
        )?;
        for fence in Fence::ALL {
            let n = fence.index();
            let note = match fence {
                Fence::Absent => "for comparison".into(),
                Fence::Check => {
                    let Overran { late, most, deleted } = self.overran;
                    let most = Duration::from_nanos(most);
                    format!(
                        "{late} written after their deadline, by at most {most:.1?}, {deleted} after their Lease was deleted"
                    )
                }
                Fence::Token | Fence::Slot | Fence::Index => "must be 0".to_owned(),
            };
            writeln!(
                f,
                "| updates guarded by: {} | {} acknowledged, {} refused, **{} lost** ({note}) |",
                [
                    "nothing",
                    "`check()`",
                    "token from the first read on",
                    "token of a slot",
                    "exclusive token of a lock that others share",
                ][n],
                self.acknowledged[n],
                self.refused[n],
                self.lost[n],
            )?;
        }
        let (twice, changed) = (self.read_twice, self.changed);
        writeln!(
            f,
            "| reads of shared holders, done twice | {twice}, **{changed} with another content** (must be 0) |"
        )?;
        let (gap, except) = (self.gap.as_secs_f64(), self.excepted);
        writeln!(f, "| longest time without holder and without fault | {gap:.2} s |")?;
        writeln!(f, "| tenures that count for C1 only until their Lease was deleted | {except} |")?;
        let calm = self.calm.map_or("never".into(), |calm| format!("{:.1} s", calm.as_secs_f64()));
        writeln!(f, "| time until all members had the lock again after the last fault | {calm} |")?;
        for (failure, times) in &self.failures {
            writeln!(f, "| {times} × | {failure} |")?;
        }
        write!(f, "| violations | {} |", self.violations.len())?;
        for Violation { check, what } in &self.violations {
            write!(f, "\n| **{check}** | {what} |")?;
        }
        Ok(())
    }
}
