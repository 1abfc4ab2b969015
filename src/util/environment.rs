//! What the library takes from the outside world besides its stores: random bits, and wall time.
//!
//! A simulation must be able to repeat a run, so it compiles this crate with [`simulated`](super) in place of this file.
//! Nothing else in the library reads a random source or a wall clock.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime},
};

/// 64 random bits from the operating system.
///
/// Not from a generator in this process, and not from `uuid`, which uses one if any dependency enables its feature
/// `fast-rng`: a copy of the process has a copy of the generator, and would draw the same bits.
pub(crate) fn random() -> u64 {
    getrandom::u64().expect("the operating system has a source of random numbers")
}

/// The instant from which [`Clock::Runtime`](crate::Clock::Runtime) counts: the first reading in this process.
pub(crate) fn origin() -> Instant {
    origins().0
}

/// What a wall clock shows that goes on with the clock of the runtime from the first reading in this process on.
pub(crate) fn runtime_wall_clock(now: Instant) -> SystemTime {
    let (origin, wall) = origins();
    match now.checked_duration_since(origin) {
        Some(after) => wall + after,
        None => wall - origin.duration_since(now),
    }
}

#[expect(clippy::disallowed_methods, reason = "the origin of the clock")]
fn origins() -> (Instant, SystemTime) {
    static ORIGIN: OnceLock<(Instant, SystemTime)> = OnceLock::new();
    *ORIGIN.get_or_init(|| (Instant::now(), wall_clock()))
}

/// Wall time, for people and foreign tools to read. It decides only when a credential is fetched again, and whether a
/// free lock may be acquired yet after [`LockOptions::at_least`](crate::LockOptions::at_least).
#[expect(clippy::disallowed_methods, reason = "the only reading of the wall clock")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
