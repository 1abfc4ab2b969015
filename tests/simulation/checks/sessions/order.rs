//! C4 for the record of a lock: each write keeps the order of the queue and the capacity of the lock. It passes over
//! ended sessions only, and a foreign holder only when its tenure is over.

use std::collections::BTreeSet;

use leasehold_test_support::Violation;

use super::line::{Claim, Line, Mode};

/// A write of a process with sessions.
#[derive(Debug)]
pub(crate) struct LockChange<'a> {
    pub(crate) name: &'a str,
    pub(crate) before: Line,
    pub(crate) after: Line,
    /// The sessions that were ever ended, by a write.
    pub(crate) ended: &'a BTreeSet<String>,
    /// The sessions of the writer.
    pub(crate) own: &'a BTreeSet<String>,
    /// Whether the request named the version and the uid of the record.
    pub(crate) conditional: bool,
    pub(crate) created: bool,
    /// The tenure of the foreign holder was unchanged for its ttl and a tenth, on the writer's clock.
    pub(crate) foreign_is_over: bool,
}

impl LockChange<'_> {
    pub(crate) fn check(&self) -> Option<Violation> {
        let what = self.mistake()?;
        let Self { name, before, after, .. } = self;
        Some(Violation::new("C4", format!("`{name}`: {what}: {before:?} became {after:?}")))
    }

    fn mistake(&self) -> Option<&'static str> {
        let (before, after) = (&self.before, &self.after);
        if !self.conditional && !self.created {
            return Some("a write without a condition");
        }
        if before.foreign.is_some() && after.foreign.is_none() && !self.foreign_is_over {
            return Some("a foreign holder is passed over too soon");
        }
        let may_go = |claim: &Claim| {
            self.own.contains(&claim.session) || self.ended.contains(&claim.session)
        };
        let holds = |line: &Line, claim: &Claim| line.holders.iter().any(|one| one.is(claim));
        let waits = |line: &Line, claim: &Claim| line.queue.iter().any(|one| one.is(claim));
        if before.holders.iter().any(|claim| !holds(after, claim) && !may_go(claim)) {
            return Some("a holder that is alive is passed over");
        }
        let joined = |line: &Line, claim: &Claim| line.joined.iter().any(|one| one.is(claim));
        let gone = |claim: &Claim| !after.claims().any(|one| one.is(claim));
        if before.waiting().any(|claim| gone(claim) && !may_go(claim)) {
            return Some("a waiter that is alive is passed over");
        }
        let known: Vec<_> = after.queue.iter().filter(|claim| waits(before, claim)).collect();
        let kept: Vec<_> = before.queue.iter().filter(|claim| waits(after, claim)).collect();
        if known.iter().zip(&kept).any(|(one, two)| !one.is(two)) {
            return Some("the order of the queue changed");
        }
        let new = after.queue.iter().position(|claim| !waits(before, claim));
        if new.is_some_and(|new| after.queue[new..].iter().any(|claim| waits(before, claim))) {
            return Some("a new claim is not at the end of the queue");
        }
        // A process that gives its claim up may find a late copy of it.
        if before.queue.iter().any(|claim| joined(after, claim) && !may_go(claim)) {
            return Some("a claim lost its place in the queue");
        }
        let mut others = after.claims().filter(|claim| !before.claims().any(|one| one.is(claim)));
        if others.any(|claim| !self.own.contains(&claim.session)) {
            return Some("a claim of another process was added");
        }
        // A queue that is not empty had its turn before any claim that was granted: no claim overtakes a waiter.
        let granted_after = |claim: &Claim, place: usize| {
            !holds(before, claim) && before.queue[..place].iter().any(|ahead| waits(after, ahead))
        };
        let place = |claim: &Claim| {
            before.queue.iter().position(|one| one.is(claim)).unwrap_or(before.queue.len())
        };
        if after.holders.iter().any(|claim| granted_after(claim, place(claim))) {
            return Some("a claim overtook a waiter");
        }
        over_capacity(after).or_else(|| {
            // A person who clears the holder leaves such a line, and a join that comes then cannot change it.
            let joins_only = before.holders == after.holders
                && before.queue == after.queue
                && before.foreign == after.foreign;
            let stuck = !joins_only
                && after.foreign.is_none()
                && after.queue.first().is_some_and(|head| after.fits(head));
            stuck.then_some("the head of the queue fits and was not granted")
        })
    }
}

/// More holders than the lock admits.
fn over_capacity(line: &Line) -> Option<&'static str> {
    let conflict = line.holders.iter().enumerate().any(|(at, one)| {
        let beyond =
            matches!(one.mode, Mode::Slots(slots) if one.slot.is_none_or(|slot| slot >= slots));
        beyond
            || line.holders[at + 1..]
                .iter()
                .any(|other| one.mode.conflicts(one.slot, (other.mode, other.slot)))
    });
    conflict.then_some("the record has more holders than the lock admits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(session: &str, mode: Mode, slot: Option<u16>) -> Claim {
        Claim { session: session.into(), nonce: session.into(), mode, slot }
    }

    fn line(holders: &[&str], queue: &[&str]) -> Line {
        let claims =
            |all: &[&str]| all.iter().map(|one| claim(one, Mode::Exclusive, None)).collect();
        Line { holders: claims(holders), queue: claims(queue), ..Line::default() }
    }

    fn found(before: Line, after: Line, own: &str, ended: &[&str]) -> Option<&'static str> {
        let ended: BTreeSet<_> = ended.iter().map(|&one| one.to_owned()).collect();
        let own = BTreeSet::from([own.to_owned()]);
        let (conditional, created, foreign_is_over) = (true, false, false);
        let name = "a";
        LockChange {
            name,
            before,
            after,
            ended: &ended,
            own: &own,
            conditional,
            created,
            foreign_is_over,
        }
        .mistake()
    }

    #[test]
    fn claims_releases_cancels_and_passing_over_keep_the_order() {
        let fine = |before, after, own: &str, ended: &[&str]| {
            assert_eq!(found(before, after, own, ended), None);
        };
        fine(line(&[], &[]), line(&["a"], &[]), "a", &[]);
        fine(line(&["a"], &["b"]), line(&["a"], &["b", "c"]), "c", &[]);
        fine(line(&["a"], &["b", "c"]), line(&["b"], &["c"]), "a", &[]);
        fine(line(&["a"], &["b", "c"]), line(&["a"], &["c"]), "b", &[]);
        fine(line(&["a"], &["b", "c"]), line(&["c"], &[]), "c", &["a", "b"]);
    }

    #[test]
    fn a_write_against_the_order_is_a_violation() {
        let wrong = |before, after, own: &str| assert!(found(before, after, own, &[]).is_some());
        wrong(line(&["a"], &["b"]), line(&["b"], &[]), "b");
        wrong(line(&["a"], &["b", "c"]), line(&["c"], &[]), "a");
        wrong(line(&["a"], &["b", "c"]), line(&["c"], &["b"]), "a");
        wrong(line(&["a"], &["b", "c"]), line(&["a"], &["c", "b"]), "c");
        wrong(line(&["a"], &["b"]), line(&["a"], &["c", "b"]), "c");
        wrong(line(&["a"], &["b"]), line(&[], &["b"]), "a");
        wrong(line(&[], &[]), line(&["b"], &[]), "a");
        wrong(line(&["a"], &[]), line(&["a", "b"], &[]), "b");
    }

    #[test]
    fn claims_that_joined_are_taken_into_the_queue_behind_the_others() {
        let joined = |mut line: Line, claims: &[&str]| {
            line.joined = claims.iter().map(|one| claim(one, Mode::Exclusive, None)).collect();
            line
        };
        let fine = |before, after, own: &str| assert_eq!(found(before, after, own, &[]), None);
        let wrong = |before, after, own: &str| assert!(found(before, after, own, &[]).is_some());
        let (held, waited) = (line(&["a"], &[]), line(&["a"], &["b"]));
        fine(held.clone(), joined(held.clone(), &["b"]), "b");
        wrong(held.clone(), joined(held.clone(), &["b"]), "c");
        fine(joined(held.clone(), &["b", "c"]), line(&["c"], &["b"]), "a");
        fine(joined(held.clone(), &["c"]), held.clone(), "c");
        wrong(joined(held.clone(), &["c"]), held, "b");
        fine(joined(waited.clone(), &["c"]), line(&["b"], &["c"]), "a");
        wrong(joined(waited.clone(), &["c"]), line(&["c"], &["b"]), "a");
        wrong(joined(waited.clone(), &["c"]), line(&["a"], &["c", "b"]), "a");
        wrong(waited, joined(line(&["a"], &[]), &["b"]), "a");
        let cleared = line(&[], &["b"]);
        fine(cleared.clone(), joined(cleared.clone(), &["c"]), "c");
        wrong(cleared, line(&[], &["b", "c"]), "c");
    }

    #[test]
    fn a_foreign_holder_is_respected() {
        let mut before = line(&[], &["b"]);
        before.foreign = Some("client-go".into());
        assert!(found(before, line(&["b"], &[]), "b", &[]).is_some());
    }

    #[test]
    fn slots_and_shared_holders_have_a_capacity() {
        let slots = |slots: &[u16]| {
            let holders =
                slots.iter().map(|slot| claim(&slot.to_string(), Mode::Slots(2), Some(*slot)));
            over_capacity(&Line { holders: holders.collect(), ..Line::default() })
        };
        assert_eq!(slots(&[0, 1]), None);
        assert!(slots(&[0, 0]).is_some() && slots(&[2]).is_some());
        let mixed = vec![claim("a", Mode::Shared, None), claim("b", Mode::Exclusive, None)];
        assert!(over_capacity(&Line { holders: mixed, ..Line::default() }).is_some());
    }
}
