//! C5: soon after the faults have stopped, what is wanted is held.

use std::collections::BTreeMap;

use leasehold_test_support::Violation;

#[derive(Debug, Default)]
pub(crate) struct Liveness {
    wanted: BTreeMap<&'static str, Wanted>,
    /// The longest time for which something was wanted by somebody who could have had it, and not held, in
    /// microseconds.
    pub(crate) longest: u64,
}

#[derive(Debug, Default)]
struct Wanted {
    by: usize,
    /// Since when it is wanted and not held.
    since: Option<u64>,
}

impl Liveness {
    pub(crate) fn wants(&mut self, now: u64, name: &'static str, begins: bool) {
        let wanted = self.wanted.entry(name).or_default();
        wanted.by = if begins { wanted.by + 1 } else { wanted.by.saturating_sub(1) };
        match wanted.by {
            0 => wanted.since = None,
            1 if begins => wanted.since = Some(now),
            _ => {}
        }
    }

    /// `able` says since when somebody who wants it has been running and connected.
    /// `bound` is how long a gap may be, and since when that is asked for.
    pub(crate) fn look(
        &mut self,
        now: u64,
        held: impl Fn(&str) -> bool,
        able: impl Fn(&str) -> u64,
        bound: Option<(u64, u64)>,
    ) -> Option<Violation> {
        for (name, wanted) in &mut self.wanted {
            if wanted.by == 0 {
                continue;
            }
            if held(name) {
                wanted.since = Some(now);
            }
            let since = wanted.since.unwrap_or(now);
            self.longest = self.longest.max(now.saturating_sub(since.max(able(name))));
            if let Some((bound, calm)) = bound
                && now - since.max(calm) > bound
            {
                let what = format!(
                    "`{name}` is wanted by {} and not held since {since} us, and nothing goes wrong since {calm} us",
                    wanted.by
                );
                return Some(Violation::new("C5", what));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_found_only_if_it_is_wanted_and_calm() {
        let mut liveness = Liveness::default();
        liveness.wants(0, "a", true);
        assert_eq!(liveness.look(100, |_| false, |_| 0, None), None, "not calm");
        assert_eq!(liveness.look(105, |_| false, |_| 0, Some((10, 100))), None, "not long");
        assert!(liveness.look(111, |_| false, |_| 0, Some((10, 100))).is_some());
        assert_eq!(liveness.look(112, |_| true, |_| 0, Some((10, 100))), None, "held");
        liveness.wants(112, "a", false);
        assert_eq!(liveness.look(200, |_| false, |_| 0, Some((10, 100))), None, "not wanted");
    }
}
