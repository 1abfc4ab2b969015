//! The kinds of faults, and how often each was met with: one that never was proves nothing.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    LostRequest,
    LostReply,
    /// Carried out after its sender gave up.
    Zombie,
    Slow,
    Refused,
    Throttled,
    /// An error after it was carried out.
    ErrorAfter,
    /// An error, and it was not carried out.
    ErrorBefore,
    /// Sent again by the client's own library: a conflict with itself.
    SilentRetry,
    StaleRead,
    /// A lagging server does not know the record yet, or still knows that it was gone.
    StaleAbsence,
    NewsLate,
    NewsLost,
    NewsTwice,
    WatchReset,
    WatchForbidden,
    ShortPause,
    /// For longer than a time to live.
    LongPause,
    Crash,
    Partition,
    /// The wall clock jumps.
    WallJump,
    /// An edit beside the tenure.
    Edit,
    Preferred,
    /// A wait is given up.
    Cancel,
    /// From hand to hand in one process.
    Pass,
    Twin,
    ForeignElector,
    Deleted,
    /// Another holder is written in by hand.
    Seized,
    /// The holder is removed by hand.
    FreedByHand,
    /// The time to live is changed by hand.
    TtlByHand,
    /// Everything fails fast for a while.
    Outage,
    /// Reads are answered, writes fail, for a while: a backend without a quorum.
    ReadOnly,
    /// Reads are answered by a server that has stopped to follow, for a while.
    Lag,
}

impl Fault {
    pub(super) const ALL: [Self; 34] = [
        Self::LostRequest,
        Self::LostReply,
        Self::Zombie,
        Self::Slow,
        Self::Refused,
        Self::Throttled,
        Self::ErrorAfter,
        Self::ErrorBefore,
        Self::SilentRetry,
        Self::StaleRead,
        Self::StaleAbsence,
        Self::NewsLate,
        Self::NewsLost,
        Self::NewsTwice,
        Self::WatchReset,
        Self::WatchForbidden,
        Self::ShortPause,
        Self::LongPause,
        Self::Crash,
        Self::Partition,
        Self::WallJump,
        Self::Edit,
        Self::Preferred,
        Self::Cancel,
        Self::Pass,
        Self::Twin,
        Self::ForeignElector,
        Self::Deleted,
        Self::Seized,
        Self::FreedByHand,
        Self::TtlByHand,
        Self::Outage,
        Self::ReadOnly,
        Self::Lag,
    ];
}

/// How often each was met with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    pub(super) const NONE: Self = Self([0; Fault::ALL.len()]);

    pub(super) fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub(super) fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
