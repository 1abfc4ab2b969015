//! What the library takes from the outside world besides its stores: random bits, and wall time.
//!
//! A simulation must be able to repeat a run, so it compiles this crate with [`simulated`](super) in place of this file.
//! Nothing else in the library reads a random source or a wall clock.

use std::time::Instant;
#[cfg(any(feature = "kubernetes", feature = "metrics"))]
use std::time::SystemTime;

use uuid::Uuid;

/// 64 random bits.
pub(crate) fn random() -> u64 {
    // Version 4 fixes four bits of the first half and two of the second, at different places.
    let (first, second) = Uuid::new_v4().as_u64_pair();
    first ^ second
}

/// The instant from which [`Clock::Runtime`](crate::Clock::Runtime) counts: the first reading in this process.
#[expect(clippy::disallowed_methods, reason = "the origin of the clock")]
pub(crate) fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Wall time, for people and foreign tools to read. Nothing is decided by it.
#[cfg(any(feature = "kubernetes", feature = "metrics"))]
#[expect(clippy::disallowed_methods, reason = "the only reading of the wall clock")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
