//! Who in this process wants one record, and who has it: decides for whom the machine claims next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    clock::{Clock, Moment},
    engine::machine::{Input, Machine},
    error::{Error, Loss, Result},
    guard::{Guard, Release, Tenure, WeakGuard},
    timing::Timing,
};

/// How long the others have to take a record that went from hand to hand in here for a whole time to live.
const COURTESY: Duration = Duration::from_millis(200);

/// A task that wants the tenure.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) timing: Timing,
    pub(crate) asked: Moment,
    /// When it stops waiting; the instant of asking for one try.
    pub(crate) deadline: Option<Moment>,
    pub(crate) reply: oneshot::Sender<Result<Guard>>,
}

/// How the record stands, as far as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Who holds it; `None` while free or not known.
    pub(crate) holder: Option<Arc<str>>,
    /// Whether this contender waits for somebody else's tenure to end.
    pub(crate) waits: bool,
    /// The last failure, until something succeeds.
    pub(crate) error: Option<String>,
}

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
    /// The tenure that was given back last.
    left: Option<u64>,
    /// Since when the record has been in this process's hands without having been offered to others.
    since: Moment,
    /// Not before then does the next in the queue claim: others come first.
    courtesy: Moment,
    leaving: Vec<oneshot::Sender<Result<()>>>,
    driver: mpsc::UnboundedSender<Release>,
    standing: watch::Sender<Standing>,
    failure: Option<Error>,
}

impl Desk {
    pub(crate) fn new(
        name: Arc<str>,
        me: Arc<str>,
        clock: Clock,
        driver: mpsc::UnboundedSender<Release>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        Self {
            name,
            me,
            clock,
            queue: VecDeque::new(),
            present: None,
            guard: None,
            tenures: 0,
            left: None,
            since: Moment::default(),
            courtesy: Moment::default(),
            leaving: Vec::new(),
            driver,
            standing,
            failure: None,
        }
    }

    pub(crate) fn join(&mut self, claim: Claim) {
        if self.is_idle() {
            // An old failure says nothing about this claim.
            self.failure = None;
        }
        self.queue.push_back(claim);
    }

    /// A request failed: what waiters are told if waiting on cannot help.
    pub(crate) fn failed(&mut self, error: Error) {
        self.failure = Some(error);
    }

    pub(crate) fn succeeded(&mut self) {
        self.failure = None;
    }

    /// A guard was dropped or released, or its lock unlocked.
    pub(crate) fn release(&mut self, now: Moment, release: Release) -> Input {
        if self.present.as_ref().is_some_and(|tenure| tenure.id() == release.tenure) {
            self.leaving.extend(release.done);
            return self.leave(now);
        }
        match release.done {
            // Its end was seen before this came: the record is still on its way out of these hands.
            Some(done) if self.left == Some(release.tenure) => self.leaving.push(done),
            // Lost before: there is nothing to give back.
            Some(done) => drop(done.send(Ok(()))),
            None => {}
        }
        Input::Wake
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
        self.left = Some(tenure.id());
        self.drop_cancelled();
        match self.queue.front() {
            Some(next) if now - self.since < next.timing.ttl() => return Input::Pass(next.timing),
            // The record has gone from hand to hand in here for long enough.
            Some(next) => self.courtesy = now + (next.timing.ttl() / 100).min(COURTESY),
            None => {}
        }
        self.since = Moment::default();
        Input::Release
    }

    /// Brings guards, waiters and machine into line; the machine takes the answer as its next input, until there is none.
    pub(crate) fn tend(&mut self, now: Moment, machine: &mut Machine) -> Option<Input> {
        let held = machine.holds(now);
        if let Some(tenure) = &self.present {
            if held != Some(tenure.token()) {
                tenure.end(machine.loss().unwrap_or(Loss::Expired));
                tracing::warn!(name = %self.name, token = %tenure.token(), why = ?machine.loss(), "lost");
                self.present = None;
            } else if !tenure
                .extend(machine.deadline().unwrap_or(now), machine.doubtful().unwrap_or(now))
            {
                return Some(self.leave(now));
            }
        }
        self.drop_cancelled();
        self.answer_left(now, machine);
        if let (Some(token), None) = (held, &self.present) {
            let Some(claim) = self.queue.pop_front() else { return Some(Input::Release) };
            let until = machine.deadline().unwrap_or(now);
            self.tenures += 1;
            let name = Arc::clone(&self.name);
            let tenure =
                Tenure::new(self.tenures, name, Arc::clone(&self.me), token, self.clock, until);
            tenure.extend(until, machine.doubtful().unwrap_or(until));
            if self.since == Moment::default() {
                self.since = now;
            }
            self.present = Some(tenure.clone());
            tracing::debug!(name = %self.name, %token, "acquired");
            let guard = Guard::new(tenure, self.driver.clone());
            self.guard = Some(guard.downgrade());
            // If its owner left at this very moment, the guard is dropped here, which releases.
            let _ = claim.reply.send(Ok(guard));
        }
        self.turn_away(now, machine);
        self.tell(machine);
        self.next_claim(now, machine)
    }

    fn next_claim(&mut self, now: Moment, machine: &Machine) -> Option<Input> {
        if self.present.is_some() {
            return None;
        }
        match self.queue.front() {
            Some(next) if !machine.is_wanted() && now >= self.courtesy => {
                Some(Input::Claim(next.timing))
            }
            None if machine.is_wanted() => Some(Input::Release),
            _ => None,
        }
    }

    /// Ends the waits that are over: by their deadline, or because waiting cannot help.
    fn turn_away(&mut self, now: Moment, machine: &Machine) {
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
                    let mine = self.present.is_some();
                    let holder = machine.holder().filter(|_| !mine).unwrap_or(&self.me).to_string();
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

    /// Answers those who wait for a release, once the record is seen to be out of this machine's hands.
    fn answer_left(&mut self, now: Moment, machine: &Machine) {
        if self.leaving.is_empty() {
            return;
        }
        let answer = match (machine.has_left(now), &self.failure) {
            (Some(true), _) => Ok(()),
            (Some(false), Some(error)) => Err(error.clone()),
            (Some(false), None) => Ok(()),
            (None, _) => return,
        };
        for done in self.leaving.drain(..) {
            let _ = done.send(answer.clone());
        }
    }

    fn drop_cancelled(&mut self) {
        self.queue.retain(|claim| !claim.reply.is_closed());
    }

    fn tell(&self, machine: &Machine) {
        let standing = Standing {
            holder: match &self.present {
                Some(_) => Some(Arc::clone(&self.me)),
                None => machine.holder().cloned(),
            },
            waits: machine.waits(),
            error: self.failure.as_ref().map(ToString::to_string),
        };
        self.standing.send_if_modified(|known| {
            *known != standing && {
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
        let guarded = self.guard.as_ref().and_then(WeakGuard::upgrade).is_some();
        if self.present.is_some() && !guarded { self.leave(now) } else { Input::Wake }
    }
}

impl Drop for Desk {
    /// However the driver ends, nobody goes on believing.
    fn drop(&mut self) {
        if let Some(tenure) = &self.present {
            tenure.end(Loss::Abandoned);
        }
    }
}
