//! What is looked at again and again: whether what is wanted is held, why a tenure ended, and what is left behind.

use leasehold::Loss;

use crate::{
    checks::{causes::LostTenure, overlap::Interval},
    scenario::BrokenAssumption,
    world::World,
};

impl World {
    /// A tenure ended, and not by its user.
    pub(crate) fn tenure_lost(
        &mut self,
        h: usize,
        name: &'static str,
        tenure: Interval,
        loss: Loss,
    ) {
        let owner = (h, self.hosts[h].incarnation);
        let Interval { token, since, until } = tenure;
        let lost = LostTenure { owner, name, loss, token, since, at: until };
        let stopping = self.hosts[h].process.as_ref().is_none_or(|process| process.stopping);
        // A clock that runs too fast has no time for its requests.
        if !stopping && self.scenario.broken != BrokenAssumption::ClockRates {
            let violation = self.causes.check(&lost, self.max_gap());
            self.report_violation(violation);
        }
        self.tenure_ended(name, tenure);
    }

    /// C5 and the longest gap, and what C6 says of records.
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
            // Who waits behind a silent watch hears of a change by its own read, a time to live later, and waits another.
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
