//! The result of one run.

use leasehold_test_support::{Violation, overlap};

use crate::{checks::at_rest, faults::Faults, scenario::BrokenAssumption, world::World};

/// The result of one run. Two runs of one seed have equal reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Simulated microseconds.
    pub(crate) simulated: u64,
    pub(crate) tenures: u64,
    /// The tenures of locks of sessions, among those.
    pub(crate) session_tenures: u64,
    /// Locks of a crashed process that the next one in the queue got in time.
    pub(crate) handovers: u64,
    pub(crate) requests: u64,
    pub(crate) commits: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// The longest time in microseconds for which a name was not held, although a running and connected process
    /// wanted it. Zero in scenarios with a broken assumption.
    pub(crate) longest_gap: u64,
    /// The longest time in microseconds for which a process waited for its turn, once the faults had stopped.
    pub(crate) longest_wait: u64,
    /// The most requests of a process in one minute, in thousandths of the bound.
    pub(crate) busiest_minute: u64,
    /// Creations by a process that had to wait because another process held the deleted record.
    pub(crate) waited_creations: u64,
    /// Names held twice in a scenario with a broken assumption. That is no violation.
    pub(crate) expected_overlaps: u64,
    pub(crate) faults: Faults,
    /// A hash of everything that happened. The same seed gives the same trace.
    pub(crate) trace: u64,
    pub(crate) violation: Option<Violation>,
}

impl World {
    /// Runs the final checks and adds up the totals.
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
        self.finish_sessions();
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
        self.report.longest_wait = self.report.longest_wait.max(self.turns.longest_wait);
        self.report.busiest_minute =
            self.hosts.iter().map(|host| host.request_rate.peak).max().unwrap_or(0);
        self.report
    }
}
