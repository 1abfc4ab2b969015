//! The checks of each write in a run with sessions.

use serde_json::Value;

use crate::{
    checks::{
        foreign_fields,
        sessions::{
            heartbeat::SessionWrite,
            line::{Line, is_session},
            order::LockChange,
        },
    },
    scenario::SEC,
    store::Commit,
    world::{InFlight, World},
};

fn holder(lease: &Value) -> &str {
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default()
}

impl World {
    /// Checks a write that a simulated process made.
    pub(crate) fn check_session_commit(
        &mut self,
        commit: &Commit,
        in_flight: &InFlight,
        conditional: bool,
    ) {
        self.trace(commit.version);
        let by = (in_flight.host, in_flight.incarnation);
        let change = commit.before.as_ref().zip(commit.after.as_ref());
        let foreign_field = change.and_then(|(before, after)| foreign_fields::check(before, after));
        self.report_violation(foreign_field);
        self.causes.written(&commit.name, Some(by), self.now);
        if is_session(&commit.name) {
            self.check_session_write(commit, in_flight, conditional);
        } else {
            self.check_lock_write(commit, in_flight, conditional);
        }
        self.session_stored(commit);
    }

    fn check_session_write(&mut self, commit: &Commit, in_flight: &InFlight, conditional: bool) {
        let any = commit.after.as_ref().or(commit.before.as_ref()).expect("before or after");
        let identity = &any["metadata"]["annotations"]["leasehold.dev/identity"];
        let write = SessionWrite {
            name: &commit.name,
            by: (in_flight.host, in_flight.incarnation),
            is_own: identity == in_flight.identity.as_str(),
            conditional,
            before: commit.before.as_ref().map(|before| (holder(before), commit.before_since)),
            after: commit.after.as_ref().map(|after| holder(after)),
            uid: any["metadata"]["uid"].as_str().unwrap_or_default(),
            sent_at: in_flight.sent_at,
            rate: in_flight.rate,
        };
        let violation = self.session_checks.sessions.check(&write);
        self.report_violation(violation);
    }

    fn check_lock_write(&mut self, commit: &Commit, in_flight: &InFlight, conditional: bool) {
        let line = |lease: Option<&Value>| lease.map(Line::of).unwrap_or_default();
        let before = commit.before.as_ref().map(|before| &***before);
        let after = commit.after.as_ref().map(|after| &***after);
        let own = self.session_checks.sessions.of((in_flight.host, in_flight.incarnation));
        let lives = before.and_then(|before| before["spec"]["leaseDurationSeconds"].as_u64());
        let since = self.session_checks.specs.get(&*commit.name).map_or(0, |(_, since)| *since);
        let waited = in_flight.sent_at.saturating_sub(since) * in_flight.rate / 1_000_000;
        // A ttl and a tenth. Clocks are read in whole milliseconds.
        let foreign_is_over = waited + 2_000 >= lives.unwrap_or(0) * SEC / 10 * 11;
        let change = LockChange {
            name: &commit.name,
            before: line(before),
            after: line(after),
            ended: &self.session_checks.sessions.ended,
            own: &own,
            conditional,
            created: before.is_none(),
            foreign_is_over,
        };
        let violation = change.check();
        self.report_violation(violation);
    }

    /// Remembers what is stored, whoever wrote it.
    pub(crate) fn session_stored(&mut self, commit: &Commit) {
        let Some(lease) = &commit.after else { return };
        let checks = &mut self.session_checks;
        if is_session(&commit.name) {
            checks.sessions.stored(&commit.name, holder(lease));
            return;
        }
        let spec = lease["spec"].to_string();
        let known = checks.specs.get(&*commit.name);
        if known.is_none_or(|(known, _)| *known != spec) {
            checks.specs.insert(commit.name.to_string(), (spec, self.now));
        }
        let line = Line::of(lease);
        for claim in line.claims() {
            checks.stored_at.entry(claim.nonce.clone()).or_insert(self.now);
        }
        checks.grants.stored(commit.version, &commit.name, line.holders);
    }
}
