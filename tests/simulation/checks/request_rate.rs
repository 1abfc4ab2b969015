//! C6: the number of requests of one process stays below a bound, whatever faults happen.

use leasehold_test_support::Violation;

use crate::scenario::SEC;

/// The period in which requests are counted.
const MINUTE: u64 = 60 * SEC;
/// Requests per record without new demand. A process that is cut off for the whole minute reads about every 0.9 s,
/// and sometimes lists in order to watch again.
const PER_RECORD: u64 = 66;
/// Additional requests for each time that a task begins to want a name.
const PER_DEMAND: u64 = 14;

#[derive(Debug, Default)]
pub(crate) struct RequestRate {
    started_at: u64,
    sent: u64,
    demands: u64,
    /// The most requests in any period, in thousandths of the bound.
    pub(crate) peak: u64,
}

impl RequestRate {
    pub(crate) const fn demand_began(&mut self) {
        self.demands += 1;
    }

    /// Counts a request of a process that uses this many records.
    pub(crate) fn sent(&mut self, now: u64, records: u64) -> Option<Violation> {
        if now >= self.started_at + MINUTE {
            *self = Self { started_at: now, peak: self.peak, ..Self::default() };
        }
        self.sent += 1;
        let bound = PER_RECORD * records + PER_DEMAND * self.demands;
        self.peak = self.peak.max(self.sent * 1000 / bound);
        let what = || {
            format!(
                "{} requests in a minute with {} new demands: at most {bound} are allowed",
                self.sent, self.demands
            )
        };
        (self.sent > bound).then(|| Violation::new("C6", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_loop_without_a_pause_is_a_violation() {
        let mut request_rate = RequestRate::default();
        assert!(
            (0..1000)
                .any(|n| request_rate.sent(n * 10_000, 3).is_some_and(|found| found.check == "C6"))
        );
    }

    #[test]
    fn renewals_stay_within_the_bound() {
        let mut request_rate = RequestRate::default();
        assert!((0..1000).all(|n| request_rate.sent(n * SEC, 1).is_none()));
    }
}
