//! The outside world of a simulation: compiled in place of `environment.rs` where `leasehold_simulation` is set.
//!
//! Only the unpublished package of the simulation sets it. A program must never: processes that share a seed would
//! take each other's writes for their own.

use std::{
    cell::{Cell, RefCell},
    time::{Instant, SystemTime},
};

use fastrand::Rng;

thread_local! {
    static RANDOM: RefCell<Rng> = const { RefCell::new(Rng::with_seed(0)) };
    static CLOCKS: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
}

/// Makes this thread repeatable: random bits come from `seed`, [`Clock::Runtime`](crate::Clock::Runtime) counts from
/// `origin`, and the wall clock shows `wall`. Holds until the next call on this thread.
pub fn simulate(seed: u64, origin: Instant, wall: SystemTime) {
    RANDOM.set(Rng::with_seed(seed));
    CLOCKS.set(Some((origin, wall)));
}

/// The next 64 bits from the seed.
pub(crate) fn random() -> u64 {
    RANDOM.with_borrow_mut(|random| random.u64(..))
}

pub(crate) fn origin() -> Instant {
    clocks().0
}

pub(crate) fn wall_clock() -> SystemTime {
    clocks().1
}

pub(crate) fn runtime_wall_clock(_: Instant) -> SystemTime {
    clocks().1
}

fn clocks() -> (Instant, SystemTime) {
    CLOCKS.get().expect("`simulate` is called before the library is used on this thread")
}
