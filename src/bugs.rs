//! Seeded bugs: each a mistake that somebody would really make, at the place where they would make it.
//!
//! A test that is meant to catch a bug turns it on and must fail; in a shipped build [`seeded`] is a
//! constant `false` and each of these branches is gone.

macro_rules! bugs {
    ($($(#[$doc:meta])+ $name:ident,)*) => {
        /// One mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[cfg_attr(
            not(feature = "simulation"),
            expect(
                unreachable_pub,
                dead_code,
                reason = "the simulation of the whole library names it, and seeds some that nothing else can"
            )
        )]
        pub enum Bug { $($(#[$doc])+ $name,)* }

        #[cfg(feature = "simulation")]
        impl Bug {
            /// All of them, from the engine outwards.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

bugs! {
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
    /// After a conflict the same is sent again, on the version that it has just refuted.
    ConflictIsRetried,
    /// The token is the number of the change of holder.
    TokenFromTransitions,
    /// A PUT says the version that it is conditional on, and not the uid.
    PutWithoutUid,
    /// A renewal stores what is there already.
    IdenticalRenewal,
    /// The object to store is made of what this crate knows of it.
    ForeignFieldsLost,
    /// The time to live is written when the object is created, and never again.
    TtlOnCreateOnly,
    /// A candidate's record is deleted whatever it has become.
    BlindDeletion,
    /// A conflict is told as the object having gone.
    ConflictIsGone,
    /// A 504 says that the write was not stored.
    TimeoutIsRefusal,
    /// A read that fails finds nothing.
    FailureIsAbsence,
    /// A watch that the server calls too old is asked for again from the same version.
    GoneIsRetried,
    /// A watch goes on when nobody follows it any more.
    WatchOutlivesFollowers,
    /// One request takes as long as the client below lets it.
    NoAttemptTimeout,
    /// A handle has one request under way at a time, whatever the name.
    OneRequestAtATime,
    /// What goes from hand to hand in here is not written again.
    HandedOnUnwritten,
    /// Whatever is given back, the present tenure ends.
    AnyReleaseEnds,
    /// Who has stopped waiting stays in the queue.
    CancelledStaysQueued,
    /// A dropped guard does not give back.
    DropKeeps,
    /// A guard is held until it is told otherwise.
    HeldUntilTold,
    /// What is given back is held until its deadline.
    ReleasedIsHeld,
    /// The clock stands still while the host is suspended.
    StoppedClock,
    /// Who has resigned may not stand again.
    PlaceIsKept,
    /// The guard is within what is dropped with the led work, and before that.
    GivenBackBeforeWork,
    /// Chance is drawn where no seed reaches it.
    ChanceBesideSeed,
}

/// Whether `bug` is in the code: never, outside a test that seeds it.
#[cfg(not(any(test, feature = "simulation")))]
pub(crate) const fn seeded(_bug: Bug) -> bool {
    false
}

#[cfg(any(test, feature = "simulation"))]
pub(crate) use switch::seeded;
#[cfg(all(test, not(feature = "simulation")))]
pub(crate) use switch::with;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub use switch::with;

#[cfg(any(test, feature = "simulation"))]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! { static SEEDED: Cell<Option<Bug>> = const { Cell::new(None) }; }

    /// Runs `test` with `bug` in the code, as far as that runs on this thread. For tests of this crate alone.
    #[doc(hidden)]
    #[cfg_attr(
        not(feature = "simulation"),
        expect(unreachable_pub, reason = "the simulation of the whole library calls it")
    )]
    pub fn with<T>(bug: Option<Bug>, test: impl FnOnce() -> T) -> T {
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
