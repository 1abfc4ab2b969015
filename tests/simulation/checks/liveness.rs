//! C5: soon after the faults have stopped, every wanted name is held. Slow requests are no fault.

use leasehold_test_support::Violation;

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Liveness {
    demands: BTreeMap<&'static str, Demand>,
    /// The longest time in microseconds for which a name was not held, although a running and connected process
    /// wanted it.
    pub(crate) longest_gap: u64,
}

#[derive(Debug, Default)]
struct Demand {
    tasks: usize,
    /// When the name was last held, or when the demand began.
    since: Option<u64>,
}

impl Liveness {
    pub(crate) fn demand_changed(&mut self, now: u64, name: &'static str, begins: bool) {
        let demand = self.demands.entry(name).or_default();
        demand.tasks = if begins { demand.tasks + 1 } else { demand.tasks.saturating_sub(1) };
        match demand.tasks {
            0 => demand.since = None,
            1 if begins => demand.since = Some(now),
            _ => {}
        }
    }

    /// Checks every wanted name. `available_since` says since when a process that wants the name has been running and
    /// connected; gaps count from then. `bound` is the longest allowed gap, and the earliest time from which gaps count.
    pub(crate) fn check(
        &mut self,
        now: u64,
        held: impl Fn(&str) -> bool,
        available_since: impl Fn(&str) -> u64,
        bound: Option<(u64, u64)>,
    ) -> Option<Violation> {
        for (name, demand) in &mut self.demands {
            if demand.tasks == 0 {
                continue;
            }
            if held(name) {
                demand.since = Some(now);
            }
            let since = demand.since.unwrap_or(now);
            let from = since.max(available_since(name));
            self.longest_gap = self.longest_gap.max(now.saturating_sub(from));
            if let Some((bound, earliest)) = bound
                && now.saturating_sub(from.max(earliest)) > bound
            {
                let what = format!(
                    "`{name}` is wanted by {} tasks and not held since {since} us; gaps count from {earliest} us on",
                    demand.tasks
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
    fn a_gap_is_a_violation_only_for_a_wanted_name_after_the_faults() {
        let mut liveness = Liveness::default();
        liveness.demand_changed(0, "a", true);
        assert_eq!(liveness.check(100, |_| false, |_| 0, None), None, "faults have not stopped");
        assert_eq!(
            liveness.check(105, |_| false, |_| 0, Some((10, 100))),
            None,
            "the gap is within the bound"
        );
        assert!(
            liveness
                .check(111, |_| false, |_| 0, Some((10, 100)))
                .is_some_and(|found| found.check == "C5")
        );
        assert_eq!(liveness.check(112, |_| true, |_| 0, Some((10, 100))), None, "held");
        liveness.demand_changed(112, "a", false);
        assert_eq!(liveness.check(200, |_| false, |_| 0, Some((10, 100))), None, "not wanted");
    }
}
