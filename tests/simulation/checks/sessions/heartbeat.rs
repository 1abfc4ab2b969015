//! C4 for the record of a session: one create for each name, heartbeats of its owner only, and an end of a session of
//! another process only after its whole time to live without one.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_test_support::Violation;

use super::line::ttl_of;
use crate::{checks::tokens::Incarnation, scenario::SEC};

/// What is known of all sessions that ever were.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// The owner of each session, and the uid of the record that it created.
    owners: BTreeMap<String, (Incarnation, String)>,
    /// The sessions of each process.
    own: BTreeMap<Incarnation, BTreeSet<String>>,
    /// The sessions that were ever ended, by a write.
    pub(crate) ended: BTreeSet<String>,
}

/// A write of a process to the record of a session. An absent record has no holder and no uid.
#[derive(Debug)]
pub(crate) struct SessionWrite<'a> {
    pub(crate) name: &'a str,
    pub(crate) by: Incarnation,
    /// The identity in the new record is that of the writer.
    pub(crate) is_own: bool,
    pub(crate) conditional: bool,
    pub(crate) before: Option<(&'a str, u64)>,
    pub(crate) after: Option<&'a str>,
    /// The uid of the record after the write, or before a deletion.
    pub(crate) uid: &'a str,
    pub(crate) sent_at: u64,
    /// The rate of the writer's clock, in millionths of true time.
    pub(crate) rate: u64,
}

impl Sessions {
    pub(crate) fn of(&self, process: Incarnation) -> BTreeSet<String> {
        self.own.get(&process).cloned().unwrap_or_default()
    }

    pub(crate) fn owner(&self, session: &str) -> Option<Incarnation> {
        self.owners.get(session).map(|(owner, _)| *owner)
    }

    /// A record of a session was stored, by any writer.
    pub(crate) fn stored(&mut self, name: &str, holder: &str) {
        if holder.is_empty() {
            self.ended.insert(name.to_owned());
        }
    }

    pub(crate) fn check(&mut self, write: &SessionWrite<'_>) -> Option<Violation> {
        let what = self.mistake(write)?;
        Some(Violation::new("C4", format!("{what}: {write:?}")))
    }

    fn mistake(&mut self, write: &SessionWrite<'_>) -> Option<&'static str> {
        let Some((before, since)) = write.before else { return self.created(write) };
        if !write.conditional {
            return Some("a session is written without a condition");
        }
        let owner = self.owners.get(write.name);
        let is_owner = owner.is_some_and(|(owner, _)| *owner == write.by);
        match write.after {
            None if before.is_empty() => None,
            None => Some("a session that was not ended is deleted"),
            Some("") if is_owner => None,
            Some("") => {
                let waited = write.sent_at.saturating_sub(since) * write.rate / 1_000_000;
                // Clocks are read in whole milliseconds.
                let ttl = ttl_of(write.name).unwrap_or(0) * SEC - 2_000;
                (waited < ttl).then_some("a session is ended before its ttl has passed")
            }
            Some(_) if before.is_empty() => Some("an ended session is revived"),
            Some(_) if !is_owner => Some("a session is renewed by another process"),
            Some(_) if owner.is_some_and(|(_, uid)| uid != write.uid) => {
                Some("a record that the owner did not create is renewed")
            }
            Some(_) => None,
        }
    }

    fn created(&mut self, write: &SessionWrite<'_>) -> Option<&'static str> {
        if write.after.is_none_or(str::is_empty) {
            return Some("a session is created as ended");
        }
        if !write.is_own {
            return None;
        }
        self.own.entry(write.by).or_default().insert(write.name.to_owned());
        let owner = (write.by, write.uid.to_owned());
        let known = self.owners.insert(write.name.to_owned(), owner).is_some();
        known.then_some("the name of a session is used twice")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "s15-aaaaaaaaaaaaaaaaaaaa";

    fn write() -> SessionWrite<'static> {
        SessionWrite {
            name: NAME,
            by: (0, 1),
            is_own: true,
            conditional: true,
            before: Some((NAME, 0)),
            after: Some(NAME),
            uid: "1",
            sent_at: 15 * SEC,
            rate: 1_000_000,
        }
    }

    #[test]
    fn a_session_that_breaks_no_rule_passes() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.check(&SessionWrite { before: None, ..write() }), None);
        assert_eq!(sessions.check(&write()), None);
        let other = || SessionWrite { by: (1, 1), is_own: false, ..write() };
        assert_eq!(sessions.check(&SessionWrite { after: Some(""), ..other() }), None);
        assert_eq!(
            sessions.check(&SessionWrite { before: Some(("", 0)), after: None, ..other() }),
            None
        );
        assert_eq!(
            sessions.check(&SessionWrite { before: None, ..other() }),
            None,
            "a placeholder"
        );
    }

    #[test]
    fn a_write_against_the_rules_is_a_violation() {
        let mut sessions = Sessions::default();
        let _ = sessions.check(&SessionWrite { before: None, ..write() });
        let other = || SessionWrite { by: (1, 1), is_own: false, ..write() };
        let mut wrong =
            |write| assert!(sessions.check(&write).is_some_and(|found| found.check == "C4"));
        wrong(SessionWrite { conditional: false, ..write() });
        wrong(SessionWrite { before: Some(("", 0)), ..write() });
        wrong(SessionWrite { uid: "2", ..write() });
        wrong(other());
        wrong(SessionWrite { after: Some(""), sent_at: 14 * SEC, ..other() });
        wrong(SessionWrite { after: None, ..other() });
        wrong(SessionWrite { before: None, after: Some(""), ..other() });
        wrong(SessionWrite { before: None, ..write() });
    }
}
