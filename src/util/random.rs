//! Chance, the origin of the runtime's clock, and the wall clock: what a simulation must be able to repeat.

use uuid::Uuid;

#[cfg(feature = "simulation")]
use crate::bugs::{Bug, seeded};

/// 64 random bits.
pub(crate) fn draw() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(bits) = scene::draw().filter(|_| !seeded(Bug::ChanceBesideSeed)) {
        return bits;
    }
    Uuid::new_v4().as_u64_pair().0
}

#[cfg(feature = "simulation")]
pub(crate) mod scene {
    use std::{
        cell::Cell,
        time::{Duration, Instant, SystemTime},
    };

    thread_local! {
        static SCENE: Cell<Option<Scene>> = const { Cell::new(None) };
        static SUSPENDED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    #[derive(Clone, Copy)]
    struct Scene {
        state: u64,
        origin: Instant,
        #[cfg_attr(
            not(feature = "kubernetes"),
            expect(dead_code, reason = "nothing writes wall time")
        )]
        wall: SystemTime,
    }

    pub(super) fn draw() -> Option<u64> {
        let mut scene = SCENE.get()?;
        scene.state = scene.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        SCENE.set(Some(scene));
        let x = (scene.state ^ (scene.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(x ^ (x >> 31))
    }

    /// What the runtime's clock counts from on this thread, if that was said.
    pub(crate) fn origin() -> Option<Instant> {
        SCENE.get().map(|scene| scene.origin)
    }

    /// What the wall clock shows on this thread, if that was said.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn wall() -> Option<SystemTime> {
        SCENE.get().map(|scene| scene.wall)
    }

    /// For how long, of the time since the origin, the host was suspended on this thread.
    pub(crate) fn asleep() -> Duration {
        SUSPENDED.get()
    }

    /// From here on the host on this thread has been suspended so long in all.
    #[doc(hidden)]
    pub fn suspended(all: Duration) {
        SUSPENDED.set(all);
    }

    /// From here on this thread draws its chance from `seed`, [`Clock::Runtime`](crate::Clock::Runtime) counts from
    /// `origin`, and it is `wall` o'clock: for the simulation of the whole library, which must repeat. Never call it
    /// anywhere else: processes that share a seed take each other's writes for their own.
    #[doc(hidden)]
    pub fn simulate(seed: u64, origin: Instant, wall: SystemTime) {
        SCENE.set(Some(Scene { state: seed, origin, wall }));
    }
}
