//! One record as this process observes it.

use crate::{store::Entry, util::clock::Moment};

/// A record in its last seen version.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    /// When this process first saw this version.
    pub(crate) since: Moment,
    /// The first list of this process had this version already.
    pub(crate) first: bool,
    /// Unchanged for its whole time to live, confirmed by a fresh list.
    pub(crate) expired: bool,
}

impl Seen {
    /// A record of a first or only list.
    pub(crate) const fn listed(entry: Entry, since: Moment) -> Self {
        Self { entry, since, first: true, expired: false }
    }

    /// A version that was written after the first list.
    pub(crate) const fn changed(entry: Entry, since: Moment) -> Self {
        Self { entry, since, first: false, expired: false }
    }

    /// Whether a process holds the record and is alive, as far as this process can know.
    ///
    /// What a list shows may be left over from a process that died long before. The list can judge only by the time
    /// that is written in the record: two ttls, the second for clocks that differ. A version that was written after
    /// the list is alive until it expires on the clock of this process, whatever its time says.
    pub(crate) fn is_alive(&self) -> bool {
        let found = &self.entry.found;
        let left_over = || {
            self.first && found.age.is_some_and(|age| age > found.record.lives().saturating_mul(2))
        };
        !found.record.is_free() && !self.expired && !left_over()
    }

    /// When it expires if it is not renewed; never, if it is free.
    pub(crate) fn expiry(&self) -> Moment {
        let held = !self.expired && !self.entry.found.record.is_free();
        if held { self.since + self.entry.found.record.lives() } else { Moment::NEVER }
    }
}
