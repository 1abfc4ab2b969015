//! The rate limit for Events: a lead that changes often must not flood the server.

use std::time::Duration;

use crate::clock;

/// How many Events at once.
const BURST: u32 = 6;
/// The time until one more is allowed.
const INTERVAL: Duration = Duration::from_secs(60);

/// A token bucket.
#[derive(Debug)]
pub(super) struct RateLimit {
    left: u32,
    /// The time up to which the bucket was refilled.
    filled: Duration,
    skipped: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { left: BURST, filled: clock::now(), skipped: 0 }
    }
}

impl RateLimit {
    /// Takes one token. Returns false if there is none.
    pub(super) fn take(&mut self) -> bool {
        self.take_at(clock::now())
    }

    /// How many calls of `take` have failed since the last call of this function.
    pub(super) fn skipped(&mut self) -> u32 {
        std::mem::take(&mut self.skipped)
    }

    fn take_at(&mut self, now: Duration) -> bool {
        while self.left < BURST && now.saturating_sub(self.filled) >= INTERVAL {
            self.left += 1;
            self.filled += INTERVAL;
        }
        if self.left == BURST {
            self.filled = now;
        }
        let allowed = self.left > 0;
        if allowed {
            self.left -= 1;
        } else {
            self.skipped += 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_a_minute() {
        let mut rate_limit = RateLimit::default();
        let begun = rate_limit.filled;
        let mut take = |secs| rate_limit.take_at(begun + Duration::from_secs(secs));

        let at_once: Vec<_> = (0..8).map(|_| take(3600)).collect();
        let later = [take(3659), take(3660), take(3661), take(3800), take(3800), take(3800)];

        assert_eq!(at_once, [true, true, true, true, true, true, false, false]);
        assert_eq!(later, [false, true, false, true, true, false]);
        assert_eq!((rate_limit.skipped(), rate_limit.skipped()), (5, 0));
    }
}
