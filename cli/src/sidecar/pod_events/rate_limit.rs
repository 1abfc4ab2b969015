//! How many Events may be recorded: a lead that comes and goes must not fill the server.

use std::time::Duration;

use crate::clock;

/// How many at once.
const MOST: u32 = 6;
/// How long until another is allowed.
const EVERY: Duration = Duration::from_secs(60);

/// What is left of it.
#[derive(Debug)]
pub(super) struct RateLimit {
    left: u32,
    /// Up to when it has been filled.
    filled: Duration,
    skipped: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { left: MOST, filled: clock::now(), skipped: 0 }
    }
}

impl RateLimit {
    /// Whether one more may be recorded.
    pub(super) fn take(&mut self) -> bool {
        self.take_at(clock::now())
    }

    /// How many were not, since this was last asked.
    pub(super) fn skipped(&mut self) -> u32 {
        std::mem::take(&mut self.skipped)
    }

    fn take_at(&mut self, now: Duration) -> bool {
        while self.left < MOST && now.saturating_sub(self.filled) >= EVERY {
            self.left += 1;
            self.filled += EVERY;
        }
        if self.left == MOST {
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
    fn some_at_once_and_then_one_a_minute() {
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
