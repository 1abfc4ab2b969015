//! How processes start, end and are replaced.

use leasehold_test_support::overlap::Interval;

use crate::{
    faults::Fault,
    host::HostClock,
    process::Process,
    scenario::{MS, SEC},
    world::{Event, World},
};

impl World {
    pub(crate) fn start_process(&mut self, h: usize) {
        let host = &mut self.hosts[h];
        host.incarnation += 1;
        host.available_since = self.now;
        let clock = HostClock { started: self.now, rate: host.rate };
        let shared = self.scenario.shared_identity && h < 2;
        let identity =
            if shared { "twin".into() } else { format!("host-{h}-{}", host.incarnation) };
        if shared {
            self.report.faults.count(Fault::SameIdentity);
        }
        host.process = Some(Process::start(
            &self.scenario,
            &mut self.rng,
            &self.faults_stopped,
            clock,
            (h, identity),
        ));
    }

    /// Ends the process without notice, like SIGKILL.
    pub(crate) fn end_process(&mut self, h: usize) {
        self.end_calls(h);
        let Some(process) = self.hosts[h].process.take() else { return };
        for held in &process.held {
            let tenure = held.interval();
            self.tenure_ended(held.name, Interval { until: tenure.until.min(self.now), ..tenure });
        }
        for name in &process.wanted {
            self.liveness.demand_changed(self.now, name, false);
        }
        self.hosts[h].paused_until = 0;
    }

    /// Asks the process to end; a grace period later kills it and starts its replacement.
    pub(crate) fn redeploy(&mut self, h: usize) {
        if self.faults_stopped_at.is_some() {
            return;
        }
        self.report.faults.count(Fault::Redeployed);
        if let Some(process) = &self.hosts[h].process {
            if process.stopping {
                self.end_process(h);
                self.start_process(h);
            } else {
                process.channel.stop();
                let grace = self.now + self.rng.between(100 * MS, 4 * SEC);
                self.hosts[h].process.as_mut().expect("checked above").stopping = true;
                return self.schedule(grace, Event::Redeploy { host: h });
            }
        }
        let next = self.now + self.scenario.redeploy_interval.unwrap_or(30 * SEC);
        self.schedule(next, Event::Redeploy { host: h });
    }
}
