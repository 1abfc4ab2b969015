//! Which states of the model are the same state.
//!
//! Nothing in the machines depends on the date, and of two versions only the order counts. So two states are the same
//! if they differ only in when they are, and in how many writes came before. Without that, time and heartbeats would
//! make endless new states. The derived hashes of the machines go through [`Canonical`], which replaces
//!
//! - a moment by the number of ticks between it and the present on the clock of its process. A moment that is longer
//!   ago than any time that a machine waits is the same as the beginning of time;
//! - a version by its rank among all versions in the state;
//! - a count of failures or conflicts by at most [`MANY`], because more of them only change pauses that are shorter
//!   than a tick. A count of sights is left out, because only single tries use it, and the model has none.

use std::hash::Hasher;

use crate::util::clock::Moment;

/// Numbers from here on are nonces.
pub(super) const NONCES: u64 = 1 << 32;
/// Numbers from here on are versions.
pub(super) const VERSIONS: u64 = 1 << 40;
/// Numbers from here on are moments.
pub(super) const MOMENTS: u64 = 1 << 60;

/// The first failure is treated in another way than the second one.
const MANY: u32 = 2;

/// Collects what a state hashes.
pub(super) struct Canonical {
    values: Vec<u64>,
    /// The places of versions among the values.
    versions: Vec<(u64, usize)>,
    now: u64,
    tick: u64,
    /// So many ticks ago is the same as never.
    oldest: u64,
}

impl Canonical {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::with_capacity(512),
            versions: Vec::with_capacity(64),
            now: MOMENTS,
            tick: 1,
            oldest: 0,
        }
    }

    /// The moments that follow are those of a clock that shows `now`, and `tick` nanoseconds more after a tick.
    /// `oldest` ticks ago is the same as never.
    pub(super) const fn on_clock(&mut self, now: Moment, tick: u64, oldest: u64) {
        (self.now, self.tick, self.oldest) = (now.as_nanos(), tick, oldest);
    }

    pub(super) fn into_values(mut self) -> Vec<u64> {
        self.versions.sort_unstable();
        let (mut rank, mut last) = (0, 0);
        for &(version, place) in &self.versions {
            rank += u64::from(version != last);
            last = version;
            self.values[place] = rank;
        }
        self.values
    }

    /// In ticks, which are at least an hour. Pauses of less than a second pass within a tick.
    fn relative(&self, moment: u64) -> u64 {
        const PRESENT: u64 = 1 << 20;
        if moment > self.now {
            return PRESENT + (moment - self.now).div_ceil(self.tick);
        }
        let ago = (self.now - moment) / self.tick;
        if ago >= self.oldest { 0 } else { PRESENT - ago }
    }
}

impl Hasher for Canonical {
    fn finish(&self) -> u64 {
        unreachable!("the values are taken instead")
    }

    fn write(&mut self, bytes: &[u8]) {
        // Names and counts: a hash of them does.
        let mut folded = 0_u64;
        for chunk in bytes.chunks(8) {
            let mut value = [0; 8];
            value[..chunk.len()].copy_from_slice(chunk);
            let value = u64::from_le_bytes(value);
            folded = (folded.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        self.values.push(folded);
    }

    fn write_u32(&mut self, number: u32) {
        self.values.push(number.min(MANY).into());
    }

    fn write_u64(&mut self, number: u64) {
        let value = match number {
            u64::MAX => number,
            MOMENTS.. => self.relative(number),
            VERSIONS.. => {
                self.versions.push((number, self.values.len()));
                number
            }
            NONCES.. => number,
            _ => 0,
        };
        self.values.push(value);
    }
}
