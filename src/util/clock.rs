//! The monotonic clock of this process. Decisions use no other clock, except for the time between two starts of a lock,
//! which no safety depends on.

use std::{
    ops::{Add, Sub},
    time::{Duration, SystemTime},
};

use super::environment;

/// An instant on the monotonic clock of this process, in nanoseconds since an arbitrary origin.
///
/// A moment is never compared with the clock of another host, and never written into a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than every deadline.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `now` until `self`. Zero if `self` has passed.
    pub(crate) const fn since(self, now: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
    }

    /// The moment that was this long before.
    pub(crate) fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// The clock on which a handle measures its deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The clock of the host, including the time during which the machine was suspended (`CLOCK_BOOTTIME` on Linux).
    /// A laptop that wakes up therefore sees that its locks have expired.
    ///
    /// **Paused virtual machines.** If a hypervisor pauses the whole machine, the clock may or may not include the
    /// pause: that depends on the hypervisor.
    #[default]
    Host,
    /// The clock of the async runtime, for tests with `tokio::time::pause`.
    /// Do not use it outside tests, because it does not include the time during which the machine was suspended.
    Runtime,
}

impl Clock {
    /// The current moment. The library reads the clock for its decisions only here.
    pub(crate) fn now(self) -> Moment {
        match self {
            Self::Host => host(),
            Self::Runtime => runtime(),
        }
    }

    /// The time of day, for the time before which no other tenure of a lock may begin: no safety depends on it.
    ///
    /// On the clock of the runtime it follows paused time, as everything else does.
    pub(crate) fn wall(self) -> SystemTime {
        match self {
            Self::Host => environment::wall_clock(),
            Self::Runtime => environment::runtime_wall_clock(tokio_now()),
        }
    }
}

#[cfg(unix)]
fn host() -> Moment {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // On macOS this clock includes suspended time. On the other systems there is no such clock.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    let (secs, nanos) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    Moment(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn host() -> Moment {
    relative(std::time::Instant::now())
}

fn runtime() -> Moment {
    relative(tokio_now())
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn tokio_now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// The value of the origin: half of the range, because the clock of a paused runtime may start before the origin.
const MIDDLE: u64 = u64::MAX / 2;

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(MIDDLE)
}

fn relative(now: std::time::Instant) -> Moment {
    let origin = environment::origin();
    Moment(match now.checked_duration_since(origin) {
        Some(after) => MIDDLE.saturating_add(nanos(after)),
        None => MIDDLE.saturating_sub(nanos(origin.duration_since(now))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_runtime_clock_follows_paused_time() {
        let before = Clock::Runtime.now();
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(Clock::Runtime.now() - before, Duration::from_secs(86_400));
    }

    #[test]
    fn the_host_clock_never_goes_backwards() {
        let first = Clock::Host.now();
        assert!(Clock::Host.now() >= first);
        assert_eq!(first + Duration::MAX, Moment::NEVER, "the sum saturates and does not wrap");
    }
}
