//! What may become of a request, and of news.

use std::time::Duration;

use super::{
    faults::{Fault, Faults},
    rng::Rng,
};
use crate::engine::machine::Failure;

/// One millisecond of true time.
pub(super) const MS: u64 = 1_000_000;
/// One second of true time.
pub(super) const SEC: u64 = 1000 * MS;

/// What follows once a request has been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Reply(u64),
    Silence,
    /// An answer that does not say what became of it.
    Unclear(u64),
    /// The client's own library sends it again, and returns the answer to that.
    Retry(u64),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Arrives after so long, and then this.
    Arrives(u64, After),
    /// Is never carried out.
    Vanishes,
    /// Is not carried out, and this is the answer, after so long.
    Fails(u64, Failure),
}

/// How likely each fault is, in thousandths; `attempt` is how long the sender waits.
pub(super) fn fate(rng: &mut Rng, faults: &mut Faults, share: u64, attempt: u64) -> Fate {
    let (there, back) = (rng.between(MS, 10 * MS), rng.between(MS, 10 * MS));
    if !rng.chance(share) {
        return Fate::Arrives(there, After::Reply(back));
    }
    let kinds = [
        Fault::LostRequest,
        Fault::LostReply,
        Fault::Zombie,
        Fault::Slow,
        Fault::Refused,
        Fault::Throttled,
        Fault::ErrorAfter,
        Fault::ErrorBefore,
        Fault::SilentRetry,
    ];
    let kind = rng.pick(&kinds);
    faults.hit(kind);
    let failed = |refused, retry_after| Fate::Fails(there + back, Failure { refused, retry_after });
    match kind {
        Fault::LostRequest => Fate::Vanishes,
        Fault::LostReply => Fate::Arrives(there, After::Silence),
        Fault::Zombie => Fate::Arrives(attempt + rng.below(attempt * 25), After::Silence),
        Fault::Slow => {
            let (there, back) = (rng.below(attempt), rng.below(attempt));
            Fate::Arrives(there.max(1), After::Reply(back.max(1)))
        }
        Fault::Refused => failed(true, None),
        Fault::Throttled => failed(false, Some(Duration::from_nanos(rng.below(2 * SEC)))),
        Fault::ErrorAfter => Fate::Arrives(there, After::Unclear(back)),
        Fault::ErrorBefore => failed(false, None),
        _ => Fate::Arrives(there, After::Retry(back)),
    }
}

/// When a watch tells of a change: not at all, once, or twice.
pub(super) fn news(rng: &mut Rng, faults: &mut Faults, share: u64) -> [Option<u64>; 2] {
    let soon = rng.between(MS, 15 * MS);
    if !rng.chance(share) {
        return [Some(soon), None];
    }
    let kind = rng.pick(&[Fault::NewsLate, Fault::NewsLost, Fault::NewsTwice]);
    faults.hit(kind);
    match kind {
        Fault::NewsLate => [Some(rng.below(20 * SEC)), None],
        Fault::NewsLost => [None, None],
        _ => [Some(soon), Some(rng.below(20 * SEC))],
    }
}
