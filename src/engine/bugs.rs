//! Seeded bugs: each a mistake that somebody would really make, at the place where they would make it.
//!
//! A test that is meant to catch a bug turns it on and must fail; in a shipped build [`seeded`] is a
//! constant `false` and each of these branches is gone.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bug {
    /// The hold counts from the arrival of the answer instead of from before the request left.
    CountFromAnswer,
    /// A waiter counts by the holder's written time instead of by its own clock since it saw the record.
    RemoteTimestamps,
    /// A waiter waits its own time to live instead of the record's.
    OwnTtl,
    /// A read that shows one's own identity is taken as holding.
    AdoptOnRead,
    /// A release is written over whatever is there.
    BlindRelease,
    /// A stale read restarts or changes what was observed.
    StaleRead,
    /// An unanswered write is taken as stored.
    UnknownIsStored,
    /// The tenure goes on until the release is answered.
    HoldWhileReleasing,
    /// A contender that knew the record creates it anew at once when it disappears.
    CreateAtOnce,
    /// A second process of the same identity is not told apart by its nonce.
    IgnoreNonce,
    /// A tenure ends only when something says so, not when its time has passed.
    NoDeadline,
    /// A holder that reads of another holder goes on until its deadline.
    StayOnTaken,
    /// A conflict on one's own record ends the tenure before a read has told whose write it was.
    ConflictIsLoss,
    /// A claim that was withdrawn begins a tenure when it is stored after all.
    ZombieBegins,
    /// The token is the version of the last write instead of that of the first.
    TokenPerWrite,
    /// A read that shows nothing new starts the wait over.
    RestartOnRepeat,
    /// A waiter has no timer of its own: it relies on its watch.
    TrustWatch,
    /// A candidate that leaves does not wait for a create of its that may still come.
    ForgetCreate,
    /// What failed is tried again at once.
    NoBackoff,
    /// A read that is answered makes up for the writes that are not.
    ReadForgives,
    /// A read makes up for a conflict, even where it shows what the conflict has refuted.
    ConflictForgiven,
}

#[cfg(test)]
impl Bug {
    pub(crate) const ALL: [Self; 21] = [
        Self::CountFromAnswer,
        Self::RemoteTimestamps,
        Self::OwnTtl,
        Self::AdoptOnRead,
        Self::BlindRelease,
        Self::StaleRead,
        Self::UnknownIsStored,
        Self::HoldWhileReleasing,
        Self::CreateAtOnce,
        Self::IgnoreNonce,
        Self::NoDeadline,
        Self::StayOnTaken,
        Self::ConflictIsLoss,
        Self::ZombieBegins,
        Self::TokenPerWrite,
        Self::RestartOnRepeat,
        Self::TrustWatch,
        Self::ForgetCreate,
        Self::NoBackoff,
        Self::ReadForgives,
        Self::ConflictForgiven,
    ];
}

/// Whether `bug` is in the code: never, outside a test that seeds it.
#[cfg(not(test))]
pub(crate) const fn seeded(_bug: Bug) -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::{seeded, with};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! { static SEEDED: Cell<Option<Bug>> = const { Cell::new(None) }; }

    /// Runs `test` with `bug` in the code.
    pub(crate) fn with<T>(bug: Option<Bug>, test: impl FnOnce() -> T) -> T {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                SEEDED.set(None);
            }
        }
        SEEDED.set(bug);
        let _restore = Restore;
        test()
    }

    pub(crate) fn seeded(bug: Bug) -> bool {
        SEEDED.get() == Some(bug)
    }
}
