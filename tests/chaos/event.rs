//! Events that a member reports to the runner, one line of JSON each.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How an update of a file is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fence {
    /// Read, pause, write, without a check that the lock is still held.
    Absent,
    /// `check()` right before the rename that makes the update.
    Check,
    /// The resource refuses tokens below the highest that it has seen in any read or write.
    Token,
}

impl Fence {
    pub(crate) const ALL: [Self; 3] = [Self::Absent, Self::Check, Self::Token];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The name of the file with the updates, in the directory of the run.
    pub(crate) const fn file(self) -> &'static str {
        ["absent", "check", "token"][self.index()]
    }
}

/// Times are nanoseconds of [`now`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// `lock` returned a guard that is held.
    Began { token: u64, since: u64, until: u64 },
    /// `lock` returned a guard that was lost already, so the member never believed that it held.
    BeganLate { token: u64 },
    /// A new deadline of the tenure.
    Until { token: u64, until: u64 },
    /// The member is about to release the lock, or has seen that it is lost.
    Over { token: u64, at: u64 },
    /// The member is about to write an update, made from the state after the update `base`.
    Tries { fence: Fence, id: u64, base: u64, token: u64 },
    /// The update was written; `until` was the deadline right before.
    Acknowledged { fence: Fence, id: u64, at: u64, until: u64 },
    /// `check()` or the resource refused an update.
    Refused { fence: Fence },
    /// `lock` or `release` failed.
    Failed { what: String },
    /// The member kills itself in the middle of its work.
    Crashes,
}

/// The time on the clock that guards use, in nanoseconds. All processes of the machine share it.
pub(crate) fn now() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
