//! An elector of another make on one of the records: it obeys the rules of client-go, and knows nothing of ours.

use serde_json::{Value, json};

use crate::{
    checks::overlap::Interval,
    faults::Fault,
    scenario::{LOCKS, MS, SEC},
    world::{Event, World},
};

/// Its lease duration and renew deadline.
const TTL: u64 = 15;
const DEADLINE: u64 = 10 * SEC;
const NAME: &str = "client-go";

#[derive(Debug, Default)]
pub(crate) struct Elector {
    /// The version last seen, and since when.
    seen: (u64, u64),
    belief: Option<Interval>,
}

impl World {
    /// One round: renews what it has, takes what is free or has expired, releases now and then.
    pub(crate) fn elect(&mut self) {
        let leaves = self.rng.chance(100);
        let long = self.rng.chance(60);
        let pause = self.rng.between(200 * MS, 3 * SEC) * if long { 12 } else { 1 };
        if self.calm.is_some() {
            self.end_foreign(self.now + DEADLINE);
            return;
        }
        let name = LOCKS[0];
        let found = self.store.lease(name).map(|lease| (**lease).clone());
        let version = found
            .as_ref()
            .map_or("", |lease| lease["metadata"]["resourceVersion"].as_str().unwrap_or_default());
        let version = version.parse().unwrap_or(0);
        if self.elector.seen.0 != version {
            self.elector.seen = (version, self.now);
        }
        let spec = found.as_ref().map_or(&Value::Null, |lease| &lease["spec"]);
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let lives = spec["leaseDurationSeconds"].as_u64().unwrap_or(TTL) * SEC;
        let mine = holder == NAME;
        if mine || holder.is_empty() || self.now - self.elector.seen.1 >= lives {
            self.write_foreign(found, mine, mine && leaves);
        } else {
            self.end_foreign(self.now);
        }
        self.at(self.now + pause, Event::Elect);
    }

    fn write_foreign(&mut self, found: Option<Value>, mine: bool, leaves: bool) {
        self.report.faults.hit(Fault::ForeignElector);
        let name = LOCKS[0];
        let mut lease = found.unwrap_or_else(|| {
            json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name } })
        });
        lease["spec"]["holderIdentity"] = if leaves { "" } else { NAME }.into();
        lease["spec"]["leaseDurationSeconds"] = if leaves { 1 } else { TTL }.into();
        let version = self.store.commit(self.now, name, Some(lease)).version;
        self.note(version);
        self.causes.written(name, None, self.now);
        let until = if leaves { self.now } else { self.now + DEADLINE };
        match &mut self.elector.belief {
            Some(belief) if mine && belief.until >= self.now => belief.until = until,
            _ => {
                self.end_foreign(self.now);
                if !leaves {
                    self.elector.belief = Some(Interval { token: version, since: self.now, until });
                }
            }
        }
        if leaves {
            self.end_foreign(self.now);
        }
    }

    fn end_foreign(&mut self, at: u64) {
        if let Some(belief) = self.elector.belief.take() {
            let until = belief.until.min(at);
            self.over(LOCKS[0], Interval { until, ..belief });
        }
    }
}
