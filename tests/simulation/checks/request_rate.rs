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

/// The largest number of sessions of a process.
const SESSIONS: u64 = 2;
/// Requests of a session besides its heartbeats: its watches and lists, and their repetitions.
const PER_SESSION: u64 = 40;
/// Requests for each claim: its write and its release, each with reads and conflicts.
const PER_CLAIM: u64 = 14;

/// How many requests of a process are under way at once, each within its attempt.
pub(crate) const UNDER_WAY: usize = 28;

/// Checks the number of requests of a process that are under way.
pub(crate) fn check_under_way(under_way: usize) -> Option<Violation> {
    let what = || format!("{under_way} requests of one process are under way: at most {UNDER_WAY}");
    (under_way > UNDER_WAY).then(|| Violation::new("C6", what()))
}

#[derive(Debug, Default)]
pub(crate) struct RequestRate {
    started_at: u64,
    sent: u64,
    demands: u64,
    /// Those of the period before. A release that begins at its end may be repeated in this one.
    earlier: u64,
    /// The most locks that a process with sessions waited for.
    waits: u64,
    /// The most thirds of its ttl in a minute: a process may start again with another ttl.
    thirds: u64,
    /// The most requests in any period, in thousandths of the bound.
    pub(crate) peak: u64,
}

impl RequestRate {
    pub(crate) const fn demand_began(&mut self) {
        self.demands += 1;
    }

    /// The release of a lock that was wanted since an earlier period is a demand of this one.
    pub(crate) fn demand_ended(&mut self, now: u64, since: u64) {
        self.begin_period(now);
        self.demands += u64::from(since < self.started_at);
    }

    fn begin_period(&mut self, now: u64) {
        if now >= self.started_at + MINUTE {
            let (peak, earlier) = (self.peak, self.demands);
            *self = Self { started_at: now, peak, earlier, ..Self::default() };
        }
    }

    /// Counts a request of a process that uses this many records.
    pub(crate) fn sent(&mut self, now: u64, records: u64) -> Option<Violation> {
        self.begin_period(now);
        self.count(PER_RECORD * records + PER_DEMAND * self.demands)
    }

    /// Counts a request of a process with sessions of this ttl, in seconds, and calls that wait for so many locks. A
    /// held lock costs no request after the one that states its token.
    pub(crate) fn sent_by_sessions(&mut self, now: u64, ttl: u64, waits: u64) -> Option<Violation> {
        self.begin_period(now);
        self.waits = self.waits.max(waits);
        self.thirds = self.thirds.max(3 * 60 / ttl);
        self.count(
            SESSIONS * (2 * self.thirds + PER_SESSION)
                + 2 * self.thirds * self.waits
                + PER_CLAIM * (self.demands + self.earlier),
        )
    }

    fn count(&mut self, bound: u64) -> Option<Violation> {
        self.sent += 1;
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
    fn too_many_requests_under_way_are_a_violation() {
        assert_eq!(check_under_way(UNDER_WAY), None);
        assert!(check_under_way(UNDER_WAY + 1).is_some_and(|found| found.check == "C6"));
    }

    #[test]
    fn a_process_that_starts_again_with_a_longer_ttl_may_have_sent_more_before() {
        let mut request_rate = RequestRate::default();
        assert!((0..400).all(|n| request_rate.sent_by_sessions(n, 3, 1).is_none()));
        assert_eq!(request_rate.sent_by_sessions(400, 15, 1), None);
    }

    #[test]
    fn the_release_of_many_locks_that_were_held_for_long_stays_within_the_bound() {
        let requests = |released: u64| {
            let mut request_rate = RequestRate::default();
            (0..released).for_each(|_| request_rate.demand_ended(2 * MINUTE, 1));
            (0..200).all(|n| request_rate.sent_by_sessions(2 * MINUTE + n, 15, 0).is_none())
        };
        assert!(requests(48) && !requests(0));
    }

    #[test]
    fn renewals_stay_within_the_bound() {
        let mut request_rate = RequestRate::default();
        assert!((0..1000).all(|n| request_rate.sent(n * SEC, 1).is_none()));
    }
}
