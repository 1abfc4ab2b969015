//! C6: the requests of one process stay under a bound, whatever happens; and it leaves no watch and no task behind.

use super::Violation;
use crate::scenario::SEC;

/// How long is looked at at once.
const MINUTE: u64 = 60 * SEC;
/// What a process may ask for without doing anything new, for each record that it has to do with: cut off for the whole
/// minute it reads about every 0.9 s, and lists now and then to watch again.
const PER_RECORD: u64 = 66;
/// And for each time that a task of its begins to want something.
const PER_DEMAND: u64 = 14;

#[derive(Debug, Default)]
pub(crate) struct RequestRate {
    started_at: u64,
    sent: u64,
    demands: u64,
    /// The most in any minute, in parts of a thousand of what is allowed.
    pub(crate) peak: u64,
}

impl RequestRate {
    pub(crate) const fn demand_began(&mut self) {
        self.demands += 1;
    }

    /// A request left a process that has to do with this many records.
    pub(crate) fn sent(&mut self, now: u64, records: u64) -> Option<Violation> {
        if now >= self.started_at + MINUTE {
            *self = Self { started_at: now, peak: self.peak, ..Self::default() };
        }
        self.sent += 1;
        let bound = PER_RECORD * records + PER_DEMAND * self.demands;
        self.peak = self.peak.max(self.sent * 1000 / bound);
        let what = || {
            format!(
                "{} requests in a minute with {} beginnings: at most {bound}",
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
        assert!((0..1000).any(|n| request_rate.sent(n * 10_000, 3).is_some()));
    }

    #[test]
    fn renewals_stay_within_the_bound() {
        let mut request_rate = RequestRate::default();
        assert!((0..1000).all(|n| request_rate.sent(n * SEC, 1).is_none()));
    }
}
