//! A claim to one record, from both its ends: of the desk that queues it, and of the task that waits.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::{
    api::{
        error::{Error, Result},
        guard::{Guard, NO_TENURE, Release},
        timing::Timing,
    },
    runtime::standing::Standing,
    util::{clock::Moment, watched::Shown},
};

/// A task that wants the tenure.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) timing: Timing,
    pub(crate) asked: Moment,
    /// When it stops waiting; the instant of asking for one try.
    pub(crate) deadline: Option<Moment>,
    pub(crate) reply: oneshot::Sender<Result<Guard>>,
}

/// A place in a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Pending {
    name: Arc<str>,
    answer: oneshot::Receiver<Result<Guard>>,
    releases: mpsc::UnboundedSender<Release>,
    pub(crate) standing: Arc<Shown<Standing>>,
}

impl Pending {
    pub(crate) const fn new(
        name: Arc<str>,
        answer: oneshot::Receiver<Result<Guard>>,
        releases: mpsc::UnboundedSender<Release>,
        standing: Arc<Shown<Standing>>,
    ) -> Self {
        Self { name, answer, releases, standing }
    }

    /// The guard, once it is this one's turn.
    pub(crate) async fn granted(&mut self) -> Result<Guard> {
        (&mut self.answer)
            .await
            .unwrap_or_else(|_| Err(Error::Closed { name: self.name.to_string() }))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer.close();
        // Names no tenure: the contender wakes and sees that nobody waits here any more.
        let _ = self.releases.send(Release { tenure: NO_TENURE, done: None });
    }
}
