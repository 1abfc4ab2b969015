//! The requests of one contender: the one that the machine waits for, and those that go on after their attempt.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};

use super::limiter::{LatePermit, Permit, Ticket};
use crate::{
    api::error::{Error, Result},
    protocol::{
        machine::{Failure, Input, LateAnswer, Outcome, SentWrite},
        record::{Versioned, Write},
    },
    store::{RecordKey, Store, Written},
    util::clock::{Clock, Moment},
};

/// How many requests of one contender go on after their attempts.
const LATE: usize = 8;
/// How long a request may take in all: as long as a Kubernetes API server works on one.
const LONGEST: Duration = Duration::from_secs(60);

/// What a request returned.
pub(crate) enum Answer {
    Read(Result<Option<Arc<Versioned>>>),
    Write(Result<Written>),
}

/// What was asked, to understand a late answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Read { sent_at: Moment, highest: u64 },
    Write(SentWrite),
}

impl Asked {
    /// When a read was sent, if `answer` shows the state of the record at that time or later. An absence shows nothing if
    /// a newer state than `highest` of the request was processed.
    pub(crate) fn read_at(&self, answer: &Answer, highest: u64) -> Option<Moment> {
        match (self, answer) {
            (Self::Read { sent_at, .. }, Answer::Read(Ok(Some(_)))) => Some(*sent_at),
            (Self::Read { sent_at, highest: then }, Answer::Read(Ok(None))) if *then == highest => {
                Some(*sent_at)
            }
            _ => None,
        }
    }
}

/// The request that the machine waits for.
struct Attempt {
    asked: Asked,
    request: BoxFuture<'static, Answer>,
    permit: Permit,
    limit: Duration,
    /// On the clock of the runtime, like every timer.
    sent_at: Moment,
}

/// A request whose attempt is over.
struct LateRequest {
    asked: Asked,
    request: BoxFuture<'static, Answer>,
    sent_at: Moment,
    _permit: LatePermit,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Requests {
    attempt: Option<Attempt>,
    late: Vec<LateRequest>,
    ticket: Option<Ticket>,
}

/// What happened to a request.
pub(crate) enum Progress {
    /// The attempt is answered.
    Answered(Asked, Answer),
    /// The attempt is over without an answer, after this time.
    Overdue(Asked, Duration),
    /// A request whose attempt is over is answered.
    AnsweredLate(Asked, Answer),
    /// A request may be sent.
    Permitted(Permit),
}

impl Requests {
    pub(crate) const fn is_waiting(&self) -> bool {
        self.attempt.is_some()
    }

    /// A request goes on although its attempt is over.
    pub(crate) const fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Begins an attempt.
    pub(crate) fn send(
        &mut self,
        permit: Permit,
        asked: Asked,
        limit: Duration,
        request: BoxFuture<'static, Answer>,
    ) {
        let sent_at = Clock::Runtime.now();
        self.attempt = Some(Attempt { asked, request, permit, limit, sent_at });
    }

    /// The place in the queue for a permit.
    pub(crate) const fn ticket(&mut self) -> &mut Option<Ticket> {
        &mut self.ticket
    }

    /// The time until the next limit is reached.
    pub(crate) fn time_left(&self) -> Duration {
        let now = Clock::Runtime.now();
        let attempt = self.attempt.iter().map(|attempt| attempt.sent_at + attempt.limit);
        let late = self.late.iter().map(|late| late.sent_at + LONGEST);
        attempt.chain(late).min().unwrap_or(Moment::NEVER).since(now)
    }

    /// Waits for the next answer, or for a permit if one is queued for. Pending while there is nothing to wait for.
    pub(crate) fn progress(&mut self) -> impl Future<Output = Progress> + Send + use<'_> {
        poll_fn(|context| self.poll_progress(context))
    }

    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        if let Some(attempt) = &mut self.attempt
            && let Poll::Ready(answer) = attempt.request.poll_unpin(context)
        {
            let asked = attempt.asked;
            self.attempt = None;
            return Poll::Ready(Progress::Answered(asked, answer));
        }
        for index in 0..self.late.len() {
            if let Poll::Ready(answer) = self.late[index].request.poll_unpin(context) {
                let late = self.late.remove(index);
                return Poll::Ready(Progress::AnsweredLate(late.asked, answer));
            }
        }
        if let Some(ticket) = &mut self.ticket
            && let Poll::Ready(permit) = ticket.poll_unpin(context)
        {
            self.ticket = None;
            return Poll::Ready(Progress::Permitted(permit));
        }
        Poll::Pending
    }

    /// Ends the attempt if its time is over, and the requests that have taken too long.
    pub(crate) fn enforce_limits(&mut self) -> Option<Progress> {
        let now = Clock::Runtime.now();
        self.late.retain(|late| now < late.sent_at + LONGEST);
        let Attempt { asked, request, permit, limit, sent_at } =
            self.attempt.take_if(|attempt| now >= attempt.sent_at + attempt.limit)?;
        if let Some(permit) = permit.into_late() {
            if self.late.len() == LATE {
                // A write may already be stored, and only its answer says so at once. A read can be repeated.
                let read = |late: &LateRequest| matches!(late.asked, Asked::Read { .. });
                let oldest_read = self.late.iter().position(read);
                self.late.remove(oldest_read.unwrap_or(0));
            }
            self.late.push(LateRequest { asked, request, sent_at, _permit: permit });
        }
        Some(Progress::Overdue(asked, limit))
    }
}

pub(crate) fn read(store: &Arc<dyn Store>, key: &Arc<RecordKey>) -> BoxFuture<'static, Answer> {
    let (store, key) = (Arc::clone(store), Arc::clone(key));
    Box::pin(async move { Answer::Read(store.read(&key).await) })
}

pub(crate) fn write(
    store: &Arc<dyn Store>,
    key: &Arc<RecordKey>,
    write: Write,
) -> BoxFuture<'static, Answer> {
    let (store, key) = (Arc::clone(store), Arc::clone(key));
    Box::pin(async move { Answer::Write(store.write(&key, &write).await) })
}

impl Answer {
    /// What the machine learns from it, and the error if there is one.
    pub(crate) fn into_input(self) -> (Input, Option<Error>) {
        match self {
            Self::Read(Ok(found)) => (Input::Read(Ok(found)), None),
            Self::Read(Err(error)) => (Input::Read(Err(failure(&error))), Some(error)),
            Self::Write(result) => {
                let (outcome, error) = outcome(result);
                (Input::Wrote(outcome), error)
            }
        }
    }

    /// The same for an answer after the end of the attempt. A read that failed says nothing then.
    pub(crate) fn into_late_input(self, asked: Asked) -> (Input, Option<Error>) {
        match (asked, self) {
            (Asked::Read { sent_at, highest }, Self::Read(Ok(found))) => {
                (Input::Late(LateAnswer::Read { sent_at, highest, found }), None)
            }
            (Asked::Write(sent), Self::Write(result)) => {
                let (outcome, error) = outcome(result);
                (Input::Late(LateAnswer::Write(sent, outcome)), error)
            }
            (_, Self::Read(result)) => (Input::Late(LateAnswer::Nothing), result.err()),
            (_, Self::Write(result)) => (Input::Late(LateAnswer::Nothing), result.err()),
        }
    }
}

fn outcome(result: Result<Written>) -> (Outcome, Option<Error>) {
    match result {
        Ok(Written::Stored(found)) => (Outcome::Stored(found), None),
        Ok(Written::Gone) => (Outcome::Gone, None),
        Ok(Written::Conflict) => (Outcome::Conflict, None),
        Err(error) => {
            let mut failure = failure(&error);
            // Stored, under a version that cannot be read: not a refusal.
            failure.refused &= !matches!(error, Error::InvalidRecord { .. });
            (Outcome::Failed(failure), Some(error))
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
