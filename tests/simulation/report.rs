//! What one run comes to.

use crate::{
    checks::{Violation, overlap, request_rate},
    faults::Faults,
    scenario::Broken,
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
    pub(crate) gap: u64,
    /// The most requests of a process in a minute, in thousandths of what is allowed.
    pub(crate) busiest: u64,
    /// Creations that had to wait for somebody who held what was deleted.
    pub(crate) waited_for: u64,
    /// Names held twice where an assumption did not hold: that is no violation.
    pub(crate) overlaps: u64,
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
                let left = request_rate::left(h, tasks, process.handle.is_some());
                self.found(left);
            }
            self.end_process(h);
        }
        for (name, resource) in std::mem::take(&mut self.resources) {
            self.report.acknowledged += resource.acknowledged;
            self.report.refused += resource.refused;
            let lost = resource.check(name);
            self.found(lost);
        }
        for (name, mut tenures) in std::mem::take(&mut self.tenures) {
            let twice = overlap::check(name, &mut tenures);
            if self.scene.excludes() {
                self.found(twice);
            } else {
                self.report.overlaps += u64::from(twice.is_some());
            }
        }
        self.report.simulated = self.now;
        self.report.waited_for = self.recreation.waited_for;
        self.report.commits = self.store.version - 1000;
        self.report.gap =
            if self.scene.broken == Broken::Nothing { self.liveness.longest } else { 0 };
        self.report.busiest = self.hosts.iter().map(|host| host.requests.most).max().unwrap_or(0);
        self.report
    }
}
