//! The totals of many runs.

use std::fmt;

use crate::{faults::Faults, report::Report, scenario::SEC, sessions::SESSIONS, world};

/// The totals of the runs of several seeds.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) runs: u64,
    pub(crate) simulated: u64,
    tenures: u64,
    /// The runs with sessions, and their simulated time.
    pub(crate) session_runs: u64,
    session_time: u64,
    session_tenures: u64,
    pub(crate) handovers: u64,
    requests: u64,
    commits: u64,
    acknowledged: u64,
    refused: u64,
    /// Names held twice in scenarios with a broken assumption.
    pub(crate) expected_overlaps: u64,
    longest_gap: u64,
    longest_wait: u64,
    busiest_minute: u64,
    pub(crate) waited_creations: u64,
    pub(crate) faults: Faults,
    /// The sum of all traces: two builds whose runs are the same show the same sum.
    trace: u64,
    pub(crate) violations: Vec<(u64, String)>,
}

impl Batch {
    pub(crate) fn run(&mut self, seed: u64) {
        let report = world::run(seed);
        if let Some(violation) = &report.violation {
            self.violations.push((seed, format!("{}: {}", violation.check, violation.what)));
        }
        if seed & SESSIONS != 0 {
            self.session_runs += 1;
            self.session_time += report.simulated;
        }
        self.add(&report);
    }

    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated += report.simulated;
        self.tenures += report.tenures;
        self.session_tenures += report.session_tenures;
        self.handovers += report.handovers;
        self.requests += report.requests;
        self.commits += report.commits;
        self.acknowledged += report.acknowledged;
        self.refused += report.refused;
        self.expected_overlaps += report.expected_overlaps;
        self.longest_gap = self.longest_gap.max(report.longest_gap);
        self.longest_wait = self.longest_wait.max(report.longest_wait);
        self.busiest_minute = self.busiest_minute.max(report.busiest_minute);
        self.waited_creations += report.waited_creations;
        self.faults.add(&report.faults);
        self.trace = self.trace.wrapping_add(report.trace);
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.runs += other.runs;
        self.simulated += other.simulated;
        self.tenures += other.tenures;
        self.session_runs += other.session_runs;
        self.session_time += other.session_time;
        self.session_tenures += other.session_tenures;
        self.handovers += other.handovers;
        self.requests += other.requests;
        self.commits += other.commits;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.expected_overlaps += other.expected_overlaps;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.busiest_minute = self.busiest_minute.max(other.busiest_minute);
        self.waited_creations += other.waited_creations;
        self.faults.add(&other.faults);
        self.trace = self.trace.wrapping_add(other.trace);
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
            "with sessions: {} runs, {:.1} simulated hours, {} tenures, {} hand-overs after a crash",
            self.session_runs,
            self.session_time as f64 / 3600e6,
            self.session_tenures,
            self.handovers
        )?;
        writeln!(
            f,
            "{} names held twice where an assumption did not hold",
            self.expected_overlaps
        )?;
        writeln!(f, "longest gap without a holder: {:.1} s", self.longest_gap as f64 / SEC as f64)?;
        writeln!(f, "longest wait for a turn: {:.1} s", self.longest_wait as f64 / SEC as f64)?;
        writeln!(
            f,
            "busiest minute: {:.0} % of the bound; {} violations",
            self.busiest_minute as f64 / 10.0,
            self.violations.len()
        )?;
        writeln!(f, "sum of the traces: {:x}", self.trace)?;
        write!(f, "{} faults:{}", self.faults.total(), self.faults)
    }
}
