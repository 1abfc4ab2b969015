//! The contract.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    Guard, LeaderOptions, ListMembersOptions, LockOptions, Options, Result, WatchElectOptions,
    api::{
        leader::Leader,
        member::{ElectWatcher, Member},
    },
};

/// Locks and elections over one backend.
///
/// The name is that of the interface it implements, and shadows the marker trait when it is imported:
/// write `use leasehold::Sync as _;`, and [`DynSync`] for the trait object.
///
/// One value is one *handle*: its own identity, its own place in every queue. Handles of several
/// processes, or several handles of one process, exclude each other; tasks that share a handle take
/// turns, first come, first served. Locks and elections of one namespace share one space of names.
///
/// ```
/// use leasehold::{LockOptions, Memory, Sync as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let sync = Memory::default();
/// let guard = sync.lock("orders", LockOptions::default()).await?;
/// guard.check()?; // before each step that must not happen twice
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
pub trait Sync: fmt::Debug + fmt::Display + Send + std::marker::Sync + 'static {
    /// Connects and checks that everything this handle needs is allowed. Optional: every call works without it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::Error::Refused) names the verb, the resource and the namespace that are
    /// missing; [`Error::Namespace`](crate::Error::Namespace) and
    /// [`Error::Unavailable`](crate::Error::Unavailable) say why the backend cannot be used.
    fn init(&self) -> BoxFuture<'_, Result<()>>;

    /// The options in use, with the namespace and identity that were chosen by default.
    fn options(&self) -> &Options;

    /// Stands as a candidate in the election `name`, and campaigns in the background until it is resigned or dropped.
    ///
    /// Returns once the candidacy stands: it leads, or it is listed as a follower.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), [`Error::AlreadyCandidate`](crate::Error::AlreadyCandidate),
    /// and what the backend refuses. An unavailable backend is waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the candidacy.
    fn leader<'a>(&'a self, name: &'a str, options: LeaderOptions)
    -> BoxFuture<'a, Result<Leader>>;

    /// Every live candidate, leaders included.
    ///
    /// For people and dashboards: whether a member is alive is judged by the time it wrote, on the
    /// reader's wall clock. Nothing in this crate decides by it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and what the backend refuses or fails at.
    fn list_members(&self, options: ListMembersOptions) -> BoxFuture<'_, Result<Vec<Member>>>;

    /// A stream of who is elected and who comes and goes, beginning with the present state.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and what the backend refuses.
    fn watch_elect(&self, options: WatchElectOptions) -> BoxFuture<'_, Result<ElectWatcher>>;

    /// Acquires the lock `id`, waiting for it as `options` allow.
    ///
    /// A second lock of the same id through the same handle waits its turn.
    ///
    /// # Guarantees
    ///
    /// While [`is_held`](crate::Tenure::is_held) of the guard is true no other guard for `id` is held,
    /// provided that no two clocks run apart by more than the ratio the timing leaves, and that nobody
    /// deletes or edits the record by hand. Work that outlives the guard is not protected: pass
    /// [`token`](crate::Tenure::token) to whatever the lock protects, from its first read on.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout) once the wait is over; [`Error::Invalid`](crate::Error::Invalid);
    /// and what the backend refuses. An unavailable backend is waited for as long as the wait lasts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the wait. A write already sent may still land; it is then undone in the
    /// background, at the latest when its time to live has passed.
    fn lock<'a>(&'a self, id: &'a str, options: LockOptions) -> BoxFuture<'a, Result<Guard>>;

    /// Releases the lock `id` that this handle holds, be its guard kept or still in somebody's hands.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`](crate::Error::NotHeld) if this handle does not hold it; nobody else's lock is touched.
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the backend could not be told: see [`Guard::release`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the release goes on in the background, also if the future is dropped.
    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Waits until nothing is left in the backend of what was given up: guards, waits, leaders and `lock` or
    /// `leader` futures that were dropped, whose undoing goes on in the background.
    ///
    /// Call it before the process or the runtime ends, which would end that work. What is still in somebody's
    /// hands, or kept, stays as it is; the handle can be used on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) and others if the backend could not be told of something: it
    /// is free when its time to live has passed, and so is anything else after the longest time to live in use,
    /// which this waits at most.
    ///
    /// # Cancel safety
    ///
    /// It only waits.
    fn close(&self) -> BoxFuture<'_, Result<()>>;

    /// The backend's name, for example `kubernetes`.
    fn backend(&self) -> &'static str;
}

/// Any implementation of [`Sync`](crate::Sync), to be held behind a pointer: it may be sent to and shared by threads.
pub type DynSync = dyn Sync;

macro_rules! forward {
    ($pointer:ident) => {
        impl<S: Sync + ?Sized> Sync for $pointer<S> {
            fn init(&self) -> BoxFuture<'_, Result<()>> {
                (**self).init()
            }

            fn options(&self) -> &Options {
                (**self).options()
            }

            fn leader<'a>(
                &'a self,
                name: &'a str,
                options: LeaderOptions,
            ) -> BoxFuture<'a, Result<Leader>> {
                (**self).leader(name, options)
            }

            fn list_members(
                &self,
                options: ListMembersOptions,
            ) -> BoxFuture<'_, Result<Vec<Member>>> {
                (**self).list_members(options)
            }

            fn watch_elect(
                &self,
                options: WatchElectOptions,
            ) -> BoxFuture<'_, Result<ElectWatcher>> {
                (**self).watch_elect(options)
            }

            fn lock<'a>(
                &'a self,
                id: &'a str,
                options: LockOptions,
            ) -> BoxFuture<'a, Result<Guard>> {
                (**self).lock(id, options)
            }

            fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
                (**self).unlock(id)
            }

            fn close(&self) -> BoxFuture<'_, Result<()>> {
                (**self).close()
            }

            fn backend(&self) -> &'static str {
                (**self).backend()
            }
        }
    };
}

forward!(Box);
forward!(Arc);
