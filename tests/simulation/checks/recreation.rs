//! C4, of rule 10: whoever knew that somebody else held a record which was then deleted waits as long as that one may
//! believe in it, before creating it anew.

use std::collections::BTreeMap;

use super::{Violation, tokens::Incarnation};
use crate::scenario::SEC;

/// Who holds a record without a break, or last held it before it was deleted.
#[derive(Debug)]
struct KnownHolder {
    holder: String,
    /// Seconds that it says it lives.
    ttl: u64,
    /// The first version that said so.
    first_version: u64,
    /// Who was told so in answer to a read, and when. What a watch tells later says the same.
    shown_to: BTreeMap<Incarnation, u64>,
    deleted_at: Option<u64>,
}

/// A record that is created.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    pub(crate) name: &'a str,
    pub(crate) by: Incarnation,
    pub(crate) identity: &'a str,
    /// The rate of its clock, in parts of a million.
    pub(crate) rate: u64,
    /// When it was sent.
    pub(crate) sent_at: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Recreation {
    known: BTreeMap<String, KnownHolder>,
    /// How many were created by somebody who had to wait.
    pub(crate) waited_creations: u64,
}

impl Recreation {
    /// A state of the record was stored.
    pub(crate) fn stored(&mut self, name: &str, version: u64, holder: &str, ttl: u64) {
        let same = |known: &KnownHolder| known.holder == holder && known.ttl == ttl;
        if self.known.get(name).is_some_and(|known| known.deleted_at.is_none() && same(known)) {
            return;
        }
        let (holder, shown_to) = (holder.to_owned(), BTreeMap::new());
        let known = KnownHolder { holder, ttl, first_version: version, shown_to, deleted_at: None };
        self.known.insert(name.to_owned(), known);
    }

    /// An answer to a read reached a process, which knows of it from `at` on.
    pub(crate) fn shown(&mut self, incarnation: Incarnation, name: &str, version: u64, at: u64) {
        // What comes late may be known to have passed.
        let known = self.known.get_mut(name).filter(|known| known.deleted_at.is_none());
        if let Some(known) = known.filter(|known| known.first_version <= version) {
            known.shown_to.entry(incarnation).or_insert(at);
        }
    }

    pub(crate) fn deleted(&mut self, name: &str, at: u64) {
        if let Some(known) = self.known.get_mut(name) {
            known.deleted_at = Some(at);
        }
    }

    pub(crate) fn created(&mut self, creation: &Creation<'_>) -> Option<Violation> {
        let known = self.known.remove(creation.name)?;
        // Sent before it knew, it may arrive whenever the network likes.
        let knew =
            known.shown_to.get(&creation.by).is_some_and(|shown_at| *shown_at < creation.sent_at);
        let at = known.deleted_at.filter(|_| knew)?;
        if known.holder.is_empty() || known.holder == creation.identity {
            return None;
        }
        self.waited_creations += 1;
        let waited = creation.sent_at.saturating_sub(at) * creation.rate / 1_000_000;
        // Clocks are read in whole milliseconds.
        let what =
            || format!("created {waited} us after it was deleted under {known:?}: {creation:?}");
        (waited < known.ttl * SEC - 2_000).then(|| Violation::new("C4", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` has the record from version 7 on, of which `life` was told; it is deleted at one second.
    fn deleted(incarnation: Incarnation) -> Recreation {
        let mut recreation = Recreation::default();
        recreation.stored("x", 7, "a", 15);
        recreation.shown(incarnation, "x", 7, SEC / 2);
        recreation.stored("x", 8, "a", 15);
        recreation.deleted("x", SEC);
        recreation
    }

    fn by(identity: &str, rate: u64, sent_at: u64) -> Creation<'_> {
        Creation { name: "x", by: (1, 1), identity, rate, sent_at }
    }

    #[test]
    fn a_creation_a_ttl_after_the_deletion_is_no_violation() {
        let mut recreation = deleted((1, 1));
        assert_eq!(recreation.created(&by("b", 1_000_000, 16 * SEC)), None);
        assert_eq!(recreation.waited_creations, 1);
    }

    #[test]
    fn a_creation_within_a_ttl_of_the_deletion_is_a_violation() {
        let found = deleted((1, 1)).created(&by("b", 1_000_000, 15 * SEC));
        assert!(found.is_some(), "too soon");
        let found = deleted((1, 1)).created(&by("b", 900_000, 17 * SEC));
        assert!(found.is_some(), "a slow clock");
    }

    #[test]
    fn a_process_that_did_not_know_the_holder_need_not_wait() {
        let soon = |identity| by(identity, 1_000_000, 2 * SEC);
        assert_eq!(deleted((1, 1)).created(&soon("a")), None, "its own");
        assert_eq!(deleted((1, 0)).created(&soon("b")), None, "a former incarnation knew");
        let mut recreation = deleted((1, 1));
        recreation.stored("x", 9, "c", 15);
        recreation.deleted("x", SEC);
        recreation.shown((1, 1), "x", 9, SEC);
        assert_eq!(recreation.created(&soon("b")), None, "told of it too late");
        let sent_at = by("b", 1_000_000, SEC / 2);
        assert_eq!(deleted((1, 1)).created(&sent_at), None, "sent before it was told");
    }
}
