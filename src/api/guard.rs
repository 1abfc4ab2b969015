//! The guard of a tenure: whoever drops it gives back.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use crate::api::{
    error::{Error, Loss, Result},
    tenure::Tenure,
};

/// What the user of a guard asks of the task that renews it.
#[derive(Debug)]
pub(crate) struct Release {
    /// Which tenure.
    pub(crate) tenure: u64,
    /// Who wants to hear of its end.
    pub(crate) done: Option<oneshot::Sender<Result<()>>>,
}

/// Names none: whoever is told of it only wakes and looks.
pub(crate) const NO_TENURE: u64 = 0;

/// A tenure that ends when this is dropped.
///
/// Everything that can be asked of a [`Tenure`] can be asked of its guard. Dropping the guard ends the
/// tenure at once and frees the record in the background; [`release`](Self::release) waits for that and
/// says how it went; [`keep`](Self::keep) leaves the lock held.
#[must_use = "dropping the guard releases the lock"]
pub struct Guard(Arc<Owner>);

struct Owner {
    tenure: Tenure,
    kept: AtomicBool,
    driver: mpsc::UnboundedSender<Release>,
}

impl Guard {
    pub(crate) fn new(tenure: Tenure, driver: mpsc::UnboundedSender<Release>) -> Self {
        Self(Arc::new(Owner { tenure, kept: AtomicBool::new(false), driver }))
    }

    /// The tenure, to hand to code that may ask but must not release.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.0.tenure.clone()
    }

    /// Ends the tenure, then frees the record, and returns when that is done.
    ///
    /// End the guarded work first: from the call on the lock is not held any more.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the backend could not be told: the record is then free when its time
    /// to live has passed. What the backend refuses is told at once, and tried on in the background. A tenure
    /// that had been lost before is no error.
    ///
    /// # Cancel safety
    ///
    /// Once called, the release goes on in the background, also if the future is dropped.
    pub fn release(self) -> impl Future<Output = Result<()>> + Send + 'static {
        let (done, end) = oneshot::channel();
        self.0.kept.store(true, Ordering::Release);
        let over = !self.is_held();
        self.0.tenure.end(Loss::Released);
        let told = self.0.driver.send(Release { tenure: self.id(), done: Some(done) });
        let tenure = self.tenure();
        async move {
            let answer = match told {
                Ok(()) => end.await.ok(),
                Err(_) => None,
            };
            answer.unwrap_or_else(|| match tenure.why() {
                _ if over => Ok(()),
                Loss::Released | Loss::Abandoned => {
                    Err(Error::Closed { name: tenure.name().into() })
                }
                // It was over before, so that nobody is left who could give it back.
                Loss::Expired | Loss::Deleted | Loss::Taken | Loss::Altered => Ok(()),
            })
        }
    }

    /// Leaves the lock held and renewed, for as long as the handle lives or until
    /// [`unlock`](crate::Sync::unlock).
    #[expect(clippy::must_use_candidate, reason = "the tenure is there for who wants to ask it")]
    pub fn keep(self) -> Tenure {
        self.0.kept.store(true, Ordering::Release);
        self.tenure()
    }

    /// Another guard of the same tenure, which ends when the last of them is dropped.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn downgrade(&self) -> WeakGuard {
        WeakGuard {
            owner: Arc::downgrade(&self.0),
            tenure: self.tenure(),
            driver: self.0.driver.clone(),
        }
    }
}

/// A guard that does not keep its tenure from ending.
#[derive(Debug)]
pub(crate) struct WeakGuard {
    owner: Weak<Owner>,
    tenure: Tenure,
    driver: mpsc::UnboundedSender<Release>,
}

impl WeakGuard {
    /// A guard of the tenure, if it goes on: shared with its owners, or kept as they left it.
    pub(crate) fn upgrade(&self) -> Option<Guard> {
        if let Some(owner) = self.owner.upgrade() {
            return Some(Guard(owner));
        }
        self.tenure.is_held().then(|| {
            let (tenure, driver) = (self.tenure.clone(), self.driver.clone());
            Guard(Arc::new(Owner { tenure, kept: AtomicBool::new(true), driver }))
        })
    }

    /// The tenure, which may be over.
    pub(crate) fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Whether somebody will end the tenure; not so if it was kept.
    pub(crate) fn is_owned(&self) -> bool {
        self.owner.upgrade().is_some_and(|owner| !owner.kept.load(Ordering::Acquire))
    }
}

impl Deref for Guard {
    type Target = Tenure;

    fn deref(&self) -> &Tenure {
        &self.0.tenure
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let tenure = if *self.kept.get_mut() {
            NO_TENURE
        } else {
            self.tenure.end(Loss::Released);
            self.tenure.id()
        };
        // A driver that is gone has nothing left to free; one whose handle is gone does not keep what was kept.
        let _ = self.driver.send(Release { tenure, done: None });
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.tenure.fmt(f)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tenure.fmt(f)
    }
}
