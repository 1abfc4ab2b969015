//! C2: a token is the version of the tenure's own acquiring write, is given once, and grows.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;

/// A process in one of its lives.
pub(crate) type Incarnation = (usize, u64);

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Acquiring writes by version: whose, and of which name.
    acquisitions: BTreeMap<u64, (Incarnation, String)>,
    seen: BTreeSet<u64>,
    last: BTreeMap<(Incarnation, &'static str), u64>,
}

impl Tokens {
    /// An acquiring write was stored.
    pub(crate) fn acquired(&mut self, by: Incarnation, name: &str, version: u64) {
        self.acquisitions.insert(version, (by, name.to_owned()));
    }

    /// Somebody wrote beside it, before its owner had read it: that is then its version.
    pub(crate) fn edited(&mut self, before: u64, after: u64) {
        if let Some(acquisition) = self.acquisitions.get(&before).cloned() {
            self.acquisitions.insert(after, acquisition);
        }
    }

    /// A tenure began.
    pub(crate) fn began(
        &mut self,
        by: Incarnation,
        name: &'static str,
        token: u64,
    ) -> Option<Violation> {
        let violation = |what: &str| {
            Some(Violation::new("C2", format!("`{name}` token {token} of {by:?} {what}")))
        };
        match self.acquisitions.get(&token) {
            Some((owner, of)) if *owner == by && of == name => {}
            other => {
                return violation(&format!("is not of its own acquiring write but of {other:?}"));
            }
        }
        if !self.seen.insert(token) {
            return violation("was given before");
        }
        match self.last.insert((by, name), token) {
            Some(last) if last >= token => violation(&format!("does not grow from {last}")),
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
        assert!(acquired().began(OWNER, "a", 8).is_some(), "no such write");
        assert!(acquired().began((1, 1), "a", 7).is_some(), "of another");
        assert!(acquired().began(OWNER, "b", 7).is_some(), "of another name");
        let mut tokens = acquired();
        tokens.began(OWNER, "a", 9);
        assert!(tokens.began(OWNER, "a", 9).is_some(), "twice");
        assert!(tokens.began(OWNER, "a", 7).is_some(), "shrinks");
    }
}
