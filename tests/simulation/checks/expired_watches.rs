//! C6: after the server reports that a version expired, the process lists before it watches again.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_test_support::Violation;

use super::tokens::Incarnation;

/// The process that watches, and the selectors of the watch.
type WatchId = (Incarnation, String);

#[derive(Debug, Default)]
pub(crate) struct ExpiredWatches {
    listed: BTreeMap<WatchId, u64>,
    expired: BTreeSet<WatchId>,
}

impl ExpiredWatches {
    pub(crate) fn listed(&mut self, watch: WatchId, at: u64) {
        self.expired.remove(&watch);
        self.listed.insert(watch, at);
    }

    /// The server reported an expired version to a watch that was sent at `sent_at`. This is ignored if the process
    /// has listed since, because then it has given up that watch.
    pub(crate) fn expired(&mut self, watch: WatchId, sent_at: u64) {
        if self.listed.get(&watch).is_none_or(|&listed| listed <= sent_at) {
            self.expired.insert(watch);
        }
    }

    /// Checks a new watch.
    pub(crate) fn check(&self, watch: &WatchId) -> Option<Violation> {
        let what = || format!("{watch:?} watches again without a list after its version expired");
        self.expired.contains(watch).then(|| Violation::new("C6", what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_from_an_expired_version_without_a_list_is_a_violation() {
        let watch = || ((0, 1), "metadata.name=a".to_owned());
        let mut expired_watches = ExpiredWatches::default();
        expired_watches.listed(watch(), 1);
        assert_eq!(expired_watches.check(&watch()), None);
        expired_watches.expired(watch(), 2);
        assert_eq!(expired_watches.check(&watch()).unwrap().check, "C6");
        expired_watches.listed(watch(), 3);
        expired_watches.expired(watch(), 2);
        assert_eq!(
            expired_watches.check(&watch()),
            None,
            "the process listed after it sent the watch that expired"
        );
    }
}
