//! Runs one machine against one store: the only `select!` of a contender, and its only timers.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    api::{
        error::{Error, Result},
        guard::{NO_TENURE, Release},
    },
    protocol::{
        machine::{Failure, Input, Machine, Outcome, Step},
        record::{Change as Purpose, Write},
    },
    runtime::{queue::Desk, request::Claim, telemetry::Renewal},
    store::{Change, Key, Scope, Store, Written},
    util::clock::{Clock, Moment},
};

/// What the handle asks of a contender.
#[derive(Debug)]
pub(crate) enum Command {
    Claim(Claim),
    /// Release whatever is held.
    Unlock(oneshot::Sender<Result<()>>),
}

/// One contender for one record, as a task. Dropping it ends its tenure at once.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) key: Arc<Key>,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) desk: Desk,
    /// When the renewal under way was sent.
    pub(crate) renewing: Option<Moment>,
    /// Claims and unlocks, from the handle; closed when that is gone.
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    /// From guards, and wake-ups from waits that were cancelled.
    pub(crate) releases: mpsc::UnboundedReceiver<Release>,
}

type Flight = BoxFuture<'static, (Input, Option<Error>)>;

enum Woken {
    Command(Option<Command>),
    Release(Release),
    Answer(Input, Option<Error>),
    Change(Option<Change>),
    Timer,
}

impl Driver {
    /// Runs until there is nothing to do and `retire` says that nothing more will come.
    pub(crate) async fn run(
        mut self,
        retire: impl Fn(&mpsc::UnboundedReceiver<Command>, &Machine) -> bool,
    ) {
        let mut flight: Option<Flight> = None;
        let mut changes: Option<BoxStream<'static, Change>> = None;
        let mut open = true;
        let mut input = Input::Wake;
        loop {
            let until = self.act(&mut flight, input);
            self.watch(&mut changes);
            let now = self.clock.now();
            if flight.is_none()
                && self.desk.is_idle()
                && self.machine.is_done(now)
                && (!open || retire(&self.commands, &self.machine))
            {
                return;
            }
            let until =
                until.min(self.machine.deadline().unwrap_or(Moment::NEVER)).min(self.desk.due(now));
            let woken = self.wait(open, &mut flight, &mut changes, until.since(now)).await;
            match &woken {
                Woken::Answer(..) => flight = None,
                Woken::Command(None) => open = false,
                // It should not end: asking on would spin.
                Woken::Change(None) => changes = Some(stream::pending().boxed()),
                _ => {}
            }
            input = self.take_in(open, changes.is_some(), woken);
        }
    }

    /// Steps the machine until it and the desk agree; says when to step it again.
    fn act(&mut self, flight: &mut Option<Flight>, input: Input) -> Moment {
        let mut until = Moment::NEVER;
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let now = self.clock.now();
            until = match self.machine.step(now, next) {
                Step::Read => {
                    *flight = Some(self.read());
                    Moment::NEVER
                }
                Step::Write(write) => {
                    self.renewing = (write.change == Purpose::Renew).then_some(now);
                    *flight = Some(self.write(write));
                    Moment::NEVER
                }
                Step::Sleep(until) => until,
                Step::Done if self.machine.is_done(now) => Moment::NEVER,
                // Something of its own may still come: it is done when that cannot be any more.
                Step::Done => now + self.machine.attempt(),
            };
            self.note_faults();
            input = self.desk.tend(now, &mut self.machine);
        }
        until
    }

    fn take_in(&mut self, open: bool, watched: bool, woken: Woken) -> Input {
        let now = self.clock.now();
        match woken {
            Woken::Command(Some(Command::Claim(claim))) => self.desk.join(claim, &self.machine),
            Woken::Command(Some(Command::Unlock(done))) => self.desk.unlock(now, done),
            Woken::Command(None) => self.desk.close(now),
            Woken::Release(release) => match self.desk.release(now, release) {
                // A guard may have been kept after its handle had gone.
                Input::Wake if !open => self.desk.close(now),
                input => input,
            },
            Woken::Answer(input, error) => {
                self.time(now, &input);
                self.note(error);
                if watched {
                    self.doubt(&input);
                }
                input
            }
            Woken::Change(change) => self.changed(change),
            Woken::Timer => Input::Wake,
        }
    }

    async fn wait(
        &mut self,
        open: bool,
        flight: &mut Option<Flight>,
        changes: &mut Option<BoxStream<'static, Change>>,
        pause: Duration,
    ) -> Woken {
        tokio::select! {
            biased;
            release = self.releases.recv() => Woken::Release(release.unwrap_or(Release { tenure: NO_TENURE, done: None })),
            command = self.commands.recv(), if open => Woken::Command(command),
            (input, error) = async { flight.as_mut().expect("checked").await }, if flight.is_some() => Woken::Answer(input, error),
            () = sleep(pause.min(FAR)) => Woken::Timer,
            change = async { changes.as_mut().expect("checked").next().await }, if changes.is_some() => Woken::Change(change),
        }
    }

    /// One attempt, on its own timeout, whatever the client below does.
    fn read(&self) -> Flight {
        let (store, key, limit) =
            (Arc::clone(&self.store), Arc::clone(&self.key), self.machine.attempt());
        Box::pin(async move {
            match answered(&*store, limit, store.read(&key)).await {
                Ok(found) => (Input::Read(Ok(found)), None),
                Err(error) => (Input::Read(Err(failure(&error))), Some(error)),
            }
        })
    }

    fn write(&self, write: Write) -> Flight {
        let (store, key, limit) =
            (Arc::clone(&self.store), Arc::clone(&self.key), self.machine.attempt());
        Box::pin(async move {
            match answered(&*store, limit, store.write(&key, &write)).await {
                Ok(Written::Stored(found)) => (Input::Wrote(Outcome::Stored(found)), None),
                Ok(Written::Gone) => (Input::Wrote(Outcome::Gone), None),
                Ok(Written::Conflict) => (Input::Wrote(Outcome::Conflict), None),
                Err(error) => {
                    let mut failure = failure(&error);
                    // Stored, under a version that cannot be read: not a refusal.
                    failure.refused &= !matches!(error, Error::Version { .. });
                    (Input::Wrote(Outcome::Failed(failure)), Some(error))
                }
            }
        })
    }

    /// There is a watch from when somebody else's tenure is in the way until the record is held or given up.
    fn watch(&mut self, changes: &mut Option<BoxStream<'static, Change>>) {
        if !self.machine.is_contending() {
            *changes = None;
        } else if changes.is_none() && self.machine.wants_news() {
            *changes = Some(self.store.changes(&self.scope()));
        }
    }

    /// A read shows a newer state long after the watch should have told of it.
    fn doubt(&self, input: &Input) {
        let Input::Read(Ok(Some(found))) = input else { return };
        if self.machine.is_overdue(self.clock.now())
            && self.machine.seen().is_some_and(|seen| seen.version != found.version)
        {
            tracing::debug!(name = %self.key.title, "the watch is silent, beginning it anew");
            self.store.doubt(&self.scope());
        }
    }

    fn scope(&self) -> Scope {
        Scope::Record(self.key.namespace.clone(), self.key.lease.clone())
    }

    fn changed(&mut self, change: Option<Change>) -> Input {
        match change {
            Some(Change::All(entries)) => {
                match entries.into_iter().find(|entry| entry.lease == self.key.lease) {
                    Some(entry) => Input::Changed(entry.found),
                    None => Input::Missed,
                }
            }
            Some(Change::Set(entry)) if entry.lease == self.key.lease => {
                Input::Changed(entry.found)
            }
            Some(Change::Gone(_, lease, version)) if lease == self.key.lease => {
                Input::Deleted(version)
            }
            Some(Change::Blind(why)) => {
                tracing::debug!(name = %self.key.title, %why, "no watch, polling instead");
                Input::Blind
            }
            Some(_) => Input::Wake,
            None => Input::Blind,
        }
    }

    /// Says how a renewal went.
    fn time(&mut self, now: Moment, answer: &Input) {
        let (Some(sent), Input::Wrote(outcome)) = (self.renewing.take(), answer) else { return };
        let outcome = match outcome {
            Outcome::Stored(_) | Outcome::Gone => Renewal::Stored,
            Outcome::Conflict => Renewal::Conflict,
            Outcome::Failed(failure) if failure.refused => Renewal::Refused,
            Outcome::Failed(_) => Renewal::Unknown,
        };
        self.desk.telemetry.renewal(outcome, now - sent);
    }

    fn note(&mut self, error: Option<Error>) {
        match error {
            None => self.desk.succeeded(),
            Some(error) => {
                tracing::debug!(name = %self.key.title, %error, cause = ?std::error::Error::source(&error), "request failed");
                self.desk.failed(error);
            }
        }
    }

    /// What no single answer shows.
    fn note_faults(&mut self) {
        let name = || self.key.title.to_string();
        if self.machine.take_altered() {
            let reason = "it stored something else than was written: is an admission webhook changing Leases?".into();
            self.desk.failed(Error::Rejected {
                backend: self.store.backend(),
                name: name(),
                reason,
            });
        }
        if self.machine.regressed() {
            let reason = format!(
                "it was {} before and is lower now: was the backend restored from a backup? Restart every process that uses it",
                self.machine.highest()
            );
            self.desk.failed(Error::Version { name: name(), reason });
        }
    }
}

/// Longer than any timer need be set for.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// One request, given up after `limit` whatever the client below does.
pub(crate) async fn answered<T>(
    store: &dyn Store,
    limit: Duration,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    let none = |_| Err(Error::unavailable(store.backend(), NoAnswer(limit)));
    timeout(limit, request).await.unwrap_or_else(none)
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Unavailable { retry_after, .. } => {
            Failure { refused: false, retry_after: *retry_after }
        }
        _ => Failure { refused: true, retry_after: None },
    }
}

/// The attempt's own timeout.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);
