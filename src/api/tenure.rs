//! A tenure: a deadline that is pulled, never pushed.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{Stream, stream};
use tokio::sync::futures::Notified;

use crate::{
    api::{
        error::{Error, Loss, Result},
        token::Token,
    },
    util::{
        clock::{Clock, Moment},
        watched::Watched,
    },
};

/// How a tenure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TenureState {
    /// Held, and renewals are on time.
    Held,
    /// Held still, but a renewal is overdue, or the record asks for another holder: a good time to
    /// begin nothing new. Becomes held again with the next confirmed renewal.
    InDoubt,
    /// Over, for good.
    Lost(Loss),
}

/// One tenure, seen from inside it: is it still held, for how long, and with which token.
///
/// Cheap to clone and to ask. Asking reads a clock and nothing else, so the answer is right also after
/// the process was paused, with a blocked executor, and with the network gone.
#[derive(Clone)]
pub struct Tenure(Arc<Inner>);

struct Inner {
    id: u64,
    name: Arc<str>,
    holder: Arc<str>,
    token: Token,
    clock: Clock,
    /// Nanoseconds of a [`Moment`]; zero once lost.
    until: AtomicU64,
    doubtful: AtomicU64,
    /// Told by the driver: changes of the deadline, and the end.
    loss: Watched<Option<Loss>>,
}

impl Tenure {
    /// A tenure held until `until`.
    pub(crate) fn new(
        id: u64,
        name: Arc<str>,
        holder: Arc<str>,
        token: Token,
        clock: Clock,
        until: Moment,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            name,
            holder,
            token,
            clock,
            until: AtomicU64::new(until.as_nanos()),
            doubtful: AtomicU64::new(u64::MAX),
            loss: Watched::default(),
        }))
    }

    /// The name of the lock or election.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The identity that stands in the record.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.0.holder
    }

    /// The fencing token: the same for the whole of this tenure, larger than that of any earlier one.
    #[must_use]
    pub fn token(&self) -> Token {
        self.0.token
    }

    /// Whether it is still held, now, on this process's own clock.
    ///
    /// # Guarantees
    ///
    /// While this is true no other guard of the same record is held anywhere, provided that no two clocks
    /// run apart by more than the [`Timing`](crate::Timing) leaves, and that nobody deletes or edits the
    /// record by hand. Once it was false it is never true again.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// For how long it is still held if no renewal succeeds; zero once lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = self.0.clock.now();
        let until = self.0.until.load(Ordering::Acquire);
        if now.as_nanos() < until {
            return Moment::from_nanos(until) - now;
        }
        // Seen as lost is lost for good: a renewal confirmed late must not bring it back.
        match self.0.until.compare_exchange(until, 0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Duration::ZERO,
            Err(other) => Moment::from_nanos(other) - now,
        }
    }

    /// The token if it is still held: for a line before each step that must not happen twice.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] with the reason.
    pub fn check(&self) -> Result<Token> {
        if self.is_held() {
            Ok(self.0.token)
        } else {
            Err(Error::Lost { name: self.name().into(), why: self.why() })
        }
    }

    /// Whether it is held, in doubt or lost, now.
    #[must_use]
    pub fn state(&self) -> TenureState {
        if !self.is_held() {
            TenureState::Lost(self.why())
        } else if self.0.clock.now().as_nanos() >= self.0.doubtful.load(Ordering::Acquire) {
            TenureState::InDoubt
        } else {
            TenureState::Held
        }
    }

    /// Each change of the state, beginning with the present one, ending after `Lost`.
    pub fn states(&self) -> impl Stream<Item = TenureState> + Send + Unpin + 'static {
        Box::pin(stream::unfold((self.clone(), None), |(tenure, last)| async move {
            if matches!(last, Some(TenureState::Lost(_))) {
                return None;
            }
            let state = loop {
                let changed = tenure.0.loss.changed();
                let state = tenure.state();
                if Some(state) != last {
                    break state;
                }
                tenure.news(changed).await;
            };
            Some((state, (tenure, Some(state))))
        }))
    }

    /// Returns when the tenure is over, and why.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn lost(&self) -> Loss {
        loop {
            let changed = self.0.loss.changed();
            if !self.is_held() {
                return self.why();
            }
            self.news(changed).await;
        }
    }

    /// Returns when the state may have changed, by what the driver says or by the mere passing of time.
    async fn news(&self, changed: Notified<'_>) {
        let doubtful =
            Moment::from_nanos(self.0.doubtful.load(Ordering::Acquire)).since(self.0.clock.now());
        let left = self.remaining();
        let wake = if doubtful.is_zero() { left } else { left.min(doubtful) };
        tokio::select! {
            biased;
            () = changed => {}
            () = tokio::time::sleep(wake) => {}
        }
    }

    pub(crate) fn why(&self) -> Loss {
        self.0.loss.borrow().unwrap_or(Loss::Expired)
    }

    // ---- what the driver says ----

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// Moves the deadline; false if the holder has seen the tenure end already.
    pub(crate) fn extend(&self, until: Moment, doubtful: Moment) -> bool {
        let before = self.0.until.load(Ordering::Acquire);
        let until = until.as_nanos();
        let doubt = self.0.doubtful.swap(doubtful.as_nanos(), Ordering::AcqRel);
        let moved = before != 0
            && self
                .0
                .until
                .compare_exchange(before, until, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if before != until || doubt != doubtful.as_nanos() {
            self.0.loss.modify(|why| why.is_none());
        }
        moved
    }

    /// Whether the deadline is this one.
    pub(crate) fn is_until(&self, until: Moment) -> bool {
        self.0.until.load(Ordering::Acquire) == until.as_nanos()
    }

    /// Ends it, before anything is told to the backend. The first reason stays.
    pub(crate) fn end(&self, loss: Loss) {
        let loss = if self.is_held() { loss } else { Loss::Expired };
        self.0.loss.modify(|why| {
            self.0.until.store(0, Ordering::Release);
            let first = why.is_none();
            why.get_or_insert(loss);
            first
        });
    }
}

impl fmt::Debug for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenure")
            .field("name", &self.0.name)
            .field("holder", &self.0.holder)
            .field("token", &self.0.token)
            .field("state", &self.state())
            .finish()
    }
}
