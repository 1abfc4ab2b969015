//! C2: a token is the version of the tenure's own acquiring write, is given to one tenure only, and grows.

use leasehold_test_support::Violation;

use std::collections::{BTreeMap, BTreeSet};

/// An incarnation of a process: the host, and how often a process has started there.
pub(crate) type Incarnation = (usize, u64);

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Who made each acquiring write and for which name, by version.
    acquisitions: BTreeMap<u64, (Incarnation, String)>,
    seen: BTreeSet<u64>,
    last: BTreeMap<(Incarnation, &'static str), u64>,
}

impl Tokens {
    /// An acquiring write was stored.
    pub(crate) fn acquired(&mut self, by: Incarnation, name: &str, version: u64) {
        self.acquisitions.insert(version, (by, name.to_owned()));
    }

    /// A write to a field that is not ours followed before the owner read its own write: the token is then the later
    /// version.
    pub(crate) fn edited(&mut self, before: u64, after: u64) {
        if let Some(acquisition) = self.acquisitions.get(&before).cloned() {
            self.acquisitions.insert(after, acquisition);
        }
    }

    /// Checks the token of a new tenure.
    pub(crate) fn began(
        &mut self,
        by: Incarnation,
        name: &'static str,
        token: u64,
    ) -> Option<Violation> {
        let violation = |what: &str| {
            Some(Violation::new("C2", format!("token {token} of `{name}`, held by {by:?}, {what}")))
        };
        match self.acquisitions.get(&token) {
            Some((owner, of)) if *owner == by && of == name => {}
            other => {
                return violation(&format!(
                    "is not the version of its own acquiring write, but of {other:?}"
                ));
            }
        }
        if !self.seen.insert(token) {
            return violation("was given to an earlier tenure");
        }
        match self.last.insert((by, name), token) {
            Some(last) if last >= token => {
                violation(&format!("is not above the previous token {last}"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Incarnation = (0, 1);

    fn acquired() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.acquired(OWNER, "a", 7);
        tokens.acquired(OWNER, "a", 9);
        tokens
    }

    #[test]
    fn growing_tokens_of_own_writes_are_no_violation() {
        let mut tokens = acquired();
        assert_eq!(tokens.began(OWNER, "a", 7), None);
        assert_eq!(tokens.began(OWNER, "a", 9), None);
    }

    #[test]
    fn a_foreign_repeated_or_shrinking_token_is_a_violation() {
        assert!(
            acquired().began(OWNER, "a", 8).is_some_and(|found| found.check == "C2"),
            "no such write"
        );
        assert!(
            acquired().began((1, 1), "a", 7).is_some_and(|found| found.check == "C2"),
            "the write of another process"
        );
        assert!(
            acquired().began(OWNER, "b", 7).is_some_and(|found| found.check == "C2"),
            "the write of another name"
        );
        let mut tokens = acquired();
        tokens.began(OWNER, "a", 9);
        assert!(tokens.began(OWNER, "a", 9).is_some_and(|found| found.check == "C2"), "twice");
        assert!(tokens.began(OWNER, "a", 7).is_some_and(|found| found.check == "C2"), "shrinks");
    }
}
