//! What one run comes to.

use crate::{
    checks::{Violation, at_rest, overlap},
    faults::Faults,
    scenario::BrokenAssumption,
    world::World,
};

/// What one run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Microseconds.
    pub(crate) simulated: u64,
    pub(crate) tenures: u64,
    pub(crate) requests: u64,
    pub(crate) commits: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// The longest time for which something was wanted by somebody who could have had it, and not held, in
    /// microseconds: with nothing broken.
    pub(crate) longest_gap: u64,
    /// The most requests of a process in a minute, in thousandths of what is allowed.
    pub(crate) busiest_minute: u64,
    /// Creations that had to wait for somebody who held what was deleted.
    pub(crate) waited_creations: u64,
    /// Names held twice where an assumption did not hold: that is no violation.
    pub(crate) expected_overlaps: u64,
    pub(crate) faults: Faults,
    /// Of everything that happened: the same for the same seed.
    pub(crate) trace: u64,
    pub(crate) violation: Option<Violation>,
}

impl World {
    /// The last checks, and the sums.
    pub(crate) fn finish(mut self) -> Report {
        for h in 0..self.hosts.len() {
            let Some(process) = &self.hosts[h].process else { continue };
            let tasks = process.runtime.metrics().num_alive_tasks();
            if self.report.violation.is_none() {
                let tasks_left = at_rest::check_tasks(h, tasks, process.handle.is_some());
                self.report_violation(tasks_left);
            }
            self.end_process(h);
        }
        for (name, resource) in std::mem::take(&mut self.resources) {
            self.report.acknowledged += resource.acknowledged;
            self.report.refused += resource.refused;
            let lost_updates = resource.check(name);
            self.report_violation(lost_updates);
        }
        for (name, mut intervals) in std::mem::take(&mut self.intervals) {
            let overlap = overlap::check(name, &mut intervals);
            if self.scenario.requires_exclusion() {
                self.report_violation(overlap);
            } else {
                self.report.expected_overlaps += u64::from(overlap.is_some());
            }
        }
        self.report.simulated = self.now;
        self.report.waited_creations = self.recreation.waited_creations;
        self.report.commits = self.store.version - 1000;
        self.report.longest_gap = if self.scenario.broken == BrokenAssumption::None {
            self.liveness.longest_gap
        } else {
            0
        };
        self.report.busiest_minute =
            self.hosts.iter().map(|host| host.request_rate.peak).max().unwrap_or(0);
        self.report
    }
}
