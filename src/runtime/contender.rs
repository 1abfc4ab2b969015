//! The task of one contender: one machine, one store, the only `select!`, and the only timers.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    attempt::{FAR, no_answer},
    limiter::{Limiter, Permit},
    outage::{Outage, Subject},
    queue::Queue,
    request::Request,
    requests::{self, Asked, Progress, Requests},
    telemetry::Renewal,
};
use crate::{
    api::{
        error::{Error, Result},
        guard::{NO_TENURE, Release},
    },
    protocol::{
        machine::{Failure, Input, LateAnswer, Machine, Outcome, SentWrite, Status, Step, Urgency},
        record::WriteKind,
    },
    store::{RecordKey, Scope, Store, WatchEvent},
    util::{
        clock::{Clock, Moment},
        environment,
    },
};

/// What the handle asks of a contender.
#[derive(Debug)]
pub(crate) enum Command {
    /// With the payload of a candidate.
    Claim(Request, Option<Arc<str>>),
    /// Release the held lock, although its guard may still exist.
    Unlock(oneshot::Sender<Result<()>>),
}

/// One contender for one record. Dropping it ends its tenure at once.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) key: Arc<RecordKey>,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) queue: Queue,
    pub(crate) limiter: Arc<Limiter>,
    /// A caller that waits learns of errors from its warnings only.
    pub(crate) outage: Outage,
    /// When the renewal under way was sent.
    pub(crate) renewing: Option<Moment>,
    /// What the writes of a candidate state besides what the machine decides on.
    pub(crate) payload: Option<Arc<str>>,
    /// From the handle; closed when the handle is gone.
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    /// From guards, and wake-ups from cancelled waits.
    pub(crate) releases: mpsc::UnboundedReceiver<Release>,
}

type Watch = BoxStream<'static, WatchEvent>;

enum Woken {
    Command(Option<Command>),
    Release(Release),
    Progress(Progress),
    Watched(Option<WatchEvent>),
    Timer,
}

impl Contender {
    /// Runs until there is nothing to do and `retire` confirms that no command will come.
    pub(crate) async fn run(
        mut self,
        retire: impl Fn(&mpsc::UnboundedReceiver<Command>, &Machine) -> bool,
    ) {
        let mut requests = Requests::default();
        let mut permit = None;
        let mut watch: Option<Watch> = None;
        let mut open = true;
        let mut input = Input::Wake;
        loop {
            let (wake, status) = self.act(&mut requests, permit.take(), input);
            self.follow(&mut watch, &status);
            if !requests.is_waiting()
                && self.queue.is_idle()
                && status.done
                && self.releases.is_empty()
                && (!open || retire(&self.commands, &self.machine))
            {
                // A message that is being sent at this moment would otherwise stay in its channel, unanswered, for as long
                // as its sender waits for the answer.
                self.releases.close();
                while self.releases.recv().await.is_some() {}
                return;
            }
            let pause = wake.since(self.clock.now());
            input = match self.wait(open, &mut requests, &mut watch, pause).await {
                Woken::Progress(Progress::Permitted(granted)) => {
                    permit = Some(granted);
                    Input::Wake
                }
                woken => {
                    match &woken {
                        Woken::Command(None) => open = false,
                        // A watch should not end. Polling an ended stream again would spin.
                        Woken::Watched(None) => watch = Some(stream::pending().boxed()),
                        _ => {}
                    }
                    self.take_in(&status, open, watch.is_some(), woken)
                }
            };
        }
    }

    /// Steps the machine until it and the queue agree. Returns when to step it again, and what it is.
    ///
    /// The wake-up follows from the same instant as the decisions. With a later reading of the clock, an instant between
    /// the two would be too early for the decisions and too late for a timer, and no wake-up would come.
    fn act(
        &mut self,
        requests: &mut Requests,
        mut permit: Option<Permit>,
        mut input: Input,
    ) -> (Moment, Status) {
        loop {
            if permit.is_none() && !requests.is_waiting() {
                permit = self.limiter.try_acquire();
            }
            let now = self.clock.now();
            self.machine.set_wall_clock(now, self.clock.wall());
            self.machine.set_hurried(self.queue.is_hurried(now));
            let (step, status) = match &permit {
                Some(_) => self.machine.step(now, input, environment::random()),
                None => self.machine.step_without_request(now, input),
            };
            if !matches!(step, Step::Queue { .. }) {
                *requests.ticket() = None;
            }
            let until = match (step, permit.take()) {
                (Step::Read, Some(permit)) => {
                    let asked = Asked::Read { sent_at: now, highest: status.highest };
                    let read = requests::read(&self.store, &self.key);
                    requests.send(permit, asked, status.attempt_timeout, read);
                    Moment::NEVER
                }
                (Step::Write(mut write), Some(permit)) => {
                    if !write.kind.is_release() {
                        write.record.payload.clone_from(&self.payload);
                    }
                    self.renewing = (write.kind == WriteKind::Renew).then_some(now);
                    let asked = Asked::Write(SentWrite::of(&write));
                    let write = requests::write(&self.store, &self.key, write);
                    requests.send(permit, asked, status.attempt_timeout, write);
                    Moment::NEVER
                }
                (Step::Queue { urgency, until }, _) => {
                    self.queue_for_permit(requests, urgency, now, &status);
                    until
                }
                (Step::Sleep(until), unused) => {
                    permit = unused;
                    until
                }
                (Step::Done, unused) => {
                    permit = unused;
                    // A write of its own may still be stored: look again once that is impossible.
                    if status.done { Moment::NEVER } else { now + status.attempt_timeout }
                }
                // The machine sends nothing without a permit.
                (Step::Read | Step::Write(_), None) => Moment::NEVER,
            };
            self.note_faults(&status);
            let subject = Subject::Record(&self.key);
            self.outage.update(now, status.is_blocked(), status.wanted, &subject);
            let Some(next) = self.queue.advance(now, &status, requests.has_late()) else {
                let deadline = status.tenure.map_or(Moment::NEVER, |held| held.until);
                return (until.min(deadline).min(self.queue.due(now)), status);
            };
            input = next;
        }
    }

    /// Keeps the place in the queue for a permit while the urgency stays the same.
    fn queue_for_permit(
        &self,
        requests: &mut Requests,
        urgency: Urgency,
        now: Moment,
        status: &Status,
    ) {
        let ticket = requests.ticket();
        if ticket.as_ref().is_none_or(|ticket| ticket.urgency() != urgency) {
            let deadline = status.tenure.map_or(now, |held| held.until);
            *ticket = Some(self.limiter.queue(urgency, deadline));
        }
    }

    fn take_in(&mut self, status: &Status, open: bool, watched: bool, woken: Woken) -> Input {
        let now = self.clock.now();
        match woken {
            Woken::Command(Some(Command::Claim(request, payload))) => {
                self.payload = payload;
                self.queue.join(request, status)
            }
            Woken::Command(Some(Command::Unlock(done))) => self.queue.unlock(now, done),
            Woken::Command(None) => self.queue.close(now),
            Woken::Release(release) => match self.queue.release(now, release) {
                // A guard may be kept after its handle is gone.
                Input::Wake if !open => self.queue.close(now),
                input => input,
            },
            Woken::Progress(progress) => {
                if let Progress::Answered(asked, answer) | Progress::AnsweredLate(asked, answer) =
                    &progress
                {
                    self.queue.answered(asked.read_at(answer, status.highest));
                }
                let (input, error) = match progress {
                    Progress::Answered(_, answer) => answer.into_input(),
                    Progress::AnsweredLate(asked, answer) => answer.into_late_input(asked),
                    Progress::Overdue(asked, limit) => self.overdue(asked, limit),
                    Progress::Permitted(_) => (Input::Wake, None),
                };
                self.report_renewal(now, &input);
                self.note(&input, error);
                if watched {
                    self.doubt_watch(now, status, &input);
                }
                input
            }
            Woken::Watched(event) => self.watched(event),
            Woken::Timer => Input::Wake,
        }
    }

    /// Answers and timers come first: a flood of commands must not keep a renewal from its answer.
    async fn wait(
        &mut self,
        open: bool,
        requests: &mut Requests,
        watch: &mut Option<Watch>,
        pause: Duration,
    ) -> Woken {
        const WAKE: Release = Release::of(NO_TENURE);
        let limit = requests.time_left();
        tokio::select! {
            biased;
            progress = requests.progress() => return Woken::Progress(progress),
            () = sleep(pause.min(limit).min(FAR)) => {}
            release = self.releases.recv() => return Woken::Release(release.unwrap_or(WAKE)),
            command = self.commands.recv(), if open => return Woken::Command(command),
            event = async { watch.as_mut().expect("checked").next().await }, if watch.is_some() =>
                return Woken::Watched(event),
        }
        requests.enforce_limits().map_or(Woken::Timer, Woken::Progress)
    }

    /// What follows from the end of an attempt, as if the request were lost. Its late answer still counts.
    fn overdue(&self, asked: Asked, limit: Duration) -> (Input, Option<Error>) {
        let error = no_answer(self.store.backend(), limit);
        let input = match asked {
            Asked::Read { .. } => Input::Read(Err(Failure::default())),
            Asked::Write(_) => Input::Wrote(Outcome::Failed(Failure::default())),
        };
        (input, Some(error))
    }

    /// Watches the record from the moment that another process is in the way, or may come, until the record is held or
    /// given up.
    fn follow(&self, watch: &mut Option<Watch>, status: &Status) {
        let expecting = self.queue.wants_watch(self.clock.now());
        if !status.contending() && !expecting {
            *watch = None;
        } else if watch.is_none() && (status.barred || expecting) {
            *watch = Some(self.store.watch(&self.scope()));
        }
    }

    /// A read shows a newer state long after the watch should have reported it: the watch is dead.
    fn doubt_watch(&self, now: Moment, status: &Status, input: &Input) {
        let Input::Read(Ok(Some(found))) = input else { return };
        let overdue = status.overdue_at.is_some_and(|overdue_at| now >= overdue_at);
        let newer = status.record.as_ref().is_some_and(|known| known.version != found.version);
        if overdue && newer {
            tracing::debug!(name = %self.key.name, "the watch is silent: restarting it");
            self.store.doubt(&self.scope());
        }
    }

    fn scope(&self) -> Scope {
        Scope::Record(self.key.namespace.clone(), self.key.record.clone())
    }

    fn watched(&mut self, event: Option<WatchEvent>) -> Input {
        match event {
            Some(WatchEvent::All(entries)) => {
                match entries.into_iter().find(|entry| entry.record == self.key.record) {
                    Some(entry) => Input::Changed(entry.found),
                    None => Input::Missed,
                }
            }
            Some(WatchEvent::Set(entry)) if entry.record == self.key.record => {
                Input::Changed(entry.found)
            }
            Some(WatchEvent::Gone(_, record, version)) if record == self.key.record => {
                Input::Deleted(version)
            }
            Some(WatchEvent::Blind(why)) => {
                tracing::debug!(name = %self.key.name, %why, "no watch: polling instead");
                Input::Blind
            }
            Some(_) => Input::Wake,
            None => Input::Blind,
        }
    }

    fn report_renewal(&mut self, now: Moment, answer: &Input) {
        let Input::Wrote(outcome) = answer else { return };
        let Some(sent) = self.renewing.take() else { return };
        let outcome = match outcome {
            Outcome::Stored(_) | Outcome::Gone => Renewal::Stored,
            Outcome::Conflict => Renewal::Conflict,
            Outcome::Failed(failure) if failure.refused => Renewal::Refused,
            Outcome::Failed(_) => Renewal::Unknown,
        };
        self.queue.telemetry.renewal(outcome, now - sent);
    }

    fn note(&mut self, answer: &Input, error: Option<Error>) {
        let Some(error) = error else { return self.queue.succeeded() };
        let cause = std::error::Error::source(&error);
        tracing::debug!(name = %self.key.name, %error, ?cause, "request failed");
        // The end of the attempt was reported as an error already. A refusal is the better reason.
        if matches!(answer, Input::Late(_)) && error.is_transient() {
            return;
        }
        self.outage.failed(&error);
        match answer {
            Input::Read(_) | Input::Late(LateAnswer::Nothing) => self.queue.read_failed(error),
            _ => self.queue.failed(error),
        }
    }

    /// Turns what only the machine can see into an error for callers.
    fn note_faults(&mut self, status: &Status) {
        let name = || self.key.name.to_string();
        if status.altered {
            let suspect = self.store.suspect();
            let reason = format!("it stored something else than was written: {suspect}");
            self.queue.failed(Error::Rejected {
                backend: self.store.backend(),
                name: name(),
                reason,
            });
        }
        if status.regressed {
            let reason = format!(
                "its version was {} before and is lower now: was the backend restored from a backup? Restart every process that uses it",
                status.highest
            );
            self.queue.failed(Error::InvalidRecord { name: name(), reason });
        }
    }
}
