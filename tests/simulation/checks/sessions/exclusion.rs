//! C1 for locks of sessions: no two guards that exclude each other are held at one true instant.
//!
//! The exceptions are those of `docs/sessions.md`: the record of a lock that a person or another elector changed, and a
//! session that was ended by hand, until their owner could learn of it.

use std::collections::BTreeMap;

use leasehold_test_support::Violation;

use super::line::Mode;
use crate::checks::tokens::Incarnation;

/// The time in which a process believed in a guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belief {
    /// `None` for an elector that is not ours.
    pub(crate) owner: Option<Incarnation>,
    pub(crate) mode: Mode,
    pub(crate) slot: Option<u16>,
    pub(crate) token: u64,
    pub(crate) since: u64,
    /// The end, which does not belong to it.
    pub(crate) until: u64,
}

/// Writes by hand, or by other electors.
#[derive(Debug, Default)]
pub(crate) struct HandMade {
    locks: BTreeMap<String, Vec<u64>>,
    sessions: BTreeMap<Incarnation, Vec<u64>>,
}

impl HandMade {
    pub(crate) fn lock(&mut self, name: &str, at: u64) {
        self.locks.entry(name.to_owned()).or_default().push(at);
    }

    pub(crate) fn session(&mut self, owner: Incarnation, at: u64) {
        self.sessions.entry(owner).or_default().push(at);
    }

    /// Whether such a write between the two times can explain a belief of this process that is wrong.
    pub(crate) fn explains(
        &self,
        name: &str,
        owner: Option<Incarnation>,
        from: u64,
        to: u64,
    ) -> bool {
        let lock = self.locks.get(name).into_iter().flatten();
        let session = owner.and_then(|owner| self.sessions.get(&owner)).into_iter().flatten();
        lock.chain(session).any(|&at| from <= at && at <= to)
    }
}

/// Finds two beliefs in one name that exclude each other. `excused` decides on the earlier one and the later one.
pub(crate) fn check(
    name: &str,
    beliefs: &mut [Belief],
    excused: impl Fn(&Belief, &Belief) -> bool,
) -> Option<Violation> {
    beliefs.sort_unstable_by_key(|belief| (belief.since, belief.token));
    let mut open: Vec<Belief> = Vec::new();
    for &belief in beliefs.iter() {
        open.retain(|before| before.until > belief.since);
        let conflict = open.iter().find(|before| {
            before.mode.conflicts(before.slot, (belief.mode, belief.slot))
                && belief.until > belief.since
                && !excused(before, &belief)
        });
        if let Some(before) = conflict {
            let what = format!("`{name}` is held twice: {before:?} and {belief:?}");
            return Some(Violation::new("C1", what));
        }
        open.push(belief);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belief(mode: Mode, slot: Option<u16>, since: u64, until: u64) -> Belief {
        Belief { owner: Some((0, 1)), mode, slot, token: since, since, until }
    }

    fn conflicts(one: Belief, two: Belief) -> bool {
        check("a", &mut [two, one], |_, _| false).is_some_and(|found| found.check == "C1")
    }

    #[test]
    fn guards_that_exclude_each_other_must_not_overlap() {
        let (exclusive, shared) = (Mode::Exclusive, Mode::Shared);
        let of = |mode, since, until| belief(mode, None, since, until);
        assert!(!conflicts(of(exclusive, 0, 5), of(exclusive, 5, 9)));
        assert!(conflicts(of(exclusive, 0, 6), of(exclusive, 5, 9)));
        assert!(conflicts(of(shared, 0, 6), of(exclusive, 5, 9)));
        assert!(!conflicts(of(shared, 0, 6), of(shared, 5, 9)));
        let slot = |slot, since| belief(Mode::Slots(2), Some(slot), since, since + 5);
        assert!(conflicts(slot(0, 0), slot(0, 1)) && !conflicts(slot(0, 0), slot(1, 1)));
    }

    #[test]
    fn a_write_by_hand_explains_its_own_lock_and_time_only() {
        let mut hand = HandMade::default();
        hand.lock("a", 10);
        hand.session((0, 1), 20);
        assert!(hand.explains("a", None, 5, 10) && hand.explains("b", Some((0, 1)), 5, 20));
        assert!(!hand.explains("b", None, 5, 30) && !hand.explains("a", Some((0, 2)), 11, 30));
    }
}
