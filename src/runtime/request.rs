//! A caller that waits for one record: the queue's end, and the caller's end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::contender_status::ContenderStatus;
use crate::{
    api::{
        error::{Error, Result},
        guard::{Guard, NO_TENURE, Release},
        timing::Durations,
    },
    protocol::not_before::Closed,
    store::Store,
    util::{clock::Moment, watched::Watched},
};

/// The key of the last request. Never [`NO_TENURE`] after the first one.
static LAST_KEY: AtomicU64 = AtomicU64::new(NO_TENURE);

/// A caller that wants the tenure, as the queue keeps it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Grows with each call. The tenure that the caller gets has the same number, so that one message serves a caller
    /// that stops waiting, whether the queue has granted the tenure meanwhile or not.
    pub(crate) key: u64,
    pub(crate) timing: Durations,
    pub(crate) asked_at: Moment,
    /// When the caller stops waiting. Equal to `asked_at` for a single try.
    pub(crate) deadline: Option<Moment>,
    pub(crate) reply: oneshot::Sender<Result<Guard>>,
}

/// How long a single try waits for an answer, if the first attempt gets none.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer than its contender a caller waits, because a busy runtime is not a lost one.
const SLACK: Duration = Duration::from_secs(1);

impl Request {
    /// A request made at `asked_at`, and what its [`Pending`] needs.
    pub(crate) fn new(
        timing: Durations,
        asked_at: Moment,
        wait: Option<Duration>,
    ) -> (Self, Answer) {
        let key = LAST_KEY.fetch_add(1, Ordering::Relaxed) + 1;
        let (reply, answer) = oneshot::channel();
        let deadline = wait.map(|wait| asked_at + wait);
        (Self { key, timing, asked_at, deadline, reply }, Answer { key, receiver: answer })
    }

    /// The caller does not wait at all.
    pub(crate) fn is_single_try(&self) -> bool {
        self.deadline == Some(self.asked_at)
    }

    /// A single try wants an answer of the store. An answer that takes longer than an attempt is better than none.
    pub(crate) fn patience_ends(&self) -> Option<Moment> {
        self.is_single_try().then_some(self.asked_at + PATIENCE)
    }

    /// The error for a caller whose wait is over at `now`. A caller that made a single try did not wait.
    pub(crate) fn wait_over(
        &self,
        now: Moment,
        name: &str,
        holder: String,
        closed: Option<&Closed>,
    ) -> Error {
        let name = name.to_owned();
        if let Some(Closed { until, time, stated }) = closed {
            let (holder, not_before) = (stated.holder.clone(), *time);
            return Error::TooEarly { name, holder, not_before, remaining: *until - now };
        }
        if self.is_single_try() {
            return Error::Held { name, holder };
        }
        Error::Timeout { name, holder, waited: now - self.asked_at }
    }
}

/// The future answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The key of the request; [`NO_TENURE`] once it is answered.
    key: u64,
    receiver: oneshot::Receiver<Result<Guard>>,
}

/// The caller's end of a [`Request`]. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Pending {
    name: Arc<str>,
    answer: Answer,
    releases: mpsc::UnboundedSender<Release>,
    pub(crate) status: Arc<Watched<ContenderStatus>>,
}

impl Pending {
    pub(crate) const fn new(
        name: Arc<str>,
        answer: Answer,
        releases: mpsc::UnboundedSender<Release>,
        status: Arc<Watched<ContenderStatus>>,
    ) -> Self {
        Self { name, answer, releases, status }
    }

    /// Waits for the guard, and for an answer of its contender for a little longer than `wait`.
    ///
    /// The contender ends the wait, but it runs on the runtime of the first caller, which may not be polled any more.
    pub(crate) async fn granted_within(
        mut self,
        store: &dyn Store,
        timing: Durations,
        wait: Option<Duration>,
    ) -> Result<Guard> {
        let Some(wait) = wait else { return self.granted().await };
        let patience = if wait.is_zero() { PATIENCE } else { wait };
        let limit = patience.saturating_add(timing.attempt_timeout() * 2 + SLACK);
        match timeout(limit, self.granted()).await {
            Ok(granted) => granted,
            Err(_) => Err(Error::unavailable(store.backend(), NotPolled)),
        }
    }

    /// Waits for the guard.
    pub(crate) async fn granted(&mut self) -> Result<Guard> {
        let answer = (&mut self.answer.receiver).await;
        self.answer.key = NO_TENURE;
        if let Ok(Ok(guard)) = &answer {
            guard.mark_received();
        }
        answer.unwrap_or_else(|_| Err(Error::Closed { name: self.name.to_string() }))
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the task that acquires it does not run: the runtime of the first caller is blocked, or is not polled any more"
)]
struct NotPolled;

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer.receiver.close();
        // Removes the request from the queue, or ends the tenure that it has got but that this caller never saw.
        let _ = self.releases.send(Release::of(self.answer.key));
    }
}
