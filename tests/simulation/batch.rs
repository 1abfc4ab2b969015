//! The totals of many runs.

use std::fmt;

use crate::{faults::Faults, report::Report, scenario::SEC, world};

/// The totals of the runs of several seeds.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) runs: u64,
    pub(crate) simulated: u64,
    tenures: u64,
    requests: u64,
    commits: u64,
    acknowledged: u64,
    refused: u64,
    /// Names held twice in scenarios with a broken assumption.
    pub(crate) expected_overlaps: u64,
    longest_gap: u64,
    busiest_minute: u64,
    pub(crate) waited_creations: u64,
    pub(crate) faults: Faults,
    pub(crate) violations: Vec<(u64, String)>,
}

impl Batch {
    pub(crate) fn run(&mut self, seed: u64) {
        let report = world::run(seed);
        if let Some(violation) = &report.violation {
            self.violations.push((seed, format!("{}: {}", violation.check, violation.what)));
        }
        self.add(&report);
    }

    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated += report.simulated;
        self.tenures += report.tenures;
        self.requests += report.requests;
        self.commits += report.commits;
        self.acknowledged += report.acknowledged;
        self.refused += report.refused;
        self.expected_overlaps += report.expected_overlaps;
        self.longest_gap = self.longest_gap.max(report.longest_gap);
        self.busiest_minute = self.busiest_minute.max(report.busiest_minute);
        self.waited_creations += report.waited_creations;
        self.faults.add(&report.faults);
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.runs += other.runs;
        self.simulated += other.simulated;
        self.tenures += other.tenures;
        self.requests += other.requests;
        self.commits += other.commits;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.expected_overlaps += other.expected_overlaps;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.busiest_minute = self.busiest_minute.max(other.busiest_minute);
        self.waited_creations += other.waited_creations;
        self.faults.add(&other.faults);
        self.violations.extend(other.violations);
    }

    /// Panics with a replay command for each seed that failed.
    #[track_caller]
    pub(crate) fn assert_no_violation(&self) {
        use fmt::Write as _;

        let mut text = String::new();
        for (seed, what) in &self.violations {
            let _ = write!(
                text,
                "\nseed {seed}: {what}\n  replay: LEASEHOLD_SEED={seed} \
                 cargo test -p leasehold-simulation --test simulation replay -- --ignored --nocapture"
            );
        }
        assert!(self.violations.is_empty(), "{text}\n{self}");
    }
}

impl fmt::Display for Batch {
    #[expect(clippy::cast_precision_loss, reason = "the totals are printed with few digits")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {:.1} simulated hours", self.runs, self.simulated as f64 / 3600e6)?;
        writeln!(
            f,
            "{} tenures, {} requests, {} commits; {} updates acknowledged, {} refused; {} deletions outwaited",
            self.tenures,
            self.requests,
            self.commits,
            self.acknowledged,
            self.refused,
            self.waited_creations
        )?;
        writeln!(
            f,
            "{} names held twice where an assumption did not hold",
            self.expected_overlaps
        )?;
        writeln!(f, "longest gap without a holder: {:.1} s", self.longest_gap as f64 / SEC as f64)?;
        writeln!(
            f,
            "busiest minute: {:.0} % of the bound; {} violations",
            self.busiest_minute as f64 / 10.0,
            self.violations.len()
        )?;
        write!(f, "{} faults:{}", self.faults.total(), self.faults)
    }
}
