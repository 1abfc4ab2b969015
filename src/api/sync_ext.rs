//! Short forms of the contract, with default options.

use futures::future::BoxFuture;

use super::{
    error::{Error, Result},
    guard::Guard,
    options::{LeaderOptions, LockOptions},
    sync::Sync,
    tenure::Tenure,
};

/// Short forms of the methods of [`Sync`](crate::Sync), with default options. Implemented for everything that
/// implements it.
///
/// ```
/// use leasehold::{Memory, SyncExt as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> leasehold::Result<()> {
/// let sync = Memory::default();
/// let sum = sync.with_lock("orders", |_tenure| async { 40 + 2 }).await?;
/// assert_eq!(sum, 42);
/// # Ok(())
/// # }
/// ```
pub trait SyncExt: Sync {
    /// Acquires the lock `name` if it is free now, and does not wait. A crashed holder counts as a holder at the first
    /// try: see [`LockOptions::try_once`].
    ///
    /// # Errors
    ///
    /// [`Error::Held`] if another holder has the lock, [`Error::TooEarly`] if it is free but may not be acquired yet
    /// after [`LockOptions::at_least`], and the errors of [`Sync::lock`](crate::Sync::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`Sync::lock`](crate::Sync::lock).
    fn try_lock<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Guard>> {
        self.lock(name, LockOptions::default().try_once())
    }

    /// Waits for the lock `name`, runs `work` while it is held, and releases it.
    ///
    /// `work` is dropped at its next `.await` when the lock is lost. Code that blocks or computes for long must call
    /// [`Tenure::check`] itself.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the lock was lost before `work` returned, and the errors of
    /// [`Sync::lock`](crate::Sync::lock). The result of `work` is returned also if the backend could not be reached for
    /// the release after it: the record then expires by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work` first, and releases the lock after that.
    fn with_lock<T, F, W>(&self, name: &str, work: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce(Tenure) -> W + Send,
        W: Future<Output = T> + Send,
    {
        async move {
            let guard = self.lock(name, LockOptions::default()).await?;
            let Some(done) = guard.run(work).await else {
                return Err(Error::Lost { name: name.to_owned(), why: guard.why() });
            };
            if let Err(error) = guard.release().await {
                tracing::warn!(%name, %error, "not released: the record is left to expire");
            }
            Ok(done)
        }
    }

    /// Becomes a candidate in the election `name`, runs `work` while it leads, and resigns when `work` returns. `work`
    /// starts again with each tenure: see [`Leader::run`](crate::Leader::run).
    ///
    /// # Errors
    ///
    /// The errors of [`Sync::leader`](crate::Sync::leader) and of [`Leader::run`](crate::Leader::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work` first, and resigns after that.
    fn lead<T, F, W>(&self, name: &str, work: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnMut(Tenure) -> W + Send,
        W: Future<Output = T> + Send,
    {
        async move { self.leader(name, LeaderOptions::default()).await?.run(work).await }
    }
}

impl<S: Sync + ?Sized> SyncExt for S {}
