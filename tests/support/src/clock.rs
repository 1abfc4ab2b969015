//! The clock that guards use, for processes that compare their times.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time on the clock that guards use, in nanoseconds. All processes of the machine share it.
pub fn now() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// A lower bound of the deadline of a guard, on the clock of [`now`], if the guard is held now. `remaining` is how long it
/// is held from now on.
pub fn deadline(remaining: impl Fn() -> Duration) -> Option<u64> {
    loop {
        let before = now();
        let left = remaining();
        if left.is_zero() {
            return None;
        }
        // Measure again after a pause, because the sum would be too early by the length of that pause.
        if now() - before < 1_000_000 {
            return Some(
                before + u64::try_from(left.as_nanos()).expect("nanoseconds of some years"),
            );
        }
    }
}
