//! The local FIFO queue for one record. It hands out guards, and tells the machine which caller to claim for.
//!
//! | module | contents |
//! |---|---|
//! | `waiters` | the callers that wait |
//! | `answers` | answers to callers without a guard |
//! | `turns` | turns between this process and others |

mod answers;
mod turns;
mod waiters;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use self::{turns::Turns, waiters::Waiters};
use super::{
    contender_status::ContenderStatus,
    request::Request,
    telemetry::{Doubt, Telemetry},
};
use crate::{
    api::{
        error::{Error, Loss, Result},
        guard::{Guard, Release, WeakGuard},
        tenure::{Tenure, TenureState},
        timing::Durations,
        token::Token,
    },
    protocol::machine::{Input, Status, TenureStatus},
    util::{
        clock::{Clock, Moment},
        watched::Watched,
    },
};

/// The callers of one process that want one record, first come, first served.
#[derive(Debug)]
pub(crate) struct Queue {
    name: Arc<str>,
    identity: Arc<str>,
    clock: Clock,
    waiters: Waiters,
    tenure: Option<Tenure>,
    /// The guard of the present tenure. Without an owner once the caller kept the lock.
    guard: Option<WeakGuard>,
    turns: Turns,
    /// The timing of the last claim.
    claimed: Option<Durations>,
    /// The last known holder in another process.
    other: Option<Arc<str>>,
    /// Callers that wait until the record is released.
    releasing: Vec<oneshot::Sender<Result<()>>>,
    contender: mpsc::UnboundedSender<Release>,
    published: Arc<Watched<ContenderStatus>>,
    failure: Option<Error>,
    /// The failure is that of a read.
    failed_read: bool,
    /// When the last read was sent that has shown the record.
    read_at: Option<Moment>,
    pub(crate) telemetry: Telemetry,
}

impl Queue {
    pub(crate) fn new(
        name: Arc<str>,
        identity: Arc<str>,
        clock: Clock,
        contender: mpsc::UnboundedSender<Release>,
        published: Arc<Watched<ContenderStatus>>,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            name,
            identity,
            clock,
            waiters: Waiters::default(),
            tenure: None,
            guard: None,
            turns: Turns::default(),
            claimed: None,
            other: None,
            releasing: Vec::new(),
            contender,
            published,
            failure: None,
            failed_read: false,
            read_at: None,
            telemetry,
        }
    }

    pub(crate) fn join(&mut self, request: Request, status: &Status) -> Input {
        if self.is_idle() {
            // A failure from before this request says nothing about it.
            self.failure = None;
        }
        let is_single_try = request.is_single_try();
        if self.waiters.is_empty() && is_single_try {
            self.turns.skip_pause();
        }
        self.waiters.push(request);
        match status.wanted {
            true => Input::Wake,
            // Without an earlier request nothing was read lately: the last known holder may have left long ago.
            false if is_single_try => Input::Try,
            false => Input::Look,
        }
    }

    /// A request to the store failed. Callers get this error if waiting longer cannot help.
    pub(crate) fn failed(&mut self, error: Error) {
        self.failure = Some(error);
        self.failed_read = false;
    }

    /// The same for a read, which news from a watch can make up for. It does not hide that writes fail.
    pub(crate) fn read_failed(&mut self, error: Error) {
        let writes_fail = self.failure.is_some() && !self.failed_read;
        if !(writes_fail && error.is_transient()) {
            self.failure = Some(error);
            self.failed_read = true;
        }
    }

    /// A request is answered: a read that was sent at this moment, or another request.
    pub(crate) fn answered(&mut self, read_at: Option<Moment>) {
        self.read_at = self.read_at.max(read_at);
    }

    /// A request to the store succeeded.
    pub(crate) fn succeeded(&mut self) {
        // A caller that waits for a release must still learn why the release failed.
        if self.releasing.is_empty() {
            self.failure = None;
        }
    }

    /// A guard was dropped or released, a caller has stopped waiting, or a caller asks for the moment when nothing is
    /// left in the record.
    pub(crate) fn release(&mut self, now: Moment, release: Release) -> Input {
        self.releasing.extend(release.done);
        match &self.tenure {
            Some(tenure) if tenure.id() == release.tenure => self.end(now),
            // A request with that number, or a tenure that is over already.
            _ => {
                self.waiters.remove(release.tenure);
                Input::Wake
            }
        }
    }

    /// Releases the present tenure; answers [`Error::NotHeld`] if there is none.
    pub(crate) fn unlock(&mut self, now: Moment, done: oneshot::Sender<Result<()>>) -> Input {
        if let Some(tenure) = &self.tenure {
            let release = Release { done: Some(done), ..Release::of(tenure.id()) };
            return self.release(now, release);
        }
        let _ = done.send(Err(Error::NotHeld { name: self.name.to_string() }));
        Input::Wake
    }

    /// Ends the present tenure. The next local caller gets the record unless it is the turn of other processes, or no
    /// tenure may begin yet.
    fn end(&mut self, now: Moment) -> Input {
        let Some(tenure) = self.tenure.take() else { return Input::Wake };
        tenure.end(Loss::Released);
        // A renewal error must not be reported as a release error.
        self.failure = None;
        let ended = match tenure.state() {
            TenureState::Lost(why) => why,
            TenureState::Held | TenureState::InDoubt => Loss::Released,
        };
        let received = tenure.is_received();
        let closed = received && self.claimed.is_some_and(|timing| timing.at_least().is_some());
        match self.waiters.next() {
            Some(_) if closed => self.turns.end(),
            Some(next) if self.turns.continues(now) => {
                let timing = next.timing;
                self.report_end(tenure.token(), ended, Telemetry::handed_over);
                return self.pass(timing);
            }
            // It is the turn of other processes.
            Some(_) => self.turns.leave(now),
            None => self.turns.end(),
        }
        self.report_end(tenure.token(), ended, Telemetry::released);
        if received { Input::Release } else { Input::Cancel }
    }

    /// Reports how a tenure ended. Its holder may have seen it expire before the release.
    fn report_end(&self, token: Token, why: Loss, released: fn(&Telemetry, Token)) {
        match why {
            Loss::Released => released(&self.telemetry, token),
            lost => self.telemetry.lost(token, lost),
        }
    }

    fn pass(&mut self, timing: Durations) -> Input {
        self.claimed = Some(timing);
        Input::Pass(timing)
    }

    /// Brings guards and callers in line with `status`. `unanswered` is true while a request goes on although its
    /// attempt is over. Returns the next input of the machine, `None` if there is none.
    pub(crate) fn advance(
        &mut self,
        now: Moment,
        status: &Status,
        unanswered: bool,
    ) -> Option<Input> {
        if let Some(tenure) = &self.tenure {
            match status.tenure.filter(|held| held.token == tenure.token()) {
                None => self.lose(status.loss.unwrap_or(Loss::Expired)),
                Some(held) if !self.extend(now, held) => return Some(self.end(now)),
                Some(_) => {}
            }
        }
        if self.failed_read && !status.read_failing {
            // A watch has reported the record since: the error is over, although no read has succeeded.
            self.succeeded();
        }
        self.turns.advance(now, status);
        if let (Some(held), None) = (status.tenure, &self.tenure) {
            match self.waiters.next().map(|request| request.timing) {
                None => return Some(Input::Cancel),
                // Won for a caller that has left meanwhile, with another timing.
                Some(timing) if self.claimed != Some(timing) => return Some(self.pass(timing)),
                Some(_) => self.grant(now, held),
            }
        }
        if self.turn_away(now, status, unanswered) {
            return Some(Input::Try);
        }
        let next = self.next_claim(now, status);
        if next.is_none() {
            // Publish the status first: a caller that is woken reads it.
            self.publish(status);
            self.answer_releases(status);
        }
        next
    }

    fn lose(&mut self, why: Loss) {
        let Some(tenure) = self.tenure.take() else { return };
        tenure.end(why);
        self.telemetry.lost(tenure.token(), why);
        self.turns.end();
    }

    /// Moves the deadline of the present tenure; false if its holder has seen it expire already.
    fn extend(&mut self, now: Moment, held: TenureStatus) -> bool {
        let Some(tenure) = &self.tenure else { return false };
        let (token, left) = (tenure.token(), held.until - now);
        let moved = !tenure.is_until(held.until);
        if !tenure.extend(held.until, held.doubtful_at) {
            return false;
        }
        if moved {
            self.telemetry.extended(token, left);
        }
        let doubt = match now < held.doubtful_at {
            true => Doubt::None,
            false if held.yielding => Doubt::Yielding,
            false => Doubt::Overdue,
        };
        self.telemetry.doubt(token, left, doubt);
        true
    }

    fn grant(&mut self, now: Moment, held: TenureStatus) {
        let Some(request) = self.waiters.pop() else { return };
        let (name, identity) = (Arc::clone(&self.name), Arc::clone(&self.identity));
        let TenureStatus { token, until, doubtful_at, .. } = held;
        let tenure = Tenure::new(request.key, name, identity, token, self.clock, until);
        tenure.extend(until, doubtful_at);
        self.turns.granted(now, request.timing);
        self.tenure = Some(tenure.clone());
        self.telemetry.acquired(token, until - now);
        let guard = Guard::new(tenure, self.contender.clone());
        self.guard = Some(guard.downgrade());
        // If the caller has left at this moment, the guard is dropped here, which releases it.
        let _ = request.reply.send(Ok(guard));
    }

    fn next_claim(&mut self, now: Moment, status: &Status) -> Option<Input> {
        if self.tenure.is_some() {
            return None;
        }
        let timing = self.waiters.next().map(|next| next.timing);
        match timing {
            None => status.wanted.then_some(Input::Release),
            Some(_) if self.turns.is_pause(now) => None,
            Some(_) if status.wanted && self.claimed == timing => None,
            Some(timing) => {
                self.claimed = Some(timing);
                Some(Input::Claim(timing))
            }
        }
    }

    fn publish(&self, status: &Status) {
        let (holder, token, payload) = if let Some(tenure) = &self.tenure {
            (Some(Arc::clone(&self.identity)), Some(tenure.token().number()), None)
        } else {
            let holder = self.other_holder(status);
            let record = status.record.as_ref().filter(|_| holder.is_some());
            let payload = record.and_then(|found| found.record.payload.clone());
            (holder, record.and_then(|found| found.token()), payload)
        };
        let new = ContenderStatus {
            holder,
            token,
            payload,
            used: self.tenure.is_some() || !self.waiters.is_empty(),
            waiting: status.waiting,
            error: self.failure.clone(),
        };
        self.published.modify(|known| {
            !known.is_same(&new) && {
                *known = new;
                true
            }
        });
    }

    /// When the queue must be advanced, whatever the machine does.
    pub(crate) fn due(&self, now: Moment) -> Moment {
        let deadline = self.waiters.next_deadline(now);
        let pause = self.turns.pause_ends(now).filter(|_| !self.waiters.is_empty());
        deadline.into_iter().chain(pause).min().unwrap_or(Moment::NEVER)
    }

    /// A watch of the record would show that other processes have had their turn.
    pub(crate) fn wants_watch(&self, now: Moment) -> bool {
        !self.waiters.is_empty() && self.turns.wants_watch(now)
    }

    /// A caller has no time in which a free record could be left to other processes.
    pub(crate) fn is_hurried(&self, now: Moment) -> bool {
        self.waiters.is_hurried(now)
    }

    /// No caller holds, waits or releases.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.tenure.is_none() && self.releasing.is_empty()
    }

    /// The handle is gone: no caller will come any more, and a kept lock is released.
    pub(crate) fn close(&mut self, now: Moment) -> Input {
        while let Some(request) = self.waiters.pop() {
            let _ = request.reply.send(Err(Error::Closed { name: self.name.to_string() }));
        }
        let owned = self.guard.as_ref().is_some_and(WeakGuard::is_owned);
        if self.tenure.is_some() && !owned { self.end(now) } else { Input::Wake }
    }
}

impl Drop for Queue {
    /// However the contender ends, its tenure ends with it: a guard must not report a lock that is no longer renewed.
    fn drop(&mut self) {
        self.lose(Loss::Abandoned);
    }
}
