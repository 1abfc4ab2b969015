//! An elector that is not ours, on one of the records. It follows the rules of client-go and does not know our
//! annotations.

use serde_json::{Value, json};

use leasehold_test_support::overlap::Interval;

use crate::{
    faults::Fault,
    scenario::{LOCKS, MS, SEC},
    world::{Event, World},
};

/// The lease duration in seconds, and the renew deadline. Both are client-go's defaults.
const TTL: u64 = 15;
const RENEW_DEADLINE: u64 = 10 * SEC;
const IDENTITY: &str = "client-go";

/// The state of the elector.
#[derive(Debug, Default)]
pub(crate) struct ForeignElector {
    /// The last version that the elector read, and when it first read that version.
    seen: (u64, u64),
    held: Option<Interval>,
}

impl World {
    /// One round: renews a held Lease, takes a free or expired one, and sometimes releases.
    pub(crate) fn run_foreign_elector(&mut self) {
        let releases = self.rng.chance(100);
        let is_slow = self.rng.chance(60);
        let pause = self.rng.between(200 * MS, 3 * SEC) * if is_slow { 12 } else { 1 };
        if self.faults_stopped_at.is_some() {
            self.end_foreign_tenure(self.now + RENEW_DEADLINE);
            return;
        }
        let name = LOCKS[0];
        let found = self.store.lease(name).map(|lease| (**lease).clone());
        let version = found
            .as_ref()
            .map_or("", |lease| lease["metadata"]["resourceVersion"].as_str().unwrap_or_default());
        let version = version.parse().unwrap_or(0);
        if self.foreign_elector.seen.0 != version {
            self.foreign_elector.seen = (version, self.now);
        }
        let spec = found.as_ref().map_or(&Value::Null, |lease| &lease["spec"]);
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let ttl = spec["leaseDurationSeconds"].as_u64().unwrap_or(TTL) * SEC;
        let is_own = holder == IDENTITY;
        if is_own || holder.is_empty() || self.now - self.foreign_elector.seen.1 >= ttl {
            self.write_foreign_lease(found, is_own, is_own && releases);
        } else {
            self.end_foreign_tenure(self.now);
        }
        self.schedule(self.now + pause, Event::ForeignElectorRound);
    }

    fn write_foreign_lease(&mut self, found: Option<Value>, is_own: bool, releases: bool) {
        self.report.faults.count(Fault::ForeignElector);
        let name = LOCKS[0];
        let mut lease = found.unwrap_or_else(|| {
            json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name } })
        });
        lease["spec"]["holderIdentity"] = if releases { "" } else { IDENTITY }.into();
        lease["spec"]["leaseDurationSeconds"] = if releases { 1 } else { TTL }.into();
        if self.scenario.sessions.is_some() {
            // A session looks at the whole spec, not at the version.
            lease["spec"]["renewTime"] = self.now.to_string().into();
        }
        let commit = self.store.commit(self.now, name, Some(lease)).clone();
        let version = commit.version;
        if self.scenario.sessions.is_some() {
            self.session_stored(&commit);
        }
        self.trace(version);
        self.causes.written(name, None, self.now);
        let until = if releases { self.now } else { self.now + RENEW_DEADLINE };
        match &mut self.foreign_elector.held {
            Some(held) if is_own && held.until >= self.now => held.until = until,
            _ => {
                self.end_foreign_tenure(self.now);
                if !releases {
                    self.foreign_elector.held =
                        Some(Interval { token: version, since: self.now, until });
                }
            }
        }
        if releases {
            self.end_foreign_tenure(self.now);
        }
    }

    fn end_foreign_tenure(&mut self, at: u64) {
        if let Some(held) = self.foreign_elector.held.take() {
            let until = held.until.min(at);
            self.tenure_ended(LOCKS[0], Interval { until, ..held });
        }
    }
}
