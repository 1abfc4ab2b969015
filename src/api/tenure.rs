//! A tenure: a deadline that its holder compares with the clock, so that no message is needed to end it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
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

/// The state of a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TenureState {
    /// Held, and renewals are on time.
    Held,
    /// Still held, but a renewal is overdue, or the record asks for another holder: begin no new work. The next
    /// confirmed renewal makes it `Held` again.
    InDoubt,
    /// Over. It is never held again.
    Lost(Loss),
}

/// One tenure of a lock or an election: whether it is still held, for how long, and with which token.
///
/// Cheap to clone and to read. Its methods read a clock and nothing else, so their answers are right also after a pause
/// of the process, with a blocked executor, and without a network.
#[derive(Clone)]
pub struct Tenure(Arc<Inner>);

struct Inner {
    id: u64,
    name: Arc<str>,
    holder: Arc<str>,
    token: Token,
    clock: Clock,
    slot: Option<u16>,
    /// Others wait for the lock.
    requested: Watched<bool>,
    /// Nanoseconds of a [`Moment`]; zero once lost.
    until: AtomicU64,
    doubtful: AtomicU64,
    /// The caller has received the guard.
    received: AtomicBool,
    /// Set by the contender. Subscribers are woken by a change of the deadline too.
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
            slot: None,
            requested: Watched::default(),
            until: AtomicU64::new(until.as_nanos()),
            doubtful: AtomicU64::new(u64::MAX),
            received: AtomicBool::new(false),
            loss: Watched::default(),
        }))
    }

    /// The name of the lock or election.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The handle's identity, or the candidate's id. The record names it as its holder. With a
    /// [`Session`](crate::Session) the record names the session instead.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.0.holder
    }

    /// The fencing token: the same for the whole of this tenure, larger than that of any earlier one.
    #[must_use]
    pub fn token(&self) -> Token {
        self.0.token
    }

    /// The slot, if the lock has slots: from zero up to their number. See [`LockOptions::slots`](crate::LockOptions::slots).
    ///
    /// Each slot has a fencing sequence of its own: compare the token with the largest one of the same slot.
    #[must_use]
    pub fn slot(&self) -> Option<u16> {
        self.0.slot
    }

    /// Whether others wait for this lock, as far as its session knows. Always false without a session.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.requested.borrow()
    }

    /// Waits until others wait for this lock, so that a long job can release it early. Never completes without a session.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn requested(&self) {
        self.0.requested.wait_for(|requested| *requested).await;
    }

    /// Whether the tenure is still held now, on this process's own clock.
    ///
    /// # Guarantees
    ///
    /// While this is true no other guard of the same record is held anywhere, provided that no two clocks run apart by
    /// more than the margin of the [`Timing`](crate::Timing), and that the record is not deleted or edited by hand.
    /// Once it was false it is never true again.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How long the tenure is still held if no renewal succeeds; zero once lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = self.0.clock.now();
        let until = self.0.until.load(Ordering::Acquire);
        if now.as_nanos() < until {
            return Moment::from_nanos(until) - now;
        }
        // Once a caller has seen the tenure as lost, a renewal that is confirmed late must not bring it back.
        match self.0.until.compare_exchange(until, 0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Duration::ZERO,
            Err(other) => Moment::from_nanos(other) - now,
        }
    }

    /// The token if the tenure is still held. Call it before each step that must not happen twice.
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

    /// Whether the tenure is held, in doubt or lost now.
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

    /// The state of the tenure: first as it is, then each change. Ends after `Lost`.
    pub fn states(&self) -> impl Stream<Item = TenureState> + Send + Unpin + 'static {
        Box::pin(
            stream::unfold((self.clone(), None), |(tenure, last)| async move {
                if matches!(last, Some(TenureState::Lost(_))) {
                    return None;
                }
                let state = loop {
                    let changed = tenure.0.loss.changed();
                    let state = tenure.state();
                    if Some(state) != last {
                        break state;
                    }
                    tenure.may_have_changed(changed).await;
                };
                Some((state, (tenure, Some(state))))
            })
            .fuse(),
        )
    }

    /// Waits until the tenure is over, and returns the reason.
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
            self.may_have_changed(changed).await;
        }
    }

    /// Waits until the state is another one.
    pub(crate) async fn state_changed(&self) {
        let before = self.state();
        loop {
            let changed = self.0.loss.changed();
            if self.state() != before {
                return;
            }
            self.may_have_changed(changed).await;
        }
    }

    /// Waits until the state may have changed: the contender has changed it, or a deadline has passed.
    async fn may_have_changed(&self, changed: Notified<'_>) {
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

    /// The caller has received its guard, and may begin its work.
    pub(crate) fn mark_received(&self) {
        self.0.received.store(true, Ordering::Release);
    }

    // ---- called by the contender ----

    /// Whether the caller has received its guard. A guard that is dropped before that was never used.
    pub(crate) fn is_received(&self) -> bool {
        self.0.received.load(Ordering::Acquire)
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// The time on the clock of this tenure.
    pub(crate) fn now(&self) -> Moment {
        self.0.clock.now()
    }

    /// Moves the deadline; false if a caller has seen the tenure as lost already.
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

    /// This tenure, which no caller has yet, in a slot of its lock.
    pub(crate) fn in_slot(mut self, slot: u16) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.slot = Some(slot);
        }
        self
    }

    /// Reports whether others wait for the lock.
    pub(crate) fn request(&self, requested: bool) {
        self.0.requested.modify(|before| std::mem::replace(before, requested) != requested);
    }

    /// Whether the deadline is this one.
    pub(crate) fn is_until(&self, until: Moment) -> bool {
        self.0.until.load(Ordering::Acquire) == until.as_nanos()
    }

    /// Ends the tenure, before the backend is updated. The first reason stays.
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
