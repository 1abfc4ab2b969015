//! C2 for locks of sessions: a token is a version at which the record names this process as a holder in this mode and
//! slot, and no two tenures that exclude each other have one token. So tokens grow in the order of grants.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_test_support::Violation;

use super::line::{Claim, Mode};

/// How many versions are remembered. A grant is seen much sooner than so many writes later.
const REMEMBERED: usize = 50_000;

/// The holders of each lock at each version, and the tokens that were given.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    holders: BTreeMap<u64, (String, Vec<Claim>)>,
    given: BTreeSet<(String, u64, Option<u16>)>,
}

impl Grants {
    pub(crate) fn stored(&mut self, version: u64, name: &str, holders: Vec<Claim>) {
        self.holders.insert(version, (name.to_owned(), holders));
        if self.holders.len() > REMEMBERED {
            self.holders.pop_first();
        }
    }

    /// A tenure began. `own` are the sessions of its process.
    pub(crate) fn began(
        &mut self,
        name: &str,
        token: u64,
        (mode, slot): (Mode, Option<u16>),
        own: &BTreeSet<String>,
    ) -> Option<Violation> {
        let violation = |what: &str| {
            Some(Violation::new(
                "C2",
                format!("`{name}`, token {token}, {mode:?}, slot {slot:?}: {what}"),
            ))
        };
        let holders = self.holders.get(&token).filter(|(lock, _)| lock == name);
        let granted = holders.is_some_and(|(_, holders)| {
            let is_it = |claim: &Claim| {
                claim.mode == mode && claim.slot == slot && own.contains(&claim.session)
            };
            holders.iter().any(is_it)
        });
        if !granted {
            return violation("the record of this version names no such holder");
        }
        let new = mode == Mode::Shared || self.given.insert((name.to_owned(), token, slot));
        if new { None } else { violation("two tenures have this token") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_one_tenure_of_a_holder() {
        let claim = |mode, slot| Claim { session: "s".into(), nonce: "1".into(), mode, slot };
        let own = BTreeSet::from(["s".to_owned()]);
        let mut grants = Grants::default();
        grants.stored(7, "a", vec![claim(Mode::Exclusive, None)]);
        let mut wrong = |name, token, kind, own: &BTreeSet<String>| {
            grants.began(name, token, kind, own).is_some_and(|found| found.check == "C2")
        };
        assert!(wrong("b", 7, (Mode::Exclusive, None), &own), "another lock");
        assert!(wrong("a", 8, (Mode::Exclusive, None), &own), "another version");
        assert!(wrong("a", 7, (Mode::Shared, None), &own), "another mode");
        assert!(wrong("a", 7, (Mode::Exclusive, None), &BTreeSet::new()), "another process");
        assert!(!wrong("a", 7, (Mode::Exclusive, None), &own));
        assert!(wrong("a", 7, (Mode::Exclusive, None), &own), "twice");
    }
}
