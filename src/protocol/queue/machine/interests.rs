//! The other sessions that the claims of this one depend on, so that their end is noticed.

use std::{collections::BTreeSet, sync::Arc};

use super::{Interest, LockMachine, NEAR, StoredLock};
use crate::{
    protocol::{
        queue::{claim::Claim, line::MAX_QUEUE},
        session::SessionId,
    },
    util::clock::Moment,
};

impl LockMachine {
    /// The other sessions that a waiting claim depends on.
    pub(crate) fn interests(&self, now: Moment) -> Vec<Interest> {
        let Some(found) = self.record() else { return Vec::new() };
        let line = &found.record.line;
        let often = self.me.ttl() / 3;
        let orphan = found.record.orphan();
        let holders = line.holders.iter().map(|holder| &holder.claim.session).chain(&orphan);
        // A claim outside a full queue depends on all in it, because all of them may have crashed.
        let place = self.position().or_else(|| self.is_outside().then_some(line.length()));
        let (sessions, every): (Vec<_>, _) = match place {
            None if now < self.curious_until => (holders.collect(), often),
            None => return Vec::new(),
            Some(0) => (holders.collect(), often),
            Some(position) => {
                let ahead = line.waiting().take(position).map(|claim| &claim.session);
                let ahead: Vec<_> = ahead.collect();
                // One was over among those ahead: more may have ended with it, and all take the same time.
                if now < self.suspicious_until
                    || ahead.iter().any(|session| self.over.contains(*session))
                {
                    (holders.chain(ahead).collect(), often)
                } else {
                    let every = if position < NEAR { often } else { self.me.ttl() };
                    (holders.chain(ahead.last().copied()).collect(), every)
                }
            }
        };
        let others: BTreeSet<_> = sessions.into_iter().filter(|&one| self.may_live(one)).collect();
        let waiting = self.claims.iter().filter(|claim| !claim.is_held());
        let since = waiting.map(|claim| claim.since).min();
        let soon = since.is_none_or(|since| now >= since + often / 10 * 9);
        others.into_iter().map(|one| Interest { session: one.clone(), every, soon }).collect()
    }

    /// A session in the queue is over, and its entry leaves the queue with the next write. The others ahead are
    /// observed for longer than their time to live, or each of them would delay the lock by a time to live of its own.
    pub(super) fn suspect(&mut self, now: Moment, base: Option<&StoredLock>) {
        let is_over = |claim: &Claim| self.over.contains(&claim.session);
        if base.is_some_and(|base| base.record.line.waiting().any(is_over)) {
            self.suspicious_until = now + self.me.ttl() / 2 * 3;
        }
    }

    fn may_live(&self, session: &SessionId) -> bool {
        *session != self.me && !self.over.contains(session)
    }

    /// The place of this session's first waiting claim in the queue.
    pub(super) fn position(&self) -> Option<usize> {
        let line = &self.record()?.record.line;
        let waiting = self.claims.iter().filter(|claim| !claim.is_held());
        waiting.filter_map(|claim| line.position(&self.me, claim.nonce)).min()
    }

    /// A claim of this session waits outside a full queue.
    pub(super) fn is_outside(&self) -> bool {
        let full = |found: &Arc<StoredLock>| found.record.line.length() >= MAX_QUEUE;
        self.record().is_some_and(full)
            && self.claims.iter().any(|claim| !claim.is_held() && !claim.try_once)
    }
}
