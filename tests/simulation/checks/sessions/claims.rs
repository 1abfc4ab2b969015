//! C6: a claim that no caller wants leaves the record. C5: a caller that waits gets its turn.

use std::collections::BTreeMap;

use leasehold_test_support::Violation;

use crate::checks::tokens::Incarnation;

/// Claims in records that are more than the calls of their process.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    since: BTreeMap<(Incarnation, String), u64>,
}

impl Orphans {
    /// Compares the claims of a running process in one record with its calls. `failed_until` is the end of the last
    /// fault that could keep them there.
    pub(crate) fn check(
        &mut self,
        now: u64,
        (owner, name): (Incarnation, &str),
        (claims, calls): (usize, usize),
        failed_until: u64,
        grace: u64,
    ) -> Option<Violation> {
        let key = (owner, name.to_owned());
        if claims <= calls {
            self.since.remove(&key);
            return None;
        }
        let since = *self.since.entry(key).or_insert(now);
        let what = || {
            format!(
                "`{name}` has {claims} claims of process {owner:?}, which makes {calls} calls, since {since} us"
            )
        };
        (now.saturating_sub(since.max(failed_until)) > grace).then(|| Violation::new("C6", what()))
    }
}

/// Checks a call that waits since `from`.
pub(crate) fn check_wait(
    name: &str,
    owner: Incarnation,
    waited: u64,
    bound: u64,
) -> Option<Violation> {
    let what = || {
        format!("a call for `{name}` of process {owner:?} waits for {waited} us: at most {bound}")
    };
    (waited > bound).then(|| Violation::new("C5", what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_without_a_caller_may_stay_for_a_while_only() {
        let mut orphans = Orphans::default();
        let mut check = |now, counts, failed_until| {
            orphans
                .check(now, ((0, 1), "a"), counts, failed_until, 10)
                .is_some_and(|found| found.check == "C6")
        };
        assert!(!check(0, (1, 1), 0) && !check(5, (1, 0), 0) && !check(15, (1, 0), 0));
        assert!(!check(16, (1, 0), 10), "a fault");
        assert!(check(16, (1, 0), 0));
        assert!(!check(17, (0, 0), 0) && !check(18, (1, 0), 0));
    }

    #[test]
    fn a_wait_has_a_bound() {
        assert_eq!(check_wait("a", (0, 1), 10, 10), None);
        assert!(check_wait("a", (0, 1), 11, 10).is_some_and(|found| found.check == "C5"));
    }
}
