//! What to do next, as a function of what is known and what is wanted.

use std::{sync::Arc, time::Duration};

use super::{
    Event, FOREIGN_POLL, FULL_PAUSE, Flight, Known, LockMachine, MANY, NEAR, Step, StoredLock,
    part,
    unresolved::{Basis, Unresolved},
};
use crate::{
    protocol::queue::{
        claim::Claim,
        line::{Line, MAX_QUEUE},
        record::{Condition, LockRecord, LockWrite, Turn},
    },
    util::clock::Moment,
};

/// A queue of this length is crowded: each session has at most [`SHARE`] claims in the rest of it. Otherwise a session
/// with many callers would fill each free place itself, and others would never find one.
const CROWDED: usize = MAX_QUEUE / 4 * 3;
const SHARE: usize = 16;

/// What a write makes new, so that an earlier request without an answer cannot be stored any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fence {
    Version,
    Epoch,
}

impl LockMachine {
    /// What to do now. After a request, nothing until its answer.
    pub(crate) fn next(&mut self, now: Moment, random: u64) -> Step {
        self.begin_reserved(now);
        if self.flight.is_some() {
            return Step::Sleep(Moment::NEVER);
        }
        self.settle();
        if !self.has_work(now) {
            return self.rest(now);
        }
        if let Some(step) = self.join_turned(now) {
            return step;
        }
        if now < self.pause_until {
            return Step::Sleep(self.pause_until);
        }
        if self.outdated && now < self.event_until {
            return Step::Sleep(self.event_until);
        }
        let base = match &self.known {
            _ if self.outdated || self.must_confirm_any(now) => return self.send_read(now),
            Known::Nothing => return self.send_read(now),
            Known::Absent => None,
            Known::Present(found) => Some(Arc::clone(found)),
        };
        self.suspect(now, base.as_deref());
        let (mut line, joins, foreign_holds) = self.desired(now, base.as_deref());
        let unchanged = match &base {
            Some(base) => {
                line == base.record.line && (base.record.foreign.is_none() || foreign_holds)
            }
            None => line == Line::default(),
        };
        let fence = self.must_fence(base.as_deref());
        let states = self.must_state_any(now);
        if unchanged && fence.is_none() && !states {
            return match &base {
                Some(base) if !joins.is_empty() => self.send_join(base, joins),
                base => self.wait(now, random, base.as_deref()),
            };
        }
        // The write takes along what would only join.
        for claim in joins {
            line.enqueue(claim);
        }
        if !foreign_holds {
            line.promote();
        }
        self.state_tokens(&mut line);
        if unchanged && !states && base.as_ref().is_none_or(|base| line == base.record.line) {
            line.touch();
        }
        self.send_write(now, base, line, fence == Some(Fence::Epoch), foreign_holds)
    }

    fn has_work(&self, now: Moment) -> bool {
        let waiting = self.claims.iter().any(|claim| !claim.is_held());
        // After a conflict or a loss it is not known what is left of this session in the record.
        // A record whose holders are observed is read when that is asked for.
        let unknown = self.outdated && (self.is_held() || now < self.curious_until);
        let leaving = self.unlabelled || !self.leaving.is_empty();
        let owes = self.joins.owed && !self.outdated;
        let due = self.state_at().min(self.begins_at()) <= now || self.has_early_try(now);
        waiting || unknown || leaving || owes || self.has_unwanted() || due
    }

    /// Nothing is to be done now.
    fn rest(&self, now: Moment) -> Step {
        if !self.claims.is_empty() {
            Step::Sleep(self.state_at().min(self.begins_at()))
        } else if now < self.curious_until {
            Step::Sleep(self.curious_until)
        } else {
            Step::Idle
        }
    }

    /// The record has a claim of this session that no caller wants: a write without an answer was stored after all, or
    /// an earlier tenure was lost. Or it has the name of this session without a line.
    fn has_unwanted(&self) -> bool {
        let Some(found) = self.record() else { return false };
        if found.record.orphan().as_ref() == Some(&self.me) {
            return true;
        }
        let line = &found.record.line;
        let holders = line.holders.iter().map(|holder| &holder.claim);
        holders.chain(line.waiting()).any(|claim| {
            claim.session == self.me && !self.claims.iter().any(|own| own.nonce == claim.nonce)
        })
    }

    /// Reports the claims that have left the record, if the known state proves it.
    fn settle(&mut self) {
        if self.outdated || self.leaving.is_empty() {
            return;
        }
        let found = match &self.known {
            Known::Nothing => return,
            Known::Absent => None,
            Known::Present(found) => Some(&**found),
        };
        let Self { me, unresolved, leaving, events, .. } = self;
        leaving.retain(|&nonce| {
            let present = found.is_some_and(|found| found.record.line.has(me, nonce));
            let mut may_come = unresolved.iter().filter(|request| request.basis.fits(found));
            let may_come = may_come.any(|request| request.nonces.contains(&nonce));
            if !present && !may_come {
                events.push(Event::Left { nonce });
            }
            present || may_come
        });
    }

    /// A request without an answer may still be stored on this state, with a claim that is not wanted any more. A newer
    /// state makes that impossible: what must be new in it.
    fn must_fence(&self, base: Option<&StoredLock>) -> Option<Fence> {
        let unwanted = self.unresolved.iter().filter(|request| {
            request.basis.fits(base)
                && request.nonces.iter().any(|nonce| self.leaving.contains(nonce))
        });
        let fence = |request: &Unresolved| match request.basis {
            Basis::Epoch { .. } => Fence::Epoch,
            _ => Fence::Version,
        };
        unwanted.map(fence).max()
    }

    /// The line to write, the claims that only join it, and whether a foreign holder still has the lock.
    fn desired(&self, now: Moment, base: Option<&StoredLock>) -> (Line, Vec<Claim>, bool) {
        let mut line = base.map(|base| base.record.line.clone()).unwrap_or_default();
        let foreign_holds = base.is_some_and(|base| self.foreign_holds(now, &base.record));
        // A queue that cannot be read may be that of a newer version: it stays as it is while the lock is held.
        if foreign_holds && base.is_some_and(|base| !base.record.is_readable()) {
            return (line, Vec::new(), true);
        }
        line.retain(&self.me, |nonce| self.claims.iter().any(|claim| claim.nonce == nonce));
        line.pass_over(&self.over);
        let promote = |line: &mut Line| {
            if !foreign_holds {
                line.promote();
            }
        };
        promote(&mut line);
        let closed = self.is_closed(now, base);
        let may_join =
            !self.joins.are_refused(now) && base.is_some_and(|base| base.record.turn.is_some());
        let mut joins = Vec::new();
        // The order of claims is that of the calls.
        for wanted in self.claims.iter().filter(|claim| !claim.is_held()) {
            if line.first().is_some_and(|first| !first.mode.mixes(wanted.mode)) {
                continue;
            }
            if line.has(&self.me, wanted.nonce) {
                continue;
            }
            if self.room(&line) <= joins.len() {
                break;
            }
            let (claim, mut tried) = (wanted.of(&self.me), line.clone());
            tried.enqueue(claim.clone());
            promote(&mut tried);
            let granted = tried.held(&self.me, wanted.nonce).is_some();
            // A claim that has to wait needs no condition: it changes nothing of what is there.
            let may_join = may_join && wanted.may_join();
            // What was known before the call is probably not true of a lock that many want.
            let doubted = self.joins.contended && self.known_at < wanted.since;
            if may_join && (!granted || doubted) {
                joins.push(claim);
            } else if granted && !closed || !wanted.try_once {
                line = tried;
            }
        }
        self.describe_candidates(&mut line);
        if self.state_at() <= now {
            self.state_tokens(&mut line);
        }
        (line, joins, foreign_holds)
    }

    /// How many more claims of this session may wait in this line.
    pub(super) fn room(&self, line: &Line) -> usize {
        let (all, own) = (line.length(), line.waiting().filter(|claim| claim.session == self.me));
        let share = SHARE.saturating_sub(own.count()).min(MAX_QUEUE.saturating_sub(all));
        CROWDED.saturating_sub(all).max(share)
    }

    /// Another elector holds the lock. A holder without a line that has the name of this session, or of one that is over,
    /// is no tenure: it is what is left of a write whose line was removed, by a webhook or by hand.
    pub(super) fn foreign_holds(&self, now: Moment, record: &LockRecord) -> bool {
        let foreign =
            record.foreign.as_ref().filter(|foreign| *foreign.holder != *self.me.as_str());
        let is_over = || record.orphan().is_some_and(|session| self.over.contains(&session));
        foreign.is_some_and(|foreign| now < self.foreign_until(foreign.lives) && !is_over())
    }

    /// How long a foreign tenure is respected: unchanged for its ttl and a tenth, on this clock.
    pub(super) fn foreign_until(&self, lives: Duration) -> Moment {
        self.foreign_since + lives + lives / 10
    }

    fn send_read(&mut self, now: Moment) -> Step {
        self.flight = Some(Flight::Read { mark: self.mark, sent_at: now });
        Step::Read
    }

    fn send_write(
        &mut self,
        now: Moment,
        base: Option<Arc<StoredLock>>,
        line: Line,
        new_epoch: bool,
        foreign_holds: bool,
    ) -> Step {
        let informs = self.is_informing(now, base.as_deref(), &line);
        self.tokens_sent(now);
        let mut nonces = Vec::new();
        for claim in self.claims.iter_mut().filter(|claim| !claim.is_held()) {
            let nonce = claim.nonce;
            if line.has(&self.me, nonce) {
                claim.sent = true;
                nonces.push(nonce);
            }
        }
        let version = base.as_ref().map_or(0, |base| base.version.number.get());
        let changes_holders = !foreign_holds
            && base.as_ref().is_none_or(|base| {
                base.record.foreign.is_some() || base.record.line.holders != line.holders
            });
        let (condition, turn) = match &base {
            None => (Condition::Version, Turn::default().next(true)),
            Some(base) => match base.record.turn {
                Some(turn) if base.record.foreign.is_none() && !self.joins.are_refused(now) => {
                    (Condition::Turn, turn.next(new_epoch))
                }
                Some(turn) => (Condition::Version, turn.next(new_epoch)),
                // Larger than those that this object may have had.
                None => (Condition::Version, Turn { number: version, epoch: version }),
            },
        };
        let (basis, patch) = (Basis::of(base.as_deref(), condition), condition == Condition::Turn);
        let (not_before, states) = self.not_before_of(now, base.as_deref(), &line);
        let write = Unresolved { basis, nonces };
        self.flight = Some(Flight::Write { write, version, patch, informs, states });
        Step::Write(LockWrite { base, condition, line, turn, changes_holders, not_before })
    }

    /// Nothing to write: answers single tries and misfits, and reads again after a while.
    fn wait(&mut self, now: Moment, random: u64, base: Option<&StoredLock>) -> Step {
        if self.answer_at_once(now, base) {
            return self.send_read(now);
        }
        // A claim that was answered leaves the record.
        if !self.leaving.is_empty() {
            return self.next(now, random);
        }
        if !self.claims.iter().any(|claim| !claim.is_held()) {
            return self.rest(now);
        }
        let (least, spread) = match self.known_interval() {
            // Waiters outside a full queue have no order, and would all come at once.
            None => (FULL_PAUSE / 2, FULL_PAUSE),
            // Spread by a tenth, so that waiters that came together do not read together.
            Some(often) => (often / 10 * 9, often / 5),
        };
        let next = self.known_at + least + part(spread, random);
        let poll_at = *self.poll_at.get_or_insert(next);
        if now >= poll_at {
            return self.send_read(now);
        }
        let foreign = base.and_then(|base| base.record.foreign.as_ref());
        let expires = foreign.map_or(Moment::NEVER, |one| self.foreign_until(one.lives));
        Step::Sleep(poll_at.min(expires).min(self.state_at()).min(self.begins_at()))
    }

    /// How long after the last state the record is read again; `None` if its queue is full.
    fn known_interval(&self) -> Option<Duration> {
        let often = self.me.ttl() / 3;
        let foreign = self.record().is_some_and(|found| found.record.foreign.is_some());
        let line = self.record().map(|found| &found.record.line);
        Some(match self.position() {
            Some(0) if foreign => often.min(FOREIGN_POLL),
            Some(position) if position < NEAR => {
                often.max(self.me.ttl() / MANY * self.waits.min(MANY))
            }
            Some(_) => self.me.ttl(),
            None if line.is_some_and(|line| line.length() >= MAX_QUEUE) => return None,
            None => often,
        })
    }

    /// Answers the claims that do not wait. True if a read is necessary first.
    fn answer_at_once(&mut self, now: Moment, base: Option<&StoredLock>) -> bool {
        let Some(record) = base.map(|base| &base.record) else { return false };
        let in_use = record.line.first().map(|first| first.mode);
        let misfit = |mode| in_use.filter(|in_use| !in_use.mixes(mode));
        let (sights, mut must_read) = (self.sights, false);
        let early = self.has_early_try(now);
        let closed = if early {
            self.closed_until(now)
        } else {
            self.closed(now).filter(|_| record.line.holders.is_empty())
        };
        let closed = closed.map(Box::new);
        let Self { claims, events, leaving, .. } = self;
        claims.retain(|claim| {
            let misfit = misfit(claim.mode);
            if early
                && claim.try_once
                && claim.is_reserved()
                && let Some(closed) = &closed
            {
                let (nonce, closed) = (claim.nonce, closed.clone());
                leaving.push(nonce);
                events.push(Event::TooEarly { nonce, closed });
                return false;
            }
            if claim.is_held() || !claim.try_once && misfit.is_none() {
                return true;
            }
            if sights <= claim.stale_sights {
                must_read = true;
                return true;
            }
            let nonce = claim.nonce;
            if claim.sent {
                leaving.push(nonce);
            }
            events.push(match misfit {
                Some(in_use) => Event::Mismatch { nonce, in_use },
                None => match &closed {
                    Some(closed) => Event::TooEarly { nonce, closed: closed.clone() },
                    None => Event::Busy { nonce, holder: record.shown_holder() },
                },
            });
            false
        });
        // The holders may have crashed. A caller that asks again a little later needs to know, in another mode too.
        if self.events.iter().any(|it| matches!(it, Event::Busy { .. } | Event::Mismatch { .. })) {
            self.curious_until = now + self.me.ttl() * 2;
        }
        must_read
    }
}
