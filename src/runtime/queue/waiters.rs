//! The callers that wait for one record, in the order of their calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{runtime::request::Request, util::clock::Moment};

/// A caller with less time than this must get a free record at once: twice as long as any pause before a claim.
const HURRY: Duration = Duration::from_secs(1);

/// How long single tries stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// They leave at once.
    None,
    /// Until a read shows the record that was sent after their call. Behind a caller that waits they leave at once,
    /// because that caller comes first.
    UntilRead(Option<Moment>),
    /// For as long as [`Request::patience_ends`] permits.
    Long,
}

/// The requests of a queue. Every operation costs O(log n), so that many waiting callers do not slow one command.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// By key. Keys grow with each call, so this is also the order of the calls.
    requests: BTreeMap<u64, Request>,
    deadlines: BTreeSet<(Moment, u64)>,
}

impl Waiters {
    pub(super) fn push(&mut self, request: Request) {
        if let Some(deadline) = request.deadline {
            self.deadlines.insert((deadline, request.key));
        }
        self.requests.insert(request.key, request);
    }

    /// Removes the request of a caller that has stopped waiting. False if it is not here.
    pub(super) fn remove(&mut self, key: u64) -> bool {
        self.take(key).is_some()
    }

    /// The next caller that still waits. Removes those before it that have stopped, because the message of a caller
    /// that stops may come later than the moment at which its turn comes.
    pub(super) fn next(&mut self) -> Option<&Request> {
        while self.requests.first_key_value()?.1.reply.is_closed() {
            self.pop();
        }
        Some(self.requests.first_key_value()?.1)
    }

    pub(super) fn pop(&mut self) -> Option<Request> {
        let (_, request) = self.requests.pop_first()?;
        self.forget_deadline(&request);
        Some(request)
    }

    /// Removes the request with the earliest deadline that has passed, apart from those that stay.
    pub(super) fn pop_overdue(&mut self, now: Moment, patience: Patience) -> Option<Request> {
        let tries_first = self.next().is_some_and(Request::is_single_try);
        let overdue = self.deadlines.range(..=(now, u64::MAX)).map(|&(_, key)| key);
        let stays = |request: &Request| match patience {
            Patience::None => false,
            Patience::UntilRead(read_at) => {
                tries_first && request.is_single_try() && Some(request.asked_at) > read_at
            }
            Patience::Long => request.patience_ends().is_some_and(|end| now < end),
        };
        let key = overdue.into_iter().find(|key| !self.requests.get(key).is_some_and(stays))?;
        self.take(key)
    }

    /// The next caller is one whose deadline has passed.
    pub(super) fn next_is_overdue(&mut self, now: Moment) -> bool {
        self.next().is_some_and(|next| next.deadline.is_some_and(|deadline| deadline <= now))
    }

    /// The earliest deadline after `now`, or end of the patience of a single try.
    pub(super) fn next_deadline(&self, now: Moment) -> Option<Moment> {
        let deadline =
            self.deadlines.range((now, u64::MAX)..).next().map(|&(deadline, _)| deadline);
        // Single tries have the earliest deadlines, in the order of their calls.
        let overdue = self.deadlines.range(..=(now, u64::MAX));
        let tries = overdue.filter_map(|(_, key)| self.requests.get(key)?.patience_ends());
        deadline.into_iter().chain(tries.filter(|&end| end > now).take(1)).min()
    }

    /// A single try is here, or a deadline is near.
    pub(super) fn is_hurried(&self, now: Moment) -> bool {
        self.deadlines.first().is_some_and(|&(deadline, _)| deadline < now + HURRY)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    fn take(&mut self, key: u64) -> Option<Request> {
        let request = self.requests.remove(&key)?;
        self.forget_deadline(&request);
        Some(request)
    }

    fn forget_deadline(&mut self, request: &Request) {
        if let Some(deadline) = request.deadline {
            self.deadlines.remove(&(deadline, request.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::api::{error::Result, guard::Guard, timing::Timing};

    fn at(secs: u64) -> Moment {
        Moment::default() + Duration::from_secs(secs)
    }

    /// Adds a caller with this key. Dropping the result is what a caller does that stops waiting.
    fn join(
        waiters: &mut Waiters,
        key: u64,
        deadline: Option<Moment>,
    ) -> oneshot::Receiver<Result<Guard>> {
        let (reply, answer) = oneshot::channel();
        let timing = Timing::default().durations();
        waiters.push(Request { key, timing, asked_at: at(0), deadline, reply });
        answer
    }

    #[test]
    fn callers_come_in_the_order_of_their_calls_whatever_their_deadlines_are() {
        let mut waiters = Waiters::default();
        let _callers = [(3, Some(at(1))), (1, Some(at(9))), (2, None)]
            .map(|(key, deadline)| join(&mut waiters, key, deadline));

        let order: Vec<_> =
            std::iter::from_fn(|| waiters.pop()).map(|request| request.key).collect();

        assert_eq!(order, [1, 2, 3]);
        assert_eq!(waiters.next_deadline(at(0)), None, "a granted caller has no deadline");
    }

    #[test]
    fn a_removed_caller_leaves_nothing_behind() {
        let mut waiters = Waiters::default();
        let _callers = [1, 2].map(|key| join(&mut waiters, key, Some(at(key))));

        assert!(waiters.remove(1) && !waiters.remove(1));

        assert_eq!(waiters.next_deadline(at(0)), Some(at(2)));
        assert_eq!((waiters.requests.len(), waiters.deadlines.len()), (1, 1));
    }

    #[test]
    fn a_caller_that_has_stopped_without_a_message_yet_does_not_get_its_turn() {
        let mut waiters = Waiters::default();
        drop(join(&mut waiters, 1, None));
        let _second = join(&mut waiters, 2, None);

        assert_eq!(waiters.next().map(|request| request.key), Some(2));
    }

    #[test]
    fn only_deadlines_that_have_passed_are_overdue() {
        let mut waiters = Waiters::default();
        let _callers = [1, 2, 3].map(|key| join(&mut waiters, key, Some(at(4 - key))));

        let overdue: Vec<_> = std::iter::from_fn(|| waiters.pop_overdue(at(2), Patience::None))
            .map(|request| request.key)
            .collect();

        assert_eq!(overdue, [3, 2]);
        assert_eq!(waiters.next_deadline(at(2)), Some(at(3)));
    }
}
