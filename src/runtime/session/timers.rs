//! The deadlines of one session, in one list.

use std::collections::{BTreeMap, BTreeSet};

use crate::{api::name::RecordName, protocol::session::SessionId, util::clock::Moment};

/// Whose deadline it is. In this order, deadlines of the same moment are served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Heartbeat,
    /// The end of what the last heartbeat confirmed.
    Validity,
    Lock(RecordName),
    Observer(SessionId),
    Resync,
    /// The next look for old sessions.
    Collect,
    Close,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Moment, Timer)>,
    deadlines: BTreeMap<Timer, Moment>,
}

impl Timers {
    /// Replaces the deadline of `timer`. [`Moment::NEVER`] removes it.
    pub(super) fn set(&mut self, timer: Timer, at: Moment) {
        let before = if at == Moment::NEVER {
            self.deadlines.remove(&timer)
        } else {
            self.deadlines.insert(timer.clone(), at)
        };
        if before == Some(at) {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, timer.clone()));
        }
        if at != Moment::NEVER {
            self.order.insert((at, timer));
        }
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Moment {
        self.order.first().map_or(Moment::NEVER, |(at, _)| *at)
    }

    /// Removes a deadline that has passed.
    pub(super) fn pop(&mut self, now: Moment) -> Option<Timer> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }
}
