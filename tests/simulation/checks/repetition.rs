//! C7: two runs of one seed have equal reports, or a run could not be replayed.

use leasehold_test_support::Violation;

use crate::report::Report;

/// Compares the reports of two runs of one seed. The trace is part of a report.
pub(crate) fn check(first: &Report, second: &Report) -> Option<Violation> {
    let what = || {
        format!("two runs of one seed differ, with traces {:x} and {:x}", first.trace, second.trace)
    };
    (first != second).then(|| Violation::new("C7", what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(trace: u64) -> Report {
        Report { trace, requests: 9, ..Report::default() }
    }

    #[test]
    fn equal_runs_are_no_violation() {
        assert_eq!(check(&report(7), &report(7)), None);
    }

    #[test]
    fn two_different_traces_are_a_violation() {
        assert_eq!(check(&report(7), &report(8)).unwrap().check, "C7");
    }

    #[test]
    fn equal_traces_with_different_totals_are_a_violation() {
        let other = Report { requests: 10, ..report(7) };
        assert_eq!(check(&report(7), &other).unwrap().check, "C7");
    }
}
