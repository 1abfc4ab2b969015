//! The host's clock, as the library reads it: it keeps running while the machine is suspended. And times for people.

use std::time::{Duration, SystemTime};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use rustix::time::{ClockId, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The time since an origin that all processes of this host share.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(CLOCK);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(now.tv_sec.cast_unsigned(), nanos)
}

/// A time for people, rounded up to seconds.
pub(crate) fn in_seconds(time: SystemTime) -> String {
    let round = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    let time = Timestamp::try_from(time).unwrap_or_default();
    time.round(round).unwrap_or(time).to_string()
}
