//! The pauses of a watch that fails.
//!
//! `backon` is not used, because it covers only the doubling: the pause after a refusal, `Retry-After` and their jitter
//! would remain.

use std::time::Duration;

use super::environment;

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The maximum back-off.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The back-off after one more failure in a row than `failures`. Each failure doubles it.
pub(crate) fn backoff(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(MAX_PAUSE)
}

/// A random part of `pause`, up to half of it. Clients that lost the same server, or got the same answer, must not all
/// return at the same time.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let part = environment::random().to_be_bytes()[0];
    pause / 2 * u32::from(part) / 255
}
