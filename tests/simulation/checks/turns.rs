//! C5: every process that waits for a name gets its turn within a bound, while other processes have theirs.

use std::collections::BTreeMap;

use leasehold_test_support::Violation;

use super::tokens::Incarnation;

/// Since when each process has waited for each name.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: BTreeMap<(Incarnation, &'static str), u64>,
    /// The longest wait in microseconds, of those that `check` has seen.
    pub(crate) longest_wait: u64,
}

impl Turns {
    /// A tenure began, which may be over before the next check.
    pub(crate) fn began(&mut self, by: Incarnation, name: &'static str, at: u64) {
        if let Some(since) = self.waiting.get_mut(&(by, name)) {
            *since = at;
        }
    }

    /// Checks all processes that want a name now, each with whether it holds that name. Waits count from `from`.
    pub(crate) fn check(
        &mut self,
        now: u64,
        from: u64,
        bound: u64,
        wanting: impl Iterator<Item = (Incarnation, &'static str, bool)>,
    ) -> Option<Violation> {
        let before = std::mem::take(&mut self.waiting);
        let mut found = None;
        for (process, name, holds) in wanting {
            let known = before.get(&(process, name)).copied().filter(|_| !holds);
            let since = known.unwrap_or(now).max(from);
            self.waiting.insert((process, name), since);
            let waited = now - since;
            self.longest_wait = self.longest_wait.max(waited);
            if waited > bound {
                let what = format!(
                    "{process:?} has waited for `{name}` for {waited} us, while others had their turns"
                );
                found = Some(Violation::new("C5", what));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Incarnation = (0, 1);
    const B: Incarnation = (1, 1);

    #[test]
    fn a_waiter_that_never_gets_its_turn_is_a_violation() {
        let mut turns = Turns::default();
        for now in 100..=110 {
            let wanting = [(A, "a", now % 2 == 0), (B, "a", false)];
            assert_eq!(turns.check(now, 100, 10, wanting.into_iter()), None);
        }
        let found = turns.check(111, 100, 10, [(A, "a", true), (B, "a", false)].into_iter());
        assert!(found.is_some_and(|found| found.check == "C5"));
    }

    #[test]
    fn a_wait_ends_with_a_turn_and_with_the_demand() {
        let mut turns = Turns::default();
        assert_eq!(turns.check(100, 100, 10, [(B, "a", false)].into_iter()), None);
        turns.began(B, "a", 105);
        assert_eq!(turns.check(115, 100, 10, [(B, "a", false)].into_iter()), None);
        assert_eq!(turns.check(116, 100, 10, [].into_iter()), None);
        assert_eq!(turns.check(126, 100, 10, [(B, "a", false)].into_iter()), None);
        assert_eq!(turns.longest_wait, 10);
    }
}
