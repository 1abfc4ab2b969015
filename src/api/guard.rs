//! The guard of a tenure: dropping it releases the record.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use super::{
    error::{Error, Loss, Result},
    tenure::Tenure,
};
use crate::util::environment;

/// What the user of a guard asks of the contender that renews it.
#[derive(Debug)]
pub(crate) struct Release {
    /// Which tenure.
    pub(crate) tenure: u64,
    /// Gets the outcome.
    pub(crate) done: Option<oneshot::Sender<Result<()>>>,
    /// Only of a session: a new claim, which goes into the queue with the same write.
    pub(crate) again: Option<Again>,
}

/// The claim that follows a release.
#[derive(Debug)]
pub(crate) enum Again {
    /// With this number, and the answer to its caller.
    Claim(u64, oneshot::Sender<Result<Guard>>),
    /// The caller of the claim with this number has dropped its future.
    Cancel(u64),
}

impl Release {
    /// Without an answer.
    pub(crate) const fn of(tenure: u64) -> Self {
        Self { tenure, done: None, again: None }
    }
}

/// No tenure has this number: such a release only wakes the contender.
pub(crate) const NO_TENURE: u64 = 0;

/// A tenure that ends when this is dropped.
///
/// A guard dereferences to its [`Tenure`]. Dropping the guard ends the tenure at once and releases the record in the
/// background; [`release`](Self::release) waits for that and returns the outcome; [`keep`](Self::keep) leaves the
/// lock held.
#[must_use = "dropping the guard releases the lock"]
pub struct Guard(Arc<Owner>);

struct Owner {
    tenure: Tenure,
    kept: AtomicBool,
    /// The lock has a queue.
    queued: bool,
    contender: mpsc::UnboundedSender<Release>,
}

impl Guard {
    pub(crate) fn new(tenure: Tenure, contender: mpsc::UnboundedSender<Release>) -> Self {
        Self(Arc::new(Owner { tenure, kept: AtomicBool::new(false), queued: false, contender }))
    }

    /// The guard of a lock with a queue.
    pub(crate) fn queued(tenure: Tenure, contender: mpsc::UnboundedSender<Release>) -> Self {
        Self(Arc::new(Owner { tenure, kept: AtomicBool::new(false), queued: true, contender }))
    }

    /// The tenure, for code that may look at it but must not release it.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.0.tenure.clone()
    }

    /// Ends the tenure, then releases the record, and returns when that is done.
    ///
    /// End the guarded work first: from the call on the lock is not held any more.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the backend could not be reached: the record is then free when its time to live
    /// has passed. A refusal by the backend is returned at once, and the release is retried in the background. A
    /// tenure that was lost before is not an error.
    ///
    /// # Cancel safety
    ///
    /// Once called, the release goes on in the background, also if the future is dropped.
    pub fn release(self) -> impl Future<Output = Result<()>> + Send + 'static {
        let (done, end) = oneshot::channel();
        self.0.kept.store(true, Ordering::Release);
        let over = !self.is_held();
        // Sent first: a contender that sees the tenure ended may release the record and end before this arrives.
        let sent = self.0.contender.send(Release { done: Some(done), ..Release::of(self.id()) });
        self.0.tenure.end(Loss::Released);
        let tenure = self.tenure();
        async move {
            let answer = match sent {
                Ok(()) => end.await.ok(),
                Err(_) => None,
            };
            if over {
                return Ok(());
            }
            answer.unwrap_or_else(|| match tenure.why() {
                Loss::Released | Loss::Abandoned => {
                    Err(Error::Closed { name: tenure.name().into() })
                }
                // The tenure was over before, so that its contender may have ended: nothing is left to release.
                Loss::Expired | Loss::Deleted | Loss::Taken | Loss::Altered | Loss::Session => {
                    Ok(())
                }
            })
        }
    }

    /// Releases the lock, joins its queue again at the end, and waits until it is held again.
    ///
    /// For loops that take one lock many times: the release and the new claim are one write. The mode of the lock stays.
    /// End the guarded work first, as for [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the tenure was lost before: nothing waits in the queue then. [`Error::Invalid`] for a guard
    /// that is not that of a lock of a [`Session`](crate::Session): the lock is released. The errors of
    /// [`Sync::lock`](crate::Sync::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue. The release goes on.
    pub async fn release_and_queue(self) -> Result<Self> {
        if !self.0.queued {
            let bound = "only the lock of a session has a queue that a release can join";
            return Err(Error::invalid("guard", self.name(), bound));
        }
        self.check()?;
        let (number, contender) = (environment::random().max(1), self.0.contender.clone());
        let (answer, granted) = oneshot::channel();
        self.0.kept.store(true, Ordering::Release);
        let again = Some(Again::Claim(number, answer));
        let sent = contender.send(Release { again, ..Release::of(self.id()) });
        // The session ends the tenure before it sends the release. If the tenure was lost meanwhile, it says so.
        let tenure = self.tenure();
        drop(self);
        let closed = || Error::Closed { name: tenure.name().into() };
        if sent.is_err() {
            return Err(closed());
        }
        let mut pending = Pending { contender, number: Some(number) };
        let answer = granted.await;
        pending.number = None;
        match answer {
            Ok(answer) => answer.inspect(|guard| guard.mark_received()),
            Err(_) if matches!(tenure.why(), Loss::Released | Loss::Abandoned) => Err(closed()),
            Err(_) => Err(tenure.check().err().unwrap_or_else(closed)),
        }
    }

    /// Leaves the lock held and renewed, for as long as the handle lives or until [`unlock`](crate::Sync::unlock).
    #[expect(
        clippy::must_use_candidate,
        reason = "the tenure is for callers that want to look at it"
    )]
    pub fn keep(self) -> Tenure {
        self.0.kept.store(true, Ordering::Release);
        self.tenure()
    }

    /// Runs `work` until it returns or the tenure is lost; `None` if it is lost first.
    pub(crate) async fn run<T, F, W>(&self, work: F) -> Option<T>
    where
        F: FnOnce(Tenure) -> W + Send,
        W: Future<Output = T> + Send,
    {
        // `work` lives inside this future and the guard outside: when the caller drops both, `work` is dropped first.
        let (tenure, lost) = (self.tenure(), self.tenure());
        tokio::select! {
            biased;
            _ = lost.lost() => None,
            done = work(tenure) => Some(done),
        }
    }

    /// Another guard of the same tenure, which ends when the last of them is dropped.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn downgrade(&self) -> WeakGuard {
        WeakGuard {
            queued: self.0.queued,
            owner: Arc::downgrade(&self.0),
            tenure: self.tenure(),
            contender: self.0.contender.clone(),
        }
    }
}

/// A claim that follows a release. Its drop leaves the queue.
struct Pending {
    contender: mpsc::UnboundedSender<Release>,
    number: Option<u64>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let again = Some(Again::Cancel(number));
            // An error means that the session has ended, and its claims with it.
            let _ = self.contender.send(Release { again, ..Release::of(NO_TENURE) });
        }
    }
}

/// A reference to a guard that does not keep the tenure from ending.
#[derive(Debug)]
pub(crate) struct WeakGuard {
    owner: Weak<Owner>,
    tenure: Tenure,
    queued: bool,
    contender: mpsc::UnboundedSender<Release>,
}

impl WeakGuard {
    /// A guard of the tenure, if that still runs: shared with its owners, or kept if they kept it.
    pub(crate) fn upgrade(&self) -> Option<Guard> {
        if let Some(owner) = self.owner.upgrade() {
            return Some(Guard(owner));
        }
        self.tenure.is_held().then(|| {
            let (tenure, contender) = (self.tenure.clone(), self.contender.clone());
            Guard(Arc::new(Owner {
                tenure,
                kept: AtomicBool::new(true),
                queued: self.queued,
                contender,
            }))
        })
    }

    /// The tenure, which may be over.
    pub(crate) fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Whether a guard exists that will end the tenure; false if it was kept.
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
        // Sent for a kept tenure too, because a contender whose handle is gone then releases it. An error means that
        // the contender has ended: then nothing is left to release.
        let _ = self.contender.send(Release::of(tenure));
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
