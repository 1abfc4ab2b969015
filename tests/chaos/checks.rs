//! The checks of a run. Apart from sorting, each takes linear time.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_test_support::{
    Violation,
    overlap::{self, Interval},
};

use crate::{
    event::Fence,
    ledger::{Ledger, Tenure, Update},
};

/// The number of tenures that count only until their Lease was deleted.
pub(crate) fn excepted(ledger: &Ledger) -> usize {
    ledger.tenures.iter().filter(|tenure| ledger.deleted_under(tenure).is_some()).count()
}

/// C1: at no time do two members believe that they hold. A tenure whose Lease is deleted counts until the deletion.
pub(crate) fn believed_once(ledger: &Ledger) -> Option<Violation> {
    let interval = |tenure: &Tenure| {
        let deleted = ledger.deleted_under(tenure).unwrap_or(u64::MAX);
        let until = tenure.end().min(deleted.max(tenure.since));
        Interval { token: tenure.token, since: tenure.since / 1000, until: until / 1000 }
    };
    let intervals = ledger.tenures.iter().map(interval);
    let mut believed: Vec<_> = intervals.filter(|held| held.since < held.until).collect();
    overlap::check(crate::member::LOCK, &mut believed)
}

/// C2: tokens are unique, and grow in the order of acquisition.
pub(crate) fn tokens_grow(ledger: &Ledger) -> Option<Violation> {
    let mut given = BTreeSet::new();
    let all = ledger.tenures.iter().map(|tenure| tenure.token).chain(ledger.late.iter().copied());
    for token in all {
        if !given.insert(token) {
            return Some(Violation::new("C2", format!("token {token} was given twice")));
        }
    }
    let kept = ledger.tenures.iter().filter(|tenure| ledger.deleted_under(tenure).is_none());
    let mut order: Vec<_> = kept.map(|tenure| (tenure.since, tenure.token)).collect();
    order.sort_unstable();
    let falls = order.windows(2).find(|pair| pair[0].1 >= pair[1].1)?;
    Some(Violation::new("C2", format!("tokens do not grow with time: {falls:?}")))
}

/// The acknowledged updates that are missing in the file.
pub(crate) fn lost(ledger: &Ledger, fence: Fence, file: &[u64]) -> Vec<u64> {
    let kept: BTreeSet<_> = file.iter().collect();
    ledger.acknowledged(fence).filter(|id| !kept.contains(id)).collect()
}

/// Updates written after a good `check()` that no lock could have prevented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overran {
    /// Written after the deadline, because the process paused between the check and the write.
    pub(crate) late: usize,
    /// The longest time after the deadline, in nanoseconds.
    pub(crate) most: u64,
    /// Written after the Lease had been deleted.
    pub(crate) deleted: usize,
}

pub(crate) fn overran(ledger: &Ledger) -> Overran {
    let tenures = by_token(ledger);
    let mut all = Overran::default();
    for update in ledger.updates[Fence::Check.index()].values() {
        let Some((at, until)) = update.written else { continue };
        all.late += usize::from(at > until);
        all.most = all.most.max(at.saturating_sub(until));
        let under = ledger.deleted_under(tenures[&update.token]);
        all.deleted += usize::from(under.is_some_and(|deleted| at > deleted));
    }
    all
}

fn by_token(ledger: &Ledger) -> BTreeMap<u64, &Tenure> {
    ledger.tenures.iter().map(|tenure| (tenure.token, tenure)).collect()
}

/// Two updates made from the same state and written within their deadlines, so that one overwrote the other.
///
/// Without two updates from the same state no update is lost. A holder that was stopped between `check()` and the
/// rename writes after its deadline. No lock can prevent that: [`overran`] counts it, like a write after a deletion.
pub(crate) fn forked(ledger: &Ledger, file: &[u64]) -> Option<Violation> {
    let updates = &ledger.updates[Fence::Check.index()];
    let made_from = updates.values().map(|update| update.base);
    let exist: BTreeSet<_> = made_from.chain(file.iter().copied()).collect();
    let tenures = by_token(ledger);
    let in_time = |id: u64, update: &Update| {
        let tenure = tenures[&update.token];
        let deleted = ledger.deleted_under(tenure).unwrap_or(u64::MAX);
        let Some((at, until)) = update.written else {
            // The process died before it could report the write.
            let by = tenure.gone.filter(|_| exist.contains(&id));
            return by.is_some_and(|gone| gone <= tenure.until.min(deleted));
        };
        at <= until.min(deleted)
    };
    let mut made: BTreeMap<u64, u64> = BTreeMap::new();
    for (&id, update) in updates.iter().filter(|&(&id, update)| in_time(id, update)) {
        if let Some(other) = made.insert(update.base, id) {
            let what =
                format!("updates {other} and {id} were both made from {}, in time", update.base);
            return Some(Violation::new("check", what));
        }
    }
    None
}

/// The longest time without a holder and without a fault, in nanoseconds, between the first tenure and the last.
pub(crate) fn longest_gap(ledger: &Ledger) -> u64 {
    let begin = ledger.tenures.iter().map(|tenure| tenure.since).min().unwrap_or(0);
    let end = ledger.tenures.iter().map(Tenure::end).max().unwrap_or(0);
    let held = ledger.tenures.iter().map(|tenure| (tenure.since, tenure.end()));
    let wrong = ledger.spans.iter().map(|span| (span.from, span.to.unwrap_or(u64::MAX)));
    let mut busy: Vec<_> = held.chain(wrong).collect();
    busy.sort_unstable();
    let (mut longest, mut reached) = (0, begin);
    for (from, to) in busy {
        longest = longest.max(from.min(end).saturating_sub(reached));
        reached = reached.max(to);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Event, fault::Fault, ledger::Deletion};

    const MS: u64 = 1_000_000;

    /// A ledger of two members, each with one tenure of these tokens and times (ms), and one checked update.
    fn two(first: [u64; 3], second: [u64; 3], bases: [u64; 2]) -> Ledger {
        let mut ledger = Ledger::default();
        for ([token, since, until], base) in [first, second].into_iter().zip(bases) {
            let life = ledger.start(0);
            let (since, until) = (since * MS, until * MS);
            ledger.record(life, Event::Began { token, since, until });
            let fence = Fence::Check;
            ledger.record(life, Event::Tries { fence, id: life, base, token });
            ledger.record(life, Event::Acknowledged { fence, id: life, at: until - 1, until });
        }
        ledger
    }

    #[test]
    fn tenures_one_after_the_other_are_valid() {
        let ledger = two([7, 10, 20], [9, 20, 30], [0, 1]);
        assert_eq!(believed_once(&ledger), None);
        assert_eq!(tokens_grow(&ledger), None);
        assert_eq!(forked(&ledger, &[1, 2]), None);
        assert_eq!(lost(&ledger, Fence::Check, &[1, 2]), [0; 0]);
    }

    #[test]
    fn overlapping_tenures_are_found_unless_the_lease_was_deleted() {
        let mut ledger = two([7, 10, 21], [9, 20, 30], [0, 0]);
        assert_eq!(believed_once(&ledger).unwrap().check, "C1");
        assert_eq!(forked(&ledger, &[2]).unwrap().check, "check");
        assert_eq!(lost(&ledger, Fence::Check, &[2]), [1]);

        ledger.deleted(Deletion { from: 22 * MS, to: u64::MAX, version: 8 });
        assert!(believed_once(&ledger).is_some(), "the deletion came after the tenure");
        assert!(forked(&ledger, &[2]).is_some(), "the write came before the deletion");

        ledger.deleted(Deletion { from: 15 * MS, to: u64::MAX, version: 8 });
        assert_eq!(believed_once(&ledger), None);
        assert_eq!(forked(&ledger, &[2]), None);
        assert_eq!(excepted(&ledger), 1);
        assert_eq!(overran(&ledger), Overran { deleted: 1, ..Overran::default() });
    }

    #[test]
    fn a_tenure_ends_with_its_process_and_with_its_release() {
        let mut ledger = two([7, 10, 21], [9, 20, 30], [0, 1]);
        ledger.record(1, Event::Over { token: 7, at: 19 * MS });
        assert_eq!(believed_once(&ledger), None);

        let mut ledger = two([7, 10, 21], [9, 20, 30], [0, 1]);
        ledger.gone(1, 20 * MS);
        assert_eq!(believed_once(&ledger), None);
    }

    #[test]
    fn repeated_and_decreasing_tokens_are_found() {
        assert!(tokens_grow(&two([7, 10, 20], [7, 20, 30], [0, 1])).is_some());
        assert!(tokens_grow(&two([9, 10, 20], [7, 20, 30], [0, 1])).is_some());
        let mut ledger = two([7, 10, 20], [9, 20, 30], [0, 1]);
        ledger.record(2, Event::BeganLate { token: 7 });
        assert!(tokens_grow(&ledger).is_some());
    }

    #[test]
    fn a_write_after_its_deadline_is_counted_and_is_no_fork() {
        let mut ledger = two([7, 10, 20], [9, 20, 30], [0, 0]);
        let late = Event::Acknowledged { fence: Fence::Check, id: 1, at: 25 * MS, until: 20 * MS };
        ledger.record(1, late);
        assert_eq!(overran(&ledger), Overran { late: 1, most: 5 * MS, deleted: 0 });
        assert_eq!(forked(&ledger, &[1]), None);
        assert_eq!(lost(&ledger, Fence::Check, &[1]), [2]);
    }

    #[test]
    fn the_longest_gap_counts_only_time_without_holder_and_without_fault() {
        let mut ledger = two([7, 10, 20], [9, 60, 70], [0, 1]);
        assert_eq!(longest_gap(&ledger), 40 * MS);
        let span = ledger.fault(Fault::Slow, 25 * MS, "");
        ledger.healed(span, 35 * MS);
        assert_eq!(longest_gap(&ledger), 25 * MS);
    }
}
