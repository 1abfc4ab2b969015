//! What a process of the group tells the runner, one line of JSON for each event.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// How an update of a file is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fence {
    /// Read, pause, write: the lock was taken once, and nobody asks again.
    Absent,
    /// `check()` is the last thing before the rename that makes the update.
    Check,
    /// The resource itself refuses tokens below the highest that it has seen, from the first read on.
    Token,
}

impl Fence {
    pub(crate) const ALL: [Self; 3] = [Self::Absent, Self::Check, Self::Token];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Where the updates are kept, in the directory of the run.
    pub(crate) const fn file(self) -> &'static str {
        ["absent", "check", "token"][self.index()]
    }
}

/// Times are nanoseconds of [`now`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// `lock` returned a guard that is held.
    Began { token: u64, since: u64, until: u64 },
    /// `lock` returned a guard that was over already: nobody ever believed in it.
    BeganLate { token: u64 },
    /// The deadline of the tenure, as last asked for.
    Until { token: u64, until: u64 },
    /// The tenure is about to be given back, or was seen to be lost.
    Over { token: u64, at: u64 },
    /// An update is about to be written that was made from the state after the update `base`.
    Tries { fence: Fence, id: u64, base: u64, token: u64 },
    /// The update was written; `until` was the deadline just before.
    Acknowledged { fence: Fence, id: u64, at: u64, until: u64 },
    /// By `check()` or by the resource.
    Refused { fence: Fence },
    /// `lock` or `release` failed.
    Failed { what: String },
    /// It kills itself, in the middle of its work.
    Crashes,
}

/// The clock of the machine that guards go by, which all processes share, in nanoseconds.
pub(crate) fn now() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
