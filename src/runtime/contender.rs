//! The task of one contender: one machine, one store, the only `select!`, and the only timers.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    attempt::{FAR, answered},
    queue::Queue,
    request::Request,
    telemetry::Renewal,
};
use crate::{
    api::{
        error::{Error, Result},
        guard::{NO_TENURE, Release},
    },
    protocol::{
        machine::{Failure, Input, Machine, Outcome, Status, Step},
        record::{Write, WriteKind},
    },
    store::{RecordKey, Scope, Store, WatchEvent, Written},
    util::clock::{Clock, Moment},
};

/// What the handle asks of a contender.
#[derive(Debug)]
pub(crate) enum Command {
    Claim(Request),
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
    /// When the renewal under way was sent.
    pub(crate) renewing: Option<Moment>,
    /// From the handle; closed when the handle is gone.
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    /// From guards, and wake-ups from cancelled waits.
    pub(crate) releases: mpsc::UnboundedReceiver<Release>,
}

/// A request under way: what the machine learns from it, and the error if there was one.
type InFlight = BoxFuture<'static, (Input, Option<Error>)>;
type Watch = BoxStream<'static, WatchEvent>;

enum Woken {
    Command(Option<Command>),
    Release(Release),
    Answer(Input, Option<Error>),
    Watched(Option<WatchEvent>),
    Timer,
}

impl Contender {
    /// Runs until there is nothing to do and `retire` confirms that no command will come.
    pub(crate) async fn run(
        mut self,
        retire: impl Fn(&mpsc::UnboundedReceiver<Command>, &Machine) -> bool,
    ) {
        let mut in_flight: Option<InFlight> = None;
        let mut watch: Option<Watch> = None;
        let mut open = true;
        let mut input = Input::Wake;
        loop {
            let (wake, status) = self.act(&mut in_flight, input);
            self.follow(&mut watch, &status);
            if in_flight.is_none()
                && self.queue.is_idle()
                && status.done
                && (!open || retire(&self.commands, &self.machine))
            {
                return;
            }
            let pause = wake.since(self.clock.now());
            let woken = self.wait(open, &mut in_flight, &mut watch, pause).await;
            match &woken {
                Woken::Answer(..) => in_flight = None,
                Woken::Command(None) => open = false,
                // A watch should not end. Polling an ended stream again would spin.
                Woken::Watched(None) => watch = Some(stream::pending().boxed()),
                _ => {}
            }
            input = self.take_in(&status, open, watch.is_some(), woken);
        }
    }

    /// Steps the machine until it and the queue agree. Returns when to step it again, and what it is.
    ///
    /// The wake-up follows from the same instant as the decisions. With a later reading of the clock, an instant between
    /// the two would be too early for the decisions and too late for a timer, and no wake-up would come.
    fn act(&mut self, in_flight: &mut Option<InFlight>, mut input: Input) -> (Moment, Status) {
        loop {
            let now = self.clock.now();
            let (step, status) = self.machine.step(now, input);
            let until = match step {
                Step::Read => {
                    *in_flight = Some(self.read(status.attempt_timeout));
                    Moment::NEVER
                }
                Step::Write(write) => {
                    self.renewing = (write.kind == WriteKind::Renew).then_some(now);
                    *in_flight = Some(self.write(write, status.attempt_timeout));
                    Moment::NEVER
                }
                Step::Sleep(until) => until,
                Step::Done if status.done => Moment::NEVER,
                // A write of its own may still be stored: look again once that is impossible.
                Step::Done => now + status.attempt_timeout,
            };
            self.note_faults(&status);
            let Some(next) = self.queue.advance(now, &status) else {
                let deadline = status.tenure.map_or(Moment::NEVER, |held| held.until);
                return (until.min(deadline).min(self.queue.due(now)), status);
            };
            input = next;
        }
    }

    fn take_in(&mut self, status: &Status, open: bool, watched: bool, woken: Woken) -> Input {
        let now = self.clock.now();
        match woken {
            Woken::Command(Some(Command::Claim(request))) => self.queue.join(request, status),
            Woken::Command(Some(Command::Unlock(done))) => self.queue.unlock(now, done),
            Woken::Command(None) => self.queue.close(now),
            Woken::Release(release) => match self.queue.release(now, release) {
                // A guard may be kept after its handle is gone.
                Input::Wake if !open => self.queue.close(now),
                input => input,
            },
            Woken::Answer(input, error) => {
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

    async fn wait(
        &mut self,
        open: bool,
        in_flight: &mut Option<InFlight>,
        watch: &mut Option<Watch>,
        pause: Duration,
    ) -> Woken {
        const WAKE: Release = Release { tenure: NO_TENURE, done: None };
        tokio::select! {
            biased;
            release = self.releases.recv() => Woken::Release(release.unwrap_or(WAKE)),
            command = self.commands.recv(), if open => Woken::Command(command),
            (input, error) = async { in_flight.as_mut().expect("checked").await }, if in_flight.is_some() =>
                Woken::Answer(input, error),
            () = sleep(pause.min(FAR)) => Woken::Timer,
            event = async { watch.as_mut().expect("checked").next().await }, if watch.is_some() =>
                Woken::Watched(event),
        }
    }

    fn read(&self, limit: Duration) -> InFlight {
        let (store, key) = (Arc::clone(&self.store), Arc::clone(&self.key));
        Box::pin(async move {
            match answered(&*store, limit, store.read(&key)).await {
                Ok(found) => (Input::Read(Ok(found)), None),
                Err(error) => (Input::Read(Err(failure(&error))), Some(error)),
            }
        })
    }

    fn write(&self, write: Write, limit: Duration) -> InFlight {
        let (store, key) = (Arc::clone(&self.store), Arc::clone(&self.key));
        Box::pin(async move {
            match answered(&*store, limit, store.write(&key, &write)).await {
                Ok(Written::Stored(found)) => (Input::Wrote(Outcome::Stored(found)), None),
                Ok(Written::Gone) => (Input::Wrote(Outcome::Gone), None),
                Ok(Written::Conflict) => (Input::Wrote(Outcome::Conflict), None),
                Err(error) => {
                    let mut failure = failure(&error);
                    // Stored, under a version that cannot be read: not a refusal.
                    failure.refused &= !matches!(error, Error::InvalidRecord { .. });
                    (Input::Wrote(Outcome::Failed(failure)), Some(error))
                }
            }
        })
    }

    /// Watches the record from the moment that another process is in the way until the record is held or given up.
    fn follow(&self, watch: &mut Option<Watch>, status: &Status) {
        if !status.contending() {
            *watch = None;
        } else if watch.is_none() && status.barred {
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
        Scope::Record(self.key.namespace.clone(), self.key.lease.clone())
    }

    fn watched(&mut self, event: Option<WatchEvent>) -> Input {
        match event {
            Some(WatchEvent::All(entries)) => {
                match entries.into_iter().find(|entry| entry.lease == self.key.lease) {
                    Some(entry) => Input::Changed(entry.found),
                    None => Input::Missed,
                }
            }
            Some(WatchEvent::Set(entry)) if entry.lease == self.key.lease => {
                Input::Changed(entry.found)
            }
            Some(WatchEvent::Gone(_, lease, version)) if lease == self.key.lease => {
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
        let (Some(sent), Input::Wrote(outcome)) = (self.renewing.take(), answer) else { return };
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
        match answer {
            Input::Read(_) => self.queue.read_failed(error),
            _ => self.queue.failed(error),
        }
    }

    /// Turns what only the machine can see into an error for callers.
    fn note_faults(&mut self, status: &Status) {
        let name = || self.key.name.to_string();
        if status.altered {
            let reason = "it stored something else than was written: is an admission webhook changing Leases?".into();
            self.queue.failed(Error::Rejected {
                backend: self.store.backend(),
                name: name(),
                reason,
            });
        }
        if status.regressed {
            let reason = format!(
                "it was {} before and is lower now: was the backend restored from a backup? Restart every process that uses it",
                status.highest
            );
            self.queue.failed(Error::InvalidRecord { name: name(), reason });
        }
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Unavailable { retry_after, .. } => {
            Failure { refused: false, retry_after: *retry_after }
        }
        _ => Failure { refused: true, retry_after: None },
    }
}
