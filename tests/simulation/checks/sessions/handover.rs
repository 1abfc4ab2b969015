//! C5: after a crash, the next claim that waited long enough gets the lock within the ttl of the session and a third
//! of it.

use leasehold_test_support::Violation;

use super::line::Claim;

/// A claim that must be granted in time.
#[derive(Debug)]
struct Expected {
    name: String,
    claim: Claim,
    deadline: u64,
}

/// The claims next in the queue of a lock whose holder crashed.
#[derive(Debug, Default)]
pub(crate) struct Handovers {
    expected: Vec<Expected>,
    /// How many claims were granted in time.
    pub(crate) seen: u64,
}

impl Handovers {
    pub(crate) fn crashed(&mut self, name: &str, claim: &Claim, deadline: u64) {
        let claim = claim.clone();
        self.expected.push(Expected { name: name.to_owned(), claim, deadline });
    }

    /// Forgets the claims of a process that crashed too.
    pub(crate) fn forget(&mut self, is_owned: impl Fn(&str) -> bool) {
        self.expected.retain(|one| !is_owned(&one.claim.session));
    }

    /// Checks what is still expected. `waits` is whether the claim is still in the queue, and `holds` whether it holds.
    pub(crate) fn check(
        &mut self,
        now: u64,
        waits: impl Fn(&str, &Claim) -> bool,
        holds: impl Fn(&str, &Claim) -> bool,
    ) -> Option<Violation> {
        let late =
            self.expected.iter().find(|one| now > one.deadline && waits(&one.name, &one.claim));
        let late =
            late.map(|one| Violation::new("C5", format!("not handed over in time: {one:?}")));
        let granted = self.expected.iter().filter(|one| holds(&one.name, &one.claim)).count();
        self.seen += granted as u64;
        self.expected.retain(|one| waits(&one.name, &one.claim));
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sessions::line::Mode;

    #[test]
    fn a_hand_over_that_is_late_is_a_violation() {
        let claim =
            Claim { session: "s".into(), nonce: "1".into(), mode: Mode::Exclusive, slot: None };
        let mut handovers = Handovers::default();
        handovers.crashed("a", &claim, 10);
        assert_eq!(handovers.check(10, |_, _| true, |_, _| false), None);
        assert!(
            handovers.check(11, |_, _| true, |_, _| false).is_some_and(|found| found.check == "C5")
        );
        assert_eq!(handovers.check(12, |_, _| false, |_, _| true), None);
        assert_eq!(handovers.seen, 1);
        handovers.crashed("a", &claim, 10);
        handovers.forget(|session| session == "s");
        assert_eq!(handovers.check(12, |_, _| true, |_, _| false), None);
    }
}
