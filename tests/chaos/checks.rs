//! The checks of a run. Apart from sorting, each takes linear time.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_test_support::Violation;

use crate::{
    event::{Fence, Lock, Mode, SLOTS},
    ledger::{Ledger, Tenure, Update},
};

/// The number of tenures that count only until the Lease of their lock was deleted.
pub(crate) fn excepted(ledger: &Ledger) -> usize {
    ledger.tenures.iter().filter(|tenure| ledger.deleted_under(tenure).is_some()).count()
}

/// Until when a tenure excludes others. One whose Lease is deleted counts until the deletion.
fn counts_until(ledger: &Ledger, tenure: &Tenure) -> u64 {
    let deleted = ledger.deleted_under(tenure).unwrap_or(u64::MAX);
    tenure.end().min(deleted.max(tenure.since))
}

/// C1: at no time do two members believe that they hold a lock in modes that exclude each other, such as the same slot.
pub(crate) fn believed_once(ledger: &Ledger) -> Option<Violation> {
    Lock::ALL.into_iter().find_map(|lock| {
        let tenures = ledger.tenures.iter().filter(|tenure| tenure.lock == lock);
        let mut tenures: Vec<_> =
            tenures.map(|tenure| (tenure, counts_until(ledger, tenure))).collect();
        tenures.sort_unstable_by_key(|(tenure, _)| tenure.since);
        let mut held: Vec<(&Tenure, u64)> = Vec::new();
        for (tenure, until) in tenures.into_iter().filter(|(tenure, until)| tenure.since < *until) {
            held.retain(|(_, until)| tenure.since < *until);
            if let Some((other, _)) = held.iter().find(|(one, _)| one.mode.conflicts(tenure.mode)) {
                let what = format!("`{}` is held twice: {other:?} and {tenure:?}", lock.name());
                return Some(Violation::new("C1", what));
            }
            held.push((tenure, until));
        }
        None
    })
}

/// A lock with slots has no more holders than slots. With [`believed_once`] it follows that the slots are in range.
pub(crate) fn slots_in_range(ledger: &Ledger) -> Option<Violation> {
    let of_lock = |tenure: &&Tenure| tenure.lock == Lock::Gpu;
    let fits = |tenure: &&Tenure| matches!(tenure.mode, Mode::Slot(slot) if slot < SLOTS);
    let wrong = ledger.tenures.iter().filter(of_lock).find(|tenure| !fits(tenure))?;
    Some(Violation::new("slots", format!("no slot of {SLOTS}: {wrong:?}")))
}

/// C2: tokens grow in the order of acquisition: those of each slot, and those of a lock without slots. A shared token is
/// compared with the exclusive ones before it, and an exclusive one with all before it.
pub(crate) fn tokens_grow(ledger: &Ledger) -> Option<Violation> {
    let kept = ledger.tenures.iter().filter(|tenure| ledger.deleted_under(tenure).is_none());
    let mut order: Vec<_> = kept.collect();
    order.sort_unstable_by_key(|tenure| tenure.since);
    let mut highest: BTreeMap<(Lock, Option<u16>), [u64; 2]> = BTreeMap::new();
    for tenure in order {
        let [exclusive, shared] = highest.entry((tenure.lock, slot(tenure.mode))).or_default();
        let is_shared = tenure.mode == Mode::Shared;
        if tenure.token <= *exclusive || !is_shared && tenure.token <= *shared {
            let what = format!("the token of {tenure:?} is not above {exclusive} and {shared}");
            return Some(Violation::new("C2", what));
        }
        let of = if is_shared { shared } else { exclusive };
        *of = tenure.token.max(*of);
    }
    token_twice(ledger)
}

/// C2: no token is given twice, except to shared holders, whose tokens may be equal.
fn token_twice(ledger: &Ledger) -> Option<Violation> {
    let all = ledger.tenures.iter().map(|tenure| (tenure.lock, tenure.mode, tenure.token));
    let mut given = BTreeSet::new();
    for (lock, mode, token) in all.chain(ledger.late.iter().copied()) {
        if mode != Mode::Shared && !given.insert((lock, slot(mode), token)) {
            let what = format!("token {token} of `{}` was given twice", lock.name());
            return Some(Violation::new("C2", what));
        }
    }
    None
}

const fn slot(mode: Mode) -> Option<u16> {
    match mode {
        Mode::Slot(slot) => Some(slot),
        Mode::Exclusive | Mode::Shared => None,
    }
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
    let tenures = ledger.tenures.iter().filter(|tenure| tenure.lock == Lock::Orders);
    tenures.map(|tenure| (tenure.token, tenure)).collect()
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

/// The longest time without a holder of `orders` and without a fault, in nanoseconds, between the first tenure and the
/// last.
pub(crate) fn longest_gap(ledger: &Ledger) -> u64 {
    let tenures = || ledger.tenures.iter().filter(|tenure| tenure.lock == Lock::Orders);
    let begin = tenures().map(|tenure| tenure.since).min().unwrap_or(0);
    let end = tenures().map(Tenure::end).max().unwrap_or(0);
    let held = tenures().map(|tenure| (tenure.since, tenure.end()));
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
            let (lock, mode) = (Lock::Orders, Mode::Exclusive);
            ledger.record(life, Event::Began { lock, mode, token, since, until });
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

        ledger.deleted(Deletion { lock: Lock::Orders, from: 22 * MS, to: u64::MAX, version: 8 });
        assert!(believed_once(&ledger).is_some(), "the deletion came after the tenure");
        assert!(forked(&ledger, &[2]).is_some(), "the write came before the deletion");

        ledger.deleted(Deletion { lock: Lock::Orders, from: 15 * MS, to: u64::MAX, version: 8 });
        assert_eq!(believed_once(&ledger), None);
        assert_eq!(forked(&ledger, &[2]), None);
        assert_eq!(excepted(&ledger), 1);
        assert_eq!(overran(&ledger), Overran { deleted: 1, ..Overran::default() });
    }

    #[test]
    fn a_tenure_ends_with_its_process_and_with_its_release() {
        let mut ledger = two([7, 10, 21], [9, 20, 30], [0, 1]);
        ledger.record(1, Event::Over { lock: Lock::Orders, token: 7, at: 19 * MS });
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
        ledger.record(2, Event::BeganLate { lock: Lock::Orders, mode: Mode::Exclusive, token: 7 });
        assert!(tokens_grow(&ledger).is_some());
    }

    /// A ledger of tenures of one lock, each of another process, with these modes, tokens and times (ms).
    fn held<const N: usize>(lock: Lock, tenures: [(Mode, u64, u64, u64); N]) -> Ledger {
        let mut ledger = Ledger::default();
        for (mode, token, since, until) in tenures {
            let life = ledger.start(0);
            let (since, until) = (since * MS, until * MS);
            ledger.record(life, Event::Began { lock, mode, token, since, until });
        }
        ledger
    }

    #[test]
    fn a_slot_is_held_once_and_different_slots_are_held_together() {
        let slots = |two, token| {
            let tenures = [(Mode::Slot(0), 7, 10, 30), (Mode::Slot(two), token, 20, 40)];
            held(Lock::Gpu, tenures)
        };
        assert_eq!(believed_once(&slots(1, 7)), None);
        assert_eq!(tokens_grow(&slots(1, 7)), None, "one write may grant both");
        assert_eq!(slots_in_range(&slots(1, 7)), None);
        assert_eq!(believed_once(&slots(0, 9)).unwrap().check, "C1");
        assert!(tokens_grow(&slots(0, 7)).is_some());
        assert!(tokens_grow(&slots(0, 6)).is_some());
        assert!(slots_in_range(&slots(2, 9)).is_some());
    }

    #[test]
    fn shared_holders_hold_together_but_not_with_an_exclusive_one() {
        let (shared, exclusive) = (Mode::Shared, Mode::Exclusive);
        let readers = [(shared, 8, 10, 30), (shared, 7, 20, 40)];
        let with = |last| held(Lock::Index, [readers[0], readers[1], last]);
        assert_eq!(believed_once(&with((exclusive, 9, 40, 50))), None);
        assert_eq!(tokens_grow(&with((exclusive, 9, 40, 50))), None);
        assert!(believed_once(&with((exclusive, 9, 39, 50))).is_some());
        assert!(tokens_grow(&with((exclusive, 8, 40, 50))).is_some(), "not above a shared token");
        let after = held(Lock::Index, [(exclusive, 9, 10, 20), (shared, 9, 20, 30)]);
        assert!(tokens_grow(&after).is_some(), "not above the exclusive token");
    }

    #[test]
    fn locks_do_not_exclude_each_other() {
        let mut ledger = held(Lock::Index, [(Mode::Exclusive, 7, 10, 30)]);
        let life = ledger.start(1);
        let (lock, mode, since, until) = (Lock::Orders, Mode::Exclusive, 20 * MS, 40 * MS);
        ledger.record(life, Event::Began { lock, mode, token: 6, since, until });
        assert_eq!(believed_once(&ledger), None);
        assert_eq!(tokens_grow(&ledger), None);
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
