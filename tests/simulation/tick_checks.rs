//! The checks of every tick: wanted names are held, tenures end for a reason, and no record stays held without a
//! user.

use leasehold::Loss;

use leasehold_test_support::overlap::Interval;

use crate::{checks::causes::LostTenure, scenario::BrokenAssumption, world::World};

impl World {
    /// A tenure ended, and its user did not end it.
    pub(crate) fn tenure_lost(
        &mut self,
        h: usize,
        name: &'static str,
        tenure: Interval,
        loss: Loss,
    ) {
        let owner = (h, self.hosts[h].incarnation);
        let Interval { token, since, until } = tenure;
        let lost_tenure = LostTenure { owner, name, loss, token, since, at: until };
        let stopping = self.hosts[h].process.as_ref().is_none_or(|process| process.stopping);
        // A clock that runs too fast leaves too little time for requests, so its tenures may expire.
        if !stopping && self.scenario.broken != BrokenAssumption::ClockRates {
            let violation = self.causes.check(&lost_tenure, self.max_gap());
            self.report_violation(violation);
        }
        self.tenure_ended(name, tenure);
    }

    /// Checks C5 and measures the longest gap; checks C6 for records.
    pub(crate) fn check_tick(&mut self) {
        for host in &mut self.hosts {
            let is_cut = host.is_cut(self.now) || host.paused_until > self.now;
            if self.faults_stopped_at.is_none() && (is_cut || self.server_down_until > self.now) {
                host.available_since = self.now;
            }
        }
        let held = |name: &str| {
            let mut processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
            processes.any(|process| process.held.iter().any(|held| held.name == name))
        };
        let mut max_gap = self.max_gap();
        if self.had_silent_watch {
            // A waiter behind a silent watch sees a change only in its own read one ttl later, and then waits another
            // ttl.
            max_gap += self.on_the_slowest_clock(self.longest_ttl());
        }
        let bound = self
            .faults_stopped_at
            .filter(|_| self.programs_stopped_at.is_none())
            .map(|since| (max_gap, since));
        let available_since = |name: &str| {
            let wanting = self.hosts.iter().filter(|host| {
                host.process.as_ref().is_some_and(|process| process.wanted.contains(&name))
            });
            wanting.map(|host| host.available_since).min().unwrap_or(self.now)
        };
        let violation = self.liveness.check(self.now, held, available_since, bound);
        self.report_violation(violation);
        let is_running = |(h, incarnation): (usize, u64)| {
            let host = &self.hosts[h];
            host.incarnation == incarnation
                && host.process.as_ref().is_some_and(|process| !process.stopping)
        };
        let lease = |name: &str| self.store.lease(name).map(|lease| &***lease);
        let violation =
            self.leftovers.check_records(self.now, self.max_gap(), &self.causes, is_running, lease);
        self.report_violation(violation);
        self.unanswered.retain(|reply| !reply.is_closed());
        if self.store.log.len() > 2000 {
            self.store.compact(500);
        }
    }
}
