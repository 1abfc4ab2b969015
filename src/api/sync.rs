//! The contract.

use std::fmt;

use auto_impl::auto_impl;
use futures::future::BoxFuture;

use super::{
    error::Result,
    guard::Guard,
    leader::Leader,
    member::{ElectWatcher, Member},
    options::{LeaderOptions, ListMembersOptions, LockOptions, Options, WatchElectOptions},
};

/// Locks and elections over one backend.
///
/// This trait hides the marker trait of the same name where it is imported by name. Import it as
/// `use leasehold::Sync as _;`, and use [`DynSync`] for the trait object. [`SyncExt`](crate::SyncExt) has short forms of
/// its methods.
///
/// One value is one *handle*, with an identity of its own. Two handles exclude each other, in different processes and
/// in one process. Tasks that share a handle, or clones of it, take turns, first come, first served. The locks and
/// elections of one namespace share one space of names.
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
#[auto_impl(Arc, Box)]
pub trait Sync: fmt::Debug + fmt::Display + Send + std::marker::Sync + 'static {
    /// Connects, and checks that this handle has the permissions that it needs. Optional: every other method works
    /// without it.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`](crate::Error::PermissionDenied) names the verb, the resource and the namespace
    /// that are missing. [`Error::Namespace`](crate::Error::Namespace) and
    /// [`Error::Unavailable`](crate::Error::Unavailable) say why the backend cannot be used.
    fn init(&self) -> BoxFuture<'_, Result<()>>;

    /// The options in use, with the namespace and the identity that were chosen by default.
    fn options(&self) -> &Options;

    /// Becomes a candidate in the election `name`, and competes in the background until the [`Leader`] is resigned or
    /// dropped.
    ///
    /// Completes once the candidate leads or is listed as a follower.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), [`Error::AlreadyCandidate`](crate::Error::AlreadyCandidate), and
    /// refusals of the backend. While the backend is unavailable, this waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the candidate.
    fn leader<'a>(&'a self, name: &'a str, options: LeaderOptions)
    -> BoxFuture<'a, Result<Leader>>;

    /// Every live candidate, leaders included. Those of an election that is a queue are in the order of succession.
    ///
    /// For people and dashboards: a member counts as alive by the time that it wrote and the wall clock of the reader.
    /// Nothing in this crate is decided by it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and refusals and failures of the backend.
    fn list_members(&self, options: ListMembersOptions) -> BoxFuture<'_, Result<Vec<Member>>>;

    /// A stream of elections, losses, and candidates that come and go. It begins with the present state.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), and refusals of the backend.
    fn watch_elect(&self, options: WatchElectOptions) -> BoxFuture<'_, Result<ElectWatcher>>;

    /// Acquires the lock `name`, waiting for it as `options` allow.
    ///
    /// A second lock of the same name through the same handle waits its turn.
    ///
    /// # Guarantees
    ///
    /// While [`is_held`](crate::Tenure::is_held) of the guard is true no other guard for `name` is held, provided that
    /// no two clocks run apart by more than the margin of the timing, and that the record is not deleted or edited by
    /// hand. Work that outlives the guard is not protected: pass [`token`](crate::Tenure::token) to the resource that
    /// the lock protects, from its first read on.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout) once the wait is over, [`Error::Held`](crate::Error::Held) after a
    /// single try; [`Error::TooEarly`](crate::Error::TooEarly) instead of both while
    /// [`at_least`](crate::LockOptions::at_least) keeps a free lock closed;
    /// [`Error::Invalid`](crate::Error::Invalid); and refusals of the backend. An unavailable backend is
    /// waited for as long as the wait lasts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the wait. A write that was already sent may still be stored; it is then undone in
    /// the background, at the latest when its time to live has passed.
    fn lock<'a>(&'a self, name: &'a str, options: LockOptions) -> BoxFuture<'a, Result<Guard>>;

    /// Releases the lock `name` that this handle holds, whether its guard was kept or still exists.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`](crate::Error::NotHeld) if this handle does not hold the lock; the lock of another holder is
    /// never touched. [`Error::Unavailable`](crate::Error::Unavailable) if the backend could not be reached: see
    /// [`Guard::release`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the release goes on in the background, also if the future is dropped.
    fn unlock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Waits until everything that was given up is gone from the backend: dropped guards, waits and leaders, and
    /// `lock` and `leader` futures that were dropped. All of them are undone in the background.
    ///
    /// Call it before the process or the runtime ends, because that work would end with them. Guards that still exist
    /// and kept locks stay as they are, and the handle can be used afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) and others if a record could not be updated. Such a record is
    /// free when its time to live has passed. This waits for at most twice the longest time to live in use.
    ///
    /// # Cancel safety
    ///
    /// It only waits.
    fn close(&self) -> BoxFuture<'_, Result<()>>;

    /// The backend's name, for example `kubernetes`.
    fn backend(&self) -> &'static str;
}

/// Any implementation of [`Sync`](crate::Sync) behind a pointer. It can be sent to other threads and shared by them.
pub type DynSync = dyn Sync;
