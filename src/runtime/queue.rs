//! Who in this process wants one record, and who has it: decides for whom the machine claims next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use crate::{
    api::{
        error::{Error, Loss, Result},
        guard::{Guard, Release, WeakGuard},
        tenure::{Tenure, TenureState},
        timing::Timing,
        token::Token,
    },
    protocol::machine::{Input, Machine},
    runtime::{
        request::Claim,
        standing::Standing,
        telemetry::{Doubt, Telemetry},
    },
    util::{
        clock::{Clock, Moment},
        watched::Shown,
    },
};

/// How long the others have to take a record that went from hand to hand in here for a whole time to live.
const COURTESY: Duration = Duration::from_millis(200);

/// The queue for one record in one process, first come, first served.
#[derive(Debug)]
pub(crate) struct Desk {
    name: Arc<str>,
    me: Arc<str>,
    clock: Clock,
    queue: VecDeque<Claim>,
    present: Option<Tenure>,
    /// The guard of the present tenure; gone if it was kept.
    guard: Option<WeakGuard>,
    tenures: u64,
    /// Since when the record has been in this process's hands without having been offered to others.
    since: Moment,
    /// For how long to leave the record to others once it is free.
    offer: Option<Duration>,
    /// Not before then does the next in the queue claim: others come first.
    courtesy: Moment,
    /// The terms on which the machine claims, or last did.
    claimed: Option<Timing>,
    /// Who held it last, as far as is known, if not this contender.
    other: Option<Arc<str>>,
    leaving: Vec<oneshot::Sender<Result<()>>>,
    driver: mpsc::UnboundedSender<Release>,
    standing: Arc<Shown<Standing>>,
    failure: Option<Error>,
    pub(crate) telemetry: Telemetry,
}

impl Desk {
    pub(crate) fn new(
        name: Arc<str>,
        me: Arc<str>,
        clock: Clock,
        driver: mpsc::UnboundedSender<Release>,
        standing: Arc<Shown<Standing>>,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            name,
            me,
            clock,
            queue: VecDeque::new(),
            present: None,
            guard: None,
            tenures: 0,
            since: Moment::default(),
            offer: None,
            courtesy: Moment::default(),
            claimed: None,
            other: None,
            leaving: Vec::new(),
            driver,
            standing,
            failure: None,
            telemetry,
        }
    }

    pub(crate) fn join(&mut self, claim: Claim, machine: &Machine) -> Input {
        if self.is_idle() {
            // An old failure says nothing about this claim.
            self.failure = None;
        }
        self.queue.push_back(claim);
        // Nobody has looked since the last one stopped waiting: what was in the way may be long gone.
        if machine.is_wanted() { Input::Wake } else { Input::Look }
    }

    /// A request failed: what waiters are told if waiting on cannot help.
    pub(crate) fn failed(&mut self, error: Error) {
        self.failure = Some(error);
    }

    pub(crate) fn succeeded(&mut self) {
        // Whoever waits for a release wants to hear what kept it from being told.
        if self.leaving.is_empty() {
            self.failure = None;
        }
    }

    /// A guard was dropped or released, or its lock unlocked; or somebody asks to hear when nothing is left.
    pub(crate) fn release(&mut self, now: Moment, release: Release) -> Input {
        self.leaving.extend(release.done);
        match &self.present {
            Some(tenure) if tenure.id() == release.tenure => self.leave(now),
            // Over before: there is nothing to give back.
            _ => Input::Wake,
        }
    }

    /// Releases whatever is held. `None` if nothing is.
    pub(crate) fn unlock(&mut self, now: Moment, done: oneshot::Sender<Result<()>>) -> Input {
        if let Some(tenure) = &self.present {
            let release = Release { tenure: tenure.id(), done: Some(done) };
            return self.release(now, release);
        }
        let _ = done.send(Err(Error::NotHeld { name: self.name.to_string() }));
        Input::Wake
    }

    fn leave(&mut self, now: Moment) -> Input {
        let Some(tenure) = self.present.take() else { return Input::Wake };
        tenure.end(Loss::Released);
        // What kept it from being renewed is no answer to whether it can be given back.
        self.failure = None;
        self.drop_cancelled();
        let ended = match tenure.state() {
            TenureState::Lost(why) => why,
            TenureState::Held | TenureState::InDoubt => Loss::Released,
        };
        match self.queue.front() {
            Some(next) if now - self.since < next.timing.ttl() => {
                let timing = next.timing;
                self.tell_end(tenure.token(), ended, Telemetry::handed_over);
                return self.pass(timing);
            }
            // The record has gone from hand to hand in here for long enough.
            Some(next) => self.offer = Some((next.timing.ttl() / 100).min(COURTESY)),
            None => {}
        }
        self.since = Moment::default();
        self.tell_end(tenure.token(), ended, Telemetry::released);
        Input::Release
    }

    /// Says how a tenure ended: its holder may have seen it run out before giving it back.
    fn tell_end(&self, token: Token, why: Loss, given_back: fn(&Telemetry, Token)) {
        match why {
            Loss::Released => given_back(&self.telemetry, token),
            lost => self.telemetry.lost(token, lost),
        }
    }

    fn pass(&mut self, timing: Timing) -> Input {
        self.claimed = Some(timing);
        Input::Pass(timing)
    }

    /// Brings guards, waiters and machine into line; the machine takes the answer as its next input, until there is none.
    pub(crate) fn tend(&mut self, now: Moment, machine: &mut Machine) -> Option<Input> {
        if let Some(tenure) = &self.present {
            if machine.holds(now) != Some(tenure.token()) {
                let why = machine.loss().unwrap_or(Loss::Expired);
                tenure.end(why);
                self.telemetry.lost(tenure.token(), why);
                self.present = None;
                self.since = Moment::default();
            } else if !self.extend(now, machine) {
                return Some(self.leave(now));
            }
        }
        self.drop_cancelled();
        if let (Some(token), None) = (machine.holds(now), &self.present) {
            match self.queue.pop_front() {
                None => return Some(Input::Release),
                Some(claim) if self.claimed == Some(claim.timing) => {
                    self.grant(now, machine, token, claim);
                }
                // Won for one who has left meanwhile, and on other terms.
                Some(claim) => {
                    let timing = claim.timing;
                    self.queue.push_front(claim);
                    return Some(self.pass(timing));
                }
            }
        }
        self.turn_away(now, machine);
        let next = self.next_claim(now, machine);
        if next.is_none() {
            // In this order: whoever is answered then looks at what was told.
            self.tell(machine);
            self.answer_left(now, machine);
        }
        next
    }

    /// Moves the deadline of the present tenure; false if its holder has seen it end already.
    fn extend(&mut self, now: Moment, machine: &Machine) -> bool {
        let Some(tenure) = &self.present else { return false };
        let until = machine.deadline().unwrap_or(now);
        let doubtful = machine.doubtful().unwrap_or(now);
        let (moved, left) = (tenure.is_until(until), until - now);
        if !tenure.extend(until, doubtful) {
            return false;
        }
        if !moved {
            self.telemetry.extended(tenure.token(), left);
        }
        let doubt = match now < doubtful {
            true => Doubt::None,
            false if machine.yields() => Doubt::Yielding,
            false => Doubt::Overdue,
        };
        self.telemetry.stands(tenure.token(), left, doubt);
        true
    }

    fn grant(&mut self, now: Moment, machine: &Machine, token: Token, claim: Claim) {
        let until = machine.deadline().unwrap_or(now);
        self.tenures += 1;
        let (name, me) = (Arc::clone(&self.name), Arc::clone(&self.me));
        let tenure = Tenure::new(self.tenures, name, me, token, self.clock, until);
        tenure.extend(until, machine.doubtful().unwrap_or(until));
        if self.since == Moment::default() {
            self.since = now;
        }
        self.present = Some(tenure.clone());
        self.telemetry.acquired(token, until - now);
        let guard = Guard::new(tenure, self.driver.clone());
        self.guard = Some(guard.downgrade());
        // If its owner left at this very moment, the guard is dropped here, which releases.
        let _ = claim.reply.send(Ok(guard));
    }

    fn next_claim(&mut self, now: Moment, machine: &Machine) -> Option<Input> {
        if self.present.is_some() {
            return None;
        }
        if self.offer.is_some() && machine.has_left(now).is_some() {
            // Free from now on: before that nobody else could have come.
            self.courtesy = self.offer.take().map_or(now, |offer| now + offer);
        }
        let timing = self.queue.front().map(|next| next.timing);
        match timing {
            None => machine.is_wanted().then_some(Input::Release),
            Some(_) if self.offer.is_some() || now < self.courtesy => None,
            Some(_) if machine.is_wanted() && self.claimed == timing => None,
            Some(timing) => {
                self.claimed = Some(timing);
                Some(Input::Claim(timing))
            }
        }
    }

    /// Ends the waits that are over: by their deadline, or because waiting cannot help.
    fn turn_away(&mut self, now: Moment, machine: &Machine) {
        if let Some(holder) = self.foreign(machine) {
            self.other = Some(holder);
        }
        let hopeless = self.failure.as_ref().is_some_and(|error| !error.is_transient());
        let known = machine.waits() || machine.is_failing() || self.present.is_some();
        let mut kept = VecDeque::with_capacity(self.queue.len());
        for claim in self.queue.drain(..) {
            let over = claim.deadline.is_some_and(|deadline| now >= deadline) && known;
            match &self.failure {
                Some(error)
                    if hopeless && self.present.is_none() || over && machine.is_failing() =>
                {
                    let _ = claim.reply.send(Err(error.clone()));
                }
                _ if over => {
                    let holder = match &self.present {
                        None => self.other.as_ref().unwrap_or(&self.me).to_string(),
                        Some(_) => self.me.to_string(),
                    };
                    let waited = now - claim.asked;
                    let _ = claim.reply.send(Err(Error::Timeout {
                        name: self.name.to_string(),
                        holder,
                        waited,
                    }));
                }
                _ => kept.push_back(claim),
            }
        }
        self.queue = kept;
    }

    /// Answers those who wait for a release: once the record is seen to be out of this machine's hands, or the
    /// backend refuses, which only a person can change. It is then tried on without anybody waiting.
    fn answer_left(&mut self, now: Moment, machine: &Machine) {
        if self.leaving.is_empty() {
            return;
        }
        let answer = match (machine.has_left(now), &self.failure) {
            (Some(false), Some(error)) => Err(error.clone()),
            (None, Some(error)) if !error.is_transient() && machine.holder() == Some(&self.me) => {
                Err(error.clone())
            }
            (Some(_), _) => Ok(()),
            (None, _) => return,
        };
        for done in self.leaving.drain(..) {
            let _ = done.send(answer.clone());
        }
    }

    fn drop_cancelled(&mut self) {
        self.queue.retain(|claim| !claim.reply.is_closed());
    }

    /// Whoever else the record names: what is left there of one's own past tenure is nobody's.
    fn foreign(&self, machine: &Machine) -> Option<Arc<str>> {
        machine.holder().filter(|holder| **holder != self.me || machine.waits()).cloned()
    }

    fn tell(&self, machine: &Machine) {
        let (holder, token) = if let Some(tenure) = &self.present {
            (Some(Arc::clone(&self.me)), Some(tenure.token().number()))
        } else {
            let holder = self.foreign(machine);
            let token = machine.seen().filter(|_| holder.is_some());
            (holder, token.and_then(|found| found.token()))
        };
        let standing = Standing {
            holder,
            token,
            used: self.present.is_some() || !self.queue.is_empty(),
            waits: machine.waits(),
            error: self.failure.clone(),
        };
        self.standing.change(|known| {
            !known.is_as(&standing) && {
                *known = standing;
                true
            }
        });
    }

    /// When something is due here, whatever the machine says.
    pub(crate) fn due(&self, now: Moment) -> Moment {
        let deadlines =
            self.queue.iter().filter_map(|claim| claim.deadline).filter(|&deadline| deadline > now);
        let courtesy = (self.courtesy > now && !self.queue.is_empty()).then_some(self.courtesy);
        deadlines.chain(courtesy).min().unwrap_or(Moment::NEVER)
    }

    /// Nobody holds, waits or leaves.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.present.is_none() && self.leaving.is_empty()
    }

    /// The handle has gone: nobody else will come, and what is kept is released.
    pub(crate) fn close(&mut self, now: Moment) -> Input {
        for claim in self.queue.drain(..) {
            let _ = claim.reply.send(Err(Error::Closed { name: self.name.to_string() }));
        }
        let owned = self.guard.as_ref().is_some_and(WeakGuard::is_owned);
        if self.present.is_some() && !owned { self.leave(now) } else { Input::Wake }
    }
}

impl Drop for Desk {
    /// However the driver ends, nobody goes on believing.
    fn drop(&mut self) {
        if let Some(tenure) = &self.present {
            tenure.end(Loss::Abandoned);
            self.telemetry.lost(tenure.token(), Loss::Abandoned);
        }
    }
}
