//! C2: a token is the version of the tenure's own acquiring write, is given once, and grows.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_test_support::Violation;

/// A process in one of its lives.
pub(crate) type Life = (usize, u64);

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Acquiring writes by version: whose, and of which name.
    claims: BTreeMap<u64, (Life, String)>,
    given: BTreeSet<u64>,
    last: BTreeMap<(Life, &'static str), u64>,
}

impl Tokens {
    /// An acquiring write was stored.
    pub(crate) fn claimed(&mut self, by: Life, name: &str, version: u64) {
        self.claims.insert(version, (by, name.to_owned()));
    }

    /// Somebody wrote beside it, before its owner had read it: that is then its version.
    pub(crate) fn edited(&mut self, before: u64, after: u64) {
        if let Some(claim) = self.claims.get(&before).cloned() {
            self.claims.insert(after, claim);
        }
    }

    /// A tenure began.
    pub(crate) fn began(&mut self, by: Life, name: &'static str, token: u64) -> Option<Violation> {
        let wrong = |what: &str| {
            Some(Violation::new("C2", format!("`{name}` token {token} of {by:?} {what}")))
        };
        match self.claims.get(&token) {
            Some((owner, of)) if *owner == by && of == name => {}
            other => return wrong(&format!("is not of its own acquiring write but of {other:?}")),
        }
        if !self.given.insert(token) {
            return wrong("was given before");
        }
        match self.last.insert((by, name), token) {
            Some(last) if last >= token => wrong(&format!("does not grow from {last}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Life = (0, 1);

    fn claimed() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.claimed(ME, "a", 7);
        tokens.claimed(ME, "a", 9);
        tokens
    }

    #[test]
    fn tokens_of_acquiring_writes_that_grow_are_right() {
        let mut tokens = claimed();
        assert_eq!(tokens.began(ME, "a", 7), None);
        assert_eq!(tokens.began(ME, "a", 9), None);
    }

    #[test]
    fn a_token_of_another_write_given_twice_or_shrinking_is_found() {
        assert!(claimed().began(ME, "a", 8).is_some(), "no such write");
        assert!(claimed().began((1, 1), "a", 7).is_some(), "of another");
        assert!(claimed().began(ME, "b", 7).is_some(), "of another name");
        let mut tokens = claimed();
        tokens.began(ME, "a", 9);
        assert!(tokens.began(ME, "a", 9).is_some(), "twice");
        assert!(tokens.began(ME, "a", 7).is_some(), "shrinks");
    }
}
