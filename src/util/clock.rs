//! The process's own clock: the only one that decisions are made on.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

use super::environment;

/// An instant on this process's own monotonic clock, in nanoseconds since an arbitrary origin.
///
/// Never compared with another host's clock, never written into a record.
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

    /// How long until `self` when it is `now`; zero once it has passed.
    pub(crate) const fn since(self, now: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
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

/// Which clock a handle measures its deadlines on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The host's clock that goes on while the machine is suspended (`CLOCK_BOOTTIME` on Linux),
    /// so that a laptop that wakes up knows that it lost. Whether it goes on while a hypervisor has stopped the
    /// whole machine is for the hypervisor to say.
    #[default]
    Host,
    /// The clock of the async runtime, which `tokio::time::pause` stops: for tests in paused time.
    /// Outside a test it stands still while the machine is suspended.
    Runtime,
}

impl Clock {
    /// Now. The one place where the library reads a clock to decide on.
    pub(crate) fn now(self) -> Moment {
        match self {
            Self::Host => host(),
            Self::Runtime => runtime(),
        }
    }
}

#[cfg(unix)]
fn host() -> Moment {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // macOS counts suspended time here; elsewhere this is the nearest there is.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    let (secs, nanos) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    Moment(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "the clock itself")]
fn host() -> Moment {
    relative(std::time::Instant::now())
}

#[expect(clippy::disallowed_methods, reason = "the clock itself")]
fn runtime() -> Moment {
    relative(tokio::time::Instant::now().into_std())
}

/// The value of the origin. Half of the range, because a paused runtime's clock may start before the origin.
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
    fn the_host_clock_does_not_go_back() {
        let first = Clock::Host.now();
        assert!(Clock::Host.now() >= first);
        assert_eq!(first + Duration::MAX, Moment::NEVER, "saturates instead of wrapping");
    }
}
