//! A caller that waits for one record: the queue's end, and the caller's end.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::contender_status::ContenderStatus;
use crate::{
    api::{
        error::{Error, Result},
        guard::{Guard, NO_TENURE, Release},
        timing::Durations,
    },
    util::{clock::Moment, watched::Watched},
};

/// A caller that wants the tenure, as the queue keeps it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) timing: Durations,
    pub(crate) asked_at: Moment,
    /// When the caller stops waiting. Equal to `asked_at` for a single try.
    pub(crate) deadline: Option<Moment>,
    pub(crate) reply: oneshot::Sender<Result<Guard>>,
}

impl Request {
    /// The error for a caller whose wait is over at `now`. A caller that made a single try did not wait.
    pub(crate) fn wait_over(&self, now: Moment, name: &str, holder: String) -> Error {
        let name = name.to_owned();
        if self.deadline == Some(self.asked_at) {
            return Error::Held { name, holder };
        }
        Error::Timeout { name, holder, waited: now - self.asked_at }
    }
}

/// The caller's end of a [`Request`]. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Pending {
    name: Arc<str>,
    answer: oneshot::Receiver<Result<Guard>>,
    releases: mpsc::UnboundedSender<Release>,
    pub(crate) status: Arc<Watched<ContenderStatus>>,
}

impl Pending {
    pub(crate) const fn new(
        name: Arc<str>,
        answer: oneshot::Receiver<Result<Guard>>,
        releases: mpsc::UnboundedSender<Release>,
        status: Arc<Watched<ContenderStatus>>,
    ) -> Self {
        Self { name, answer, releases, status }
    }

    /// Waits for the guard.
    pub(crate) async fn granted(&mut self) -> Result<Guard> {
        (&mut self.answer)
            .await
            .unwrap_or_else(|_| Err(Error::Closed { name: self.name.to_string() }))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer.close();
        // Names no tenure: it only wakes the contender, which then removes the closed request from its queue.
        let _ = self.releases.send(Release { tenure: NO_TENURE, done: None });
    }
}
