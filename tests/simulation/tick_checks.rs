//! The checks of every tick: wanted names are held, tenures end for a reason, and no record stays held without a
//! user.

use std::collections::BTreeSet;

use leasehold::Loss;

use leasehold_test_support::overlap::Interval;

use crate::{
    checks::causes::LostTenure, circumstance::Circumstance, scenario::BrokenAssumption,
    world::World,
};

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
        // In a run with slow requests, other faults are rare, and no process waits for one of them to end.
        let circumstance = self.scenario.circumstance;
        let slow = (circumstance != Circumstance::None).then(|| {
            let ttl = self.on_the_slowest_clock(self.longest_ttl());
            (max_gap + ttl + 6 * circumstance.slowest(), 0)
        });
        let bound = self
            .faults_stopped_at
            .map(|since| (max_gap, since))
            .or(slow)
            .filter(|_| self.programs_stopped_at.is_none());
        let available_since = |name: &str| {
            let wanting = self.hosts.iter().filter(|host| {
                host.process.as_ref().is_some_and(|process| process.wanted.contains(&name))
            });
            wanting.map(|host| host.available_since).min().unwrap_or(self.now)
        };
        let violation = self.liveness.check(self.now, held, available_since, bound);
        self.report_violation(violation);
        self.check_turns();
        let is_running = |(h, incarnation): (usize, u64)| {
            let host = &self.hosts[h];
            host.incarnation == incarnation
                && host.process.as_ref().is_some_and(|process| !process.stopping)
        };
        let lease = |name: &str| self.store.lease(name).map(|lease| &***lease);
        let slowest = self.scenario.circumstance.slowest();
        let violation = self.leftovers.check_records(
            self.now,
            slowest,
            self.max_gap(),
            &self.causes,
            is_running,
            lease,
        );
        self.report_violation(violation);
        self.unanswered.retain(|reply| !reply.is_closed());
        if self.store.log.len() > 2000 {
            self.store.compact(500);
        }
    }

    /// Checks C5 for each waiter, once the faults have stopped.
    fn check_turns(&mut self) {
        let bound = self.scenario.circumstance.longest_wait();
        let (Some(bound), Some(from), None) =
            (bound, self.faults_stopped_at, self.programs_stopped_at)
        else {
            return;
        };
        let processes = self.hosts.iter().enumerate().filter_map(|(h, host)| {
            host.process.as_ref().map(|process| ((h, host.incarnation), process))
        });
        let wanting = processes.flat_map(|(incarnation, process)| {
            let names: BTreeSet<&'static str> = process.wanted.iter().copied().collect();
            names.into_iter().map(move |name| {
                (incarnation, name, process.held.iter().any(|held| held.name == name))
            })
        });
        let violation = self.turns.check(self.now, from, bound, wanting);
        self.report_violation(violation);
    }
}
