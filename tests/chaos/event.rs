//! Events that a member reports to the runner, one line of JSON each.

pub(crate) use leasehold_test_support::clock::now;
use serde::{Deserialize, Serialize};

/// The locks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Lock {
    /// Exclusive: all members take it, with and without a session.
    Orders,
    /// With [`SLOTS`] slots: members with a session take it.
    Gpu,
    /// Shared or exclusive: members with a session take it.
    Index,
}

/// The slots of [`Lock::Gpu`].
pub(crate) const SLOTS: u16 = 2;

impl Lock {
    pub(crate) const ALL: [Self; 3] = [Self::Orders, Self::Gpu, Self::Index];

    pub(crate) const fn name(self) -> &'static str {
        ["orders", "gpu", "index"][self as usize]
    }
}

/// How a tenure shares its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
    Slot(u16),
}

impl Mode {
    /// Two tenures of one lock must not be held together.
    pub(crate) const fn conflicts(self, other: Self) -> bool {
        match (self, other) {
            (Self::Shared, Self::Shared) => false,
            (Self::Slot(one), Self::Slot(two)) => one == two,
            _ => true,
        }
    }
}

/// How an update of a file is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fence {
    /// Read, pause, write, without a check that the lock is still held.
    Absent,
    /// `check()` right before the rename that makes the update.
    Check,
    /// The resource refuses tokens below the highest that it has seen in any read or write.
    Token,
    /// The same for the holder of a slot: each slot has a file and a highest token of its own.
    Slot,
    /// The same for an exclusive holder of a lock that others share.
    Index,
}

impl Fence {
    pub(crate) const ALL: [Self; 5] =
        [Self::Absent, Self::Check, Self::Token, Self::Slot, Self::Index];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The names of the files with the updates, in the directory of the run.
    pub(crate) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Absent => &["absent"],
            Self::Check => &["check"],
            Self::Token => &["token"],
            Self::Slot => &["slot-0", "slot-1"],
            Self::Index => &["index"],
        }
    }
}

/// Times are nanoseconds of [`now`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// `lock` returned a guard that is held.
    Began { lock: Lock, mode: Mode, token: u64, since: u64, until: u64 },
    /// `lock` returned a guard that was lost already, so the member never believed that it held.
    BeganLate { lock: Lock, mode: Mode, token: u64 },
    /// A new deadline of the tenure.
    Until { lock: Lock, token: u64, until: u64 },
    /// The member is about to release the lock, or has seen that it is lost.
    Over { lock: Lock, token: u64, at: u64 },
    /// The member is about to write an update, made from the state after the update `base`.
    Tries { fence: Fence, id: u64, base: u64, token: u64 },
    /// The update was written; `until` was the deadline right before.
    Acknowledged { fence: Fence, id: u64, at: u64, until: u64 },
    /// `check()` or the resource refused an update.
    Refused { fence: Fence },
    /// A shared holder has read the same file twice. `same` is false if it changed in between.
    ReadTwice { same: bool },
    /// `lock` or `release` failed.
    Failed { what: String },
    /// The member kills itself in the middle of its work.
    Crashes,
}
