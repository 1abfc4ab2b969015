//! How many requests of one handle are under way, and which one is sent next.
//!
//! Without a bound a process with thousands of locks would send thousands of requests at one instant, each on a
//! connection of its own, and lose its locks because no server answers them all in time.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use crate::{
    protocol::machine::Urgency,
    util::{clock::Moment, mutex::lock},
};

/// How many requests of one handle are under way at once, each within its attempt. With its watches, and with connections
/// that are opened in advance, a handle then has at most 40 connections, as `make bench` measures.
const REQUESTS: usize = 28;
/// How many of them are reserved for tenures: claims and reads that hang must not keep a holder from its renewals.
const RESERVED: usize = 4;
/// How many more may go on after their attempt is over. A request beyond that ends with its attempt.
const LATE_REQUESTS: usize = 64;

/// The limits of one handle.
#[derive(Debug)]
pub(crate) struct Limiter(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    free_for_tenures: usize,
    free_for_late: usize,
    /// In the order in which they are served: by urgency, by the time that is left, then first come, first served.
    waiting: BTreeMap<(Urgency, Moment, u64), oneshot::Sender<Permit>>,
    /// How many have waited: the number of the last one.
    waited: u64,
}

/// The right to send one request. Dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Option<Arc<Limiter>>,
    reserved: bool,
}

/// The right of one request to go on after its attempt is over.
#[derive(Debug)]
pub(crate) struct LatePermit(Arc<Limiter>);

/// A place in the queue for a permit. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    limiter: Arc<Limiter>,
    place: (Urgency, Moment, u64),
    permit: oneshot::Receiver<Permit>,
}

impl Limiter {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            free: REQUESTS - RESERVED,
            free_for_tenures: RESERVED,
            free_for_late: LATE_REQUESTS,
            waiting: BTreeMap::new(),
            waited: 0,
        })))
    }

    /// A permit for any request, unless a wait is necessary.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let mut state = lock(&self.0);
        state.free = state.free.checked_sub(1)?;
        Some(self.permit(false))
    }

    /// Queues for a permit. Among requests of the same urgency, the one with the earliest deadline comes first.
    pub(crate) fn queue(self: &Arc<Self>, urgency: Urgency, deadline: Moment) -> Ticket {
        let (grant, permit) = oneshot::channel();
        let mut state = lock(&self.0);
        state.waited += 1;
        let place = (urgency, deadline, state.waited);
        // A permit may have become free since the caller tried to acquire one.
        if let Some(reserved) = state.take(urgency) {
            drop(state);
            let _ = grant.send(self.permit(reserved));
        } else {
            state.waiting.insert(place, grant);
        }
        Ticket { limiter: Arc::clone(self), place, permit }
    }

    fn permit(self: &Arc<Self>, reserved: bool) -> Permit {
        Permit { limiter: Some(Arc::clone(self)), reserved }
    }

    /// Gives a permit that is free again to the next in the queue.
    fn pass_on(self: &Arc<Self>, reserved: bool) {
        loop {
            let mut state = lock(&self.0);
            let next = state.waiting.first_entry();
            let Some(next) = next.filter(|next| !reserved || next.key().0 == Urgency::Tenure)
            else {
                *state.pool(reserved) += 1;
                return;
            };
            let grant = next.remove();
            drop(state);
            match grant.send(self.permit(reserved)) {
                Ok(()) => return,
                // That one has left. Emptied, so that its drop does not pass it on a second time.
                Err(mut permit) => permit.limiter = None,
            }
        }
    }
}

impl State {
    /// Takes a permit that is free: whether it is a reserved one.
    fn take(&mut self, urgency: Urgency) -> Option<bool> {
        let reserved = self.free == 0;
        if reserved && urgency != Urgency::Tenure {
            return None;
        }
        let pool = self.pool(reserved);
        *pool = pool.checked_sub(1)?;
        Some(reserved)
    }

    const fn pool(&mut self, reserved: bool) -> &mut usize {
        if reserved { &mut self.free_for_tenures } else { &mut self.free }
    }
}

impl Permit {
    /// Lets the next request go, while this one goes on; `None` if too many do so already.
    pub(crate) fn into_late(mut self) -> Option<LatePermit> {
        let limiter = self.limiter.take()?;
        let late = {
            let mut state = lock(&limiter.0);
            state.free_for_late.checked_sub(1).map(|free| state.free_for_late = free)
        };
        limiter.pass_on(self.reserved);
        late.map(|()| LatePermit(limiter))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limiter) = self.limiter.take() {
            limiter.pass_on(self.reserved);
        }
    }
}

impl Drop for LatePermit {
    fn drop(&mut self) {
        lock(&self.0.0).free_for_late += 1;
    }
}

impl Ticket {
    pub(crate) const fn urgency(&self) -> Urgency {
        self.place.0
    }
}

impl Future for Ticket {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        // The limiter keeps the sender until it sends, and the ticket keeps the limiter.
        let permit = ready!(Pin::new(&mut self.permit).poll(context));
        Poll::Ready(permit.unwrap_or(Permit { limiter: None, reserved: false }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A permit that was sent and not received is dropped with the channel, which passes it on.
        lock(&self.limiter.0).waiting.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    fn is_next(ticket: &mut Ticket) -> bool {
        ticket.now_or_never().is_some_and(|permit| permit.limiter.is_some())
    }

    /// A limiter without a permit that is free, and the permits: those for any request, and those for tenures.
    fn exhausted() -> (Arc<Limiter>, Vec<Permit>, Vec<Permit>) {
        let limiter = Limiter::new();
        let permits: Vec<_> = std::iter::from_fn(|| limiter.try_acquire()).collect();
        let reserved = std::iter::from_fn(|| limiter.queue(Urgency::Tenure, at(0)).now_or_never());
        let reserved: Vec<_> = reserved.take(RESERVED).collect();
        assert_eq!(permits.len() + reserved.len(), REQUESTS);
        assert!(!is_next(&mut limiter.queue(Urgency::Tenure, at(0))));
        (limiter, permits, reserved)
    }

    #[test]
    fn renewals_come_first_and_among_them_the_earliest_deadline() {
        let (limiter, mut permits, _reserved) = exhausted();
        let mut tickets = [
            limiter.queue(Urgency::Read, at(0)),
            limiter.queue(Urgency::Claim, at(0)),
            limiter.queue(Urgency::Release, at(0)),
            limiter.queue(Urgency::Tenure, at(9)),
            limiter.queue(Urgency::Tenure, at(8)),
        ];
        let mut held = Vec::new();
        for next in [4, 3, 2, 1, 0] {
            for ticket in &mut tickets[..next] {
                assert!(ticket.now_or_never().is_none());
            }
            permits.pop();
            held.push((&mut tickets[next]).now_or_never().expect("it is the next"));
        }
    }

    #[test]
    fn some_permits_are_for_tenures_only() {
        let limiter = Limiter::new();
        let _hanging: Vec<_> = std::iter::from_fn(|| limiter.try_acquire()).collect();
        let (mut read, mut tenure) =
            (limiter.queue(Urgency::Read, at(0)), limiter.queue(Urgency::Tenure, at(9)));

        assert!(!is_next(&mut read));
        // Received and dropped: it is reserved again, and does not go to the read.
        assert!(is_next(&mut tenure));
        assert!(!is_next(&mut read));
        assert!(is_next(&mut limiter.queue(Urgency::Tenure, at(0))));
    }

    #[test]
    fn a_permit_that_becomes_free_before_the_ticket_is_queued_is_not_missed() {
        let (limiter, permits, reserved) = exhausted();
        assert!(limiter.try_acquire().is_none());
        // On another thread, the answers of all others.
        drop((permits, reserved));

        assert!(is_next(&mut limiter.queue(Urgency::Read, at(0))));
    }

    #[test]
    fn a_ticket_that_is_dropped_costs_no_permit() {
        let (limiter, mut permits, _reserved) = exhausted();
        let (first, second) =
            (limiter.queue(Urgency::Read, at(0)), limiter.queue(Urgency::Read, at(0)));
        permits.pop();
        // The permit was sent to the first one, which never receives it.
        drop(first);
        assert!(second.now_or_never().is_some());
        assert!(limiter.try_acquire().is_some());
        assert!(limiter.try_acquire().is_some_and(|_| true), "dropped at once, so free again");
    }

    #[test]
    fn a_late_request_lets_the_next_one_go_and_their_number_is_bounded() {
        let limiter = Limiter::new();
        let late: Vec<_> = std::iter::from_fn(|| limiter.try_acquire()?.into_late()).collect();
        assert_eq!(late.len(), LATE_REQUESTS);
        assert_eq!(
            std::iter::from_fn(|| limiter.try_acquire()).collect::<Vec<_>>().len(),
            REQUESTS - RESERVED
        );
        drop(late);
        assert!(limiter.try_acquire().and_then(Permit::into_late).is_some());
    }
}
