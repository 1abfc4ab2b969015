//! The checks of each write that the server stored.

use leasehold_test_support::Violation;

use crate::{
    checks::{
        foreign_fields,
        recreation::Creation,
        takeover::{PreviousRecord, Write},
    },
    scenario::{ELECTION, LOCKS},
    store::Commit,
    world::{InFlight, World},
};

impl World {
    /// Checks a write that a simulated process made.
    pub(crate) fn check_commit(
        &mut self,
        commit: &Commit,
        in_flight: &InFlight,
        conditional: bool,
    ) {
        if self.scenario.sessions.is_some() {
            return self.check_session_commit(commit, in_flight, conditional);
        }
        self.trace(commit.version);
        let holder = |lease: &serde_json::Value| {
            lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
        };
        let after = commit.after.as_ref().map(|after| holder(after)).unwrap_or_default();
        let before = commit.before.as_ref().map(|before| PreviousRecord {
            holder: holder(before),
            ttl: before["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(15),
            since: commit.before_since,
        });
        let acquires = !after.is_empty()
            && commit.after.as_ref().is_some_and(|after| {
                let annotation = after["metadata"]["annotations"]["leasehold.dev/tenure"].as_str();
                annotation.is_some_and(|annotation| !annotation.contains("\"token\""))
            });
        if acquires {
            self.tokens.acquired(
                (in_flight.host, in_flight.incarnation),
                &commit.name,
                commit.version,
            );
            self.causes.acquired(commit.version, self.now);
        }
        let write = Write {
            identity: &in_flight.identity,
            rate: in_flight.rate,
            sent_at: in_flight.sent_at,
            conditional,
            before,
            holder: &after,
        };
        let takeover: Option<Violation> = write.check();
        let change = commit.before.as_ref().zip(commit.after.as_ref());
        let foreign_field = change.and_then(|(before, after)| foreign_fields::check(before, after));
        self.causes.written(&commit.name, Some((in_flight.host, in_flight.incarnation)), self.now);
        self.report_violation(takeover.or(foreign_field));
        self.check_creation(commit, in_flight);
    }

    fn check_creation(&mut self, commit: &Commit, in_flight: &InFlight) {
        // Only locks and the election exclude other processes. A candidate's own record does not, and the library
        // forgets who held it.
        let excludes = LOCKS.contains(&&*commit.name) || *commit.name == *ELECTION;
        if commit.before.is_none() && excludes {
            let violation = self.recreation.created(&Creation {
                name: &commit.name,
                by: (in_flight.host, in_flight.incarnation),
                identity: &in_flight.identity,
                rate: in_flight.rate,
                sent_at: in_flight.sent_at,
            });
            self.report_violation(violation);
        }
        self.record_stored(commit);
    }

    pub(crate) fn record_stored(&mut self, commit: &Commit) {
        let Some(spec) = commit.after.as_ref().map(|after| &after["spec"]) else { return };
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let ttl = spec["leaseDurationSeconds"].as_u64().unwrap_or(15);
        self.recreation.stored(&commit.name, commit.version, holder, ttl);
    }
}
