//! An elector of another make on the same record: it obeys the rules of client-go, and knows nothing of ours.

use std::{sync::Arc, time::Duration};

use super::{
    Event, Sim,
    faults::Fault,
    host::{Belief, HostClock},
    network::{MS, SEC},
    store::Author,
};
use crate::{clock::Moment, engine::record::Record};

#[derive(Debug)]
pub(super) struct Elector {
    clock: HostClock,
    ttl: Duration,
    /// The version last seen, and since when.
    seen: (u64, Moment),
    pub(super) belief: Option<Belief>,
}

const NAME: &str = "client-go";

impl Elector {
    pub(super) const fn new(clock: HostClock, ttl: u64) -> Self {
        Self { clock, ttl: Duration::from_secs(ttl), seen: (0, Moment::NEVER), belief: None }
    }
}

impl Sim {
    /// One round: renews what it has, takes what is free or has expired, releases now and then.
    pub(super) fn elect(&mut self) {
        let pause = self.rng.between(200 * MS, 3 * SEC);
        let leaves = self.rng.chance(100);
        let Some(elector) = &mut self.elector else { return };
        if self.calm {
            return;
        }
        let local = elector.clock.local(self.now);
        let found = self.store.present().map(Arc::clone);
        let number = self.store.log.last().map_or(0, |commit| commit.number);
        if elector.seen.0 != number {
            elector.seen = (number, local);
        }
        let record = found.as_ref().map(|found| &found.record);
        let mine = record.is_some_and(|record| record.holder.as_deref() == Some(NAME));
        let free = record
            .is_none_or(|record| record.is_free() || local - elector.seen.1 >= record.lives());
        if mine || free {
            let holder = (!mine || !leaves).then(|| NAME.into());
            let until = elector.clock.when(local + elector.ttl / 15 * 10);
            let since = elector.belief.filter(|belief| mine && belief.until > self.now);
            let since = since.map_or(self.now, |belief| belief.since);
            elector.belief = holder.as_ref().map(|_| Belief { token: 0, since, until });
            let ttl = Some(elector.ttl);
            let transitions = record.map_or(0, Record::next_transition);
            let preferred = record.and_then(|record| record.preferred.clone());
            let next = Record { holder, nonce: None, ttl, transitions, preferred, token: None };
            let wall = i64::try_from(self.now).expect("a short run");
            self.store.commit(self.now, wall, Author::Foreign, Some(next));
            self.faults.hit(Fault::ForeignElector);
            self.check_overlap(usize::MAX);
            self.spread_news();
        }
        // Now and then it is gone for longer than its record lives.
        let pause = if self.rng.chance(100) { pause * 12 } else { pause };
        self.after(pause, Event::Elect);
    }
}
