//! C4, of rule 10: whoever knew that somebody else held a record which was then deleted waits as long as that one may
//! believe in it, before creating it anew.

use std::collections::BTreeMap;

use super::{Violation, tokens::Life};
use crate::scenario::SEC;

/// Who holds a record without a break, or last held it before it was deleted.
#[derive(Debug)]
struct Held {
    holder: String,
    /// Seconds that it says it lives.
    lives: u64,
    /// The first version that said so.
    from: u64,
    /// Who was told so in answer to a read, and when. What a watch tells later says the same.
    told: BTreeMap<Life, u64>,
    deleted: Option<u64>,
}

/// A record that is created.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    pub(crate) name: &'a str,
    pub(crate) by: Life,
    pub(crate) me: &'a str,
    /// The rate of its clock, in parts of a million.
    pub(crate) rate: u64,
    /// When it was sent.
    pub(crate) sent: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Recreation {
    held: BTreeMap<String, Held>,
    /// How many were created by somebody who had to wait.
    pub(crate) waited_for: u64,
}

impl Recreation {
    /// A state of the record was stored.
    pub(crate) fn stored(&mut self, name: &str, version: u64, holder: &str, lives: u64) {
        let same = |held: &Held| held.holder == holder && held.lives == lives;
        if self.held.get(name).is_some_and(|held| held.deleted.is_none() && same(held)) {
            return;
        }
        let (holder, told) = (holder.to_owned(), BTreeMap::new());
        let held = Held { holder, lives, from: version, told, deleted: None };
        self.held.insert(name.to_owned(), held);
    }

    /// An answer to a read reached a process, which knows of it from `at` on.
    pub(crate) fn told(&mut self, life: Life, name: &str, version: u64, at: u64) {
        // What comes late may be known to have passed.
        let held = self.held.get_mut(name).filter(|held| held.deleted.is_none());
        if let Some(held) = held.filter(|held| held.from <= version) {
            held.told.entry(life).or_insert(at);
        }
    }

    pub(crate) fn deleted(&mut self, name: &str, at: u64) {
        if let Some(held) = self.held.get_mut(name) {
            held.deleted = Some(at);
        }
    }

    pub(crate) fn created(&mut self, creation: &Creation<'_>) -> Option<Violation> {
        let held = self.held.remove(creation.name)?;
        // Sent before it knew, it may arrive whenever the network likes.
        let knew = held.told.get(&creation.by).is_some_and(|told| *told < creation.sent);
        let at = held.deleted.filter(|_| knew)?;
        if held.holder.is_empty() || held.holder == creation.me {
            return None;
        }
        self.waited_for += 1;
        let waited = creation.sent.saturating_sub(at) * creation.rate / 1_000_000;
        // Clocks are read in whole milliseconds.
        let what =
            || format!("created {waited} us after it was deleted under {held:?}: {creation:?}");
        (waited < held.lives * SEC - 2_000).then(|| Violation::new("C4", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` has the record from version 7 on, of which `life` was told; it is deleted at one second.
    fn deleted(life: Life) -> Recreation {
        let mut recreation = Recreation::default();
        recreation.stored("x", 7, "a", 15);
        recreation.told(life, "x", 7, SEC / 2);
        recreation.stored("x", 8, "a", 15);
        recreation.deleted("x", SEC);
        recreation
    }

    fn by(me: &str, rate: u64, sent: u64) -> Creation<'_> {
        Creation { name: "x", by: (1, 1), me, rate, sent }
    }

    #[test]
    fn whoever_knew_its_holder_may_create_it_after_its_time_to_live() {
        let mut recreation = deleted((1, 1));
        assert_eq!(recreation.created(&by("b", 1_000_000, 16 * SEC)), None);
        assert_eq!(recreation.waited_for, 1);
    }

    #[test]
    fn to_create_too_soon_is_found() {
        let found = deleted((1, 1)).created(&by("b", 1_000_000, 15 * SEC));
        assert!(found.is_some(), "too soon");
        let found = deleted((1, 1)).created(&by("b", 900_000, 17 * SEC));
        assert!(found.is_some(), "a slow clock");
    }

    #[test]
    fn whoever_did_not_know_need_not_wait() {
        let soon = |me| by(me, 1_000_000, 2 * SEC);
        assert_eq!(deleted((1, 1)).created(&soon("a")), None, "its own");
        assert_eq!(deleted((1, 0)).created(&soon("b")), None, "a former life knew");
        let mut recreation = deleted((1, 1));
        recreation.stored("x", 9, "c", 15);
        recreation.deleted("x", SEC);
        recreation.told((1, 1), "x", 9, SEC);
        assert_eq!(recreation.created(&soon("b")), None, "told of it too late");
        let sent = by("b", 1_000_000, SEC / 2);
        assert_eq!(deleted((1, 1)).created(&sent), None, "sent before it was told");
    }
}
