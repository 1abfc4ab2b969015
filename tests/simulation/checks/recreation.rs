//! C4, rule 10: a process that knew the holder of a deleted record waits a full ttl before it creates the record
//! again, because the holder may still be running.

use std::collections::BTreeMap;

use leasehold_test_support::Violation;

use super::tokens::Incarnation;
use crate::scenario::SEC;

/// The current holder of a record, or the last one before the record was deleted.
#[derive(Debug)]
struct KnownHolder {
    holder: String,
    /// The ttl in the record, in seconds.
    ttl: u64,
    /// The first version with this holder and this ttl.
    first_version: u64,
    /// When a read first showed this holder to each process. Later watch events add nothing.
    shown_to: BTreeMap<Incarnation, u64>,
    deleted_at: Option<u64>,
}

/// The creation of a record.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    pub(crate) name: &'a str,
    pub(crate) by: Incarnation,
    pub(crate) identity: &'a str,
    /// The rate of the creator's clock, in millionths of true time.
    pub(crate) rate: u64,
    /// When the request was sent.
    pub(crate) sent_at: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Recreation {
    known: BTreeMap<String, KnownHolder>,
    /// How many creations were made by a process that had to wait.
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

    /// The reply to a read reached a process, which knows this version from `at` on.
    pub(crate) fn shown(&mut self, incarnation: Incarnation, name: &str, version: u64, at: u64) {
        // A late reply may show a state that the process already knows to be over.
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
        // A request that was sent before the process knew may arrive at any time.
        let knew =
            known.shown_to.get(&creation.by).is_some_and(|shown_at| *shown_at < creation.sent_at);
        let at = known.deleted_at.filter(|_| knew)?;
        if known.holder.is_empty() || known.holder == creation.identity {
            return None;
        }
        self.waited_creations += 1;
        let waited = creation.sent_at.saturating_sub(at) * creation.rate / 1_000_000;
        // Clocks are read in whole milliseconds.
        let what = || {
            format!(
                "created only {waited} us after the deletion of a record held by {known:?}: {creation:?}"
            )
        };
        (waited < known.ttl * SEC - 2_000).then(|| Violation::new("C4", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` holds the record from version 7 on. `incarnation` has read that. The record is deleted at one second.
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
        assert!(found.is_some_and(|found| found.check == "C4"), "too soon");
        let found = deleted((1, 1)).created(&by("b", 900_000, 17 * SEC));
        assert!(found.is_some_and(|found| found.check == "C4"), "a slow clock");
    }

    #[test]
    fn a_process_that_did_not_know_the_holder_need_not_wait() {
        let soon = |identity| by(identity, 1_000_000, 2 * SEC);
        assert_eq!(deleted((1, 1)).created(&soon("a")), None, "the record was its own");
        assert_eq!(deleted((1, 0)).created(&soon("b")), None, "only an earlier incarnation knew");
        let mut recreation = deleted((1, 1));
        recreation.stored("x", 9, "c", 15);
        recreation.deleted("x", SEC);
        recreation.shown((1, 1), "x", 9, SEC);
        assert_eq!(recreation.created(&soon("b")), None, "the read arrived after the deletion");
        let sent_at = by("b", 1_000_000, SEC / 2);
        assert_eq!(deleted((1, 1)).created(&sent_at), None, "sent before it knew");
    }
}
