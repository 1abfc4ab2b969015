//! What is looked at again and again: whether what is wanted is held, why a tenure ended, and what is left behind.

use leasehold::Loss;

use crate::{
    checks::{causes::Ended, overlap::Interval},
    scenario::Broken,
    world::World,
};

impl World {
    /// A tenure ended, and not by its user.
    pub(crate) fn lost(&mut self, h: usize, name: &'static str, tenure: Interval, why: Loss) {
        let by = (h, self.hosts[h].life);
        let Interval { token, since, until } = tenure;
        let ended = Ended { by, name, why, token, since, at: until };
        let stopping = self.hosts[h].process.as_ref().is_none_or(|process| process.stopping);
        // A clock that runs too fast has no time for its requests.
        if !stopping && self.scene.broken != Broken::Rates {
            let wrong = self.causes.check(&ended, self.patience());
            self.found(wrong);
        }
        self.over(name, tenure);
    }

    /// C5 and the longest gap, and what C6 says of records.
    pub(crate) fn look(&mut self) {
        for host in &mut self.hosts {
            let cut = host.is_cut(self.now) || host.paused_until > self.now;
            if self.calm.is_none() && (cut || self.down_until > self.now) {
                host.able_since = self.now;
            }
        }
        let held = |name: &str| {
            let mut processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
            processes.any(|process| process.beliefs.iter().any(|belief| belief.name == name))
        };
        let mut patience = self.patience();
        if self.unheard {
            // Who waits behind a silent watch hears of a change by its own read, a time to live later, and waits another.
            patience += self.on_the_slowest_clock(self.longest());
        }
        let bound = self.calm.filter(|_| self.stopped.is_none()).map(|calm| (patience, calm));
        let able = |name: &str| {
            let wanting = self.hosts.iter().filter(|host| {
                host.process.as_ref().is_some_and(|process| process.wants.contains(&name))
            });
            wanting.map(|host| host.able_since).min().unwrap_or(self.now)
        };
        let gap = self.liveness.look(self.now, held, able, bound);
        self.found(gap);
        let lives = |(h, life): (usize, u64)| {
            let host = &self.hosts[h];
            host.life == life && host.process.as_ref().is_some_and(|process| !process.stopping)
        };
        let lease = |name: &str| self.store.lease(name).map(|lease| &***lease);
        let left = self.leftovers.look(self.now, self.patience(), &self.causes, lives, lease);
        self.found(left);
        self.hung.retain(|reply| !reply.is_closed());
        if self.store.log.len() > 2000 {
            self.store.compact(500);
        }
    }
}
