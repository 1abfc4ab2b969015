//! `leasehold elect --label-leader`: a label of this pod, so that a Service can select the leader.
//!
//! The label follows the lead and never delays it. It is not a lock: a pod that is cut off keeps the label until the
//! API server can be reached again.

mod key;
mod patch;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use leasehold::{Error, Leader};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

pub(crate) use self::{key::LabelKey, patch::LabelPatch};
use crate::{clock, cluster::wait::PATIENCE, output::status::CandidateStatus};

/// The longest time that the end of a lead waits for the removal of the label.
const REMOVAL: Duration = Duration::from_secs(2);
/// The pause between two attempts: the first one, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];
/// After an attempt with an unknown outcome, the value is written again after this
/// time, because that attempt may arrive
/// late.
const SETTLE: Duration = Duration::from_secs(30);

/// The label, and the task that writes it.
#[derive(Debug)]
pub(crate) struct PodLabel {
    /// The label must be removed, even while this pod leads.
    suspended: watch::Sender<bool>,
    /// Whether the pod has the label; `None` if unknown.
    written: watch::Receiver<Option<bool>>,
    task: JoinHandle<()>,
}

/// Removes a label that an earlier process of this pod may have left, as soon as the server works. This also checks the
/// permission. `server_answers` is whether other requests succeed.
pub(crate) async fn clear(
    patch: &LabelPatch,
    server_answers: impl Fn() -> bool + Send,
) -> Result<(), Error> {
    let (mut failures, mut warned, mut failing_since) = (0, false, None);
    loop {
        let error = match patch.write(false).await {
            Err(error) if error.is_transient() => error,
            outcome => return outcome,
        };
        // The wait for a server is reported without this. A server that fails at this write only is not.
        let now = clock::now();
        failing_since = server_answers().then(|| failing_since.unwrap_or(now));
        if !warned && failing_since.is_some_and(|since| now >= since + PATIENCE) {
            warned = true;
            patch.warn(&error);
        }
        sleep(pause_after(failures)).await;
        failures += 1;
    }
}

/// The pause after this many failures in a row, and one more.
fn pause_after(failures: u32) -> Duration {
    (PAUSES[0] * 2_u32.saturating_pow(failures.min(10))).min(PAUSES[1])
}

impl PodLabel {
    /// Follows the lead of `leader`. The label must have been cleared.
    pub(crate) fn follow(patch: LabelPatch, leader: &Arc<Leader>) -> Self {
        let (suspended, orders) = watch::channel(false);
        let (known, written) = watch::channel(Some(false));
        let statuses = CandidateStatus::changes(leader, patch.namespace());
        let leader = Arc::clone(leader);
        let writer =
            Writer { patch, leader, statuses, orders, known, unsettled: false, failures: 0 };
        Self { suspended, written, task: tokio::spawn(writer.run()) }
    }

    /// Removes the label before the lead is released. Waits for that, within a time limit.
    pub(crate) async fn remove(&self) {
        self.suspended.send_replace(true);
        let mut written = self.written.clone();
        let _ = timeout(REMOVAL, written.wait_for(|written| *written == Some(false))).await;
    }

    /// Follows the lead again.
    pub(crate) fn resume(&self) {
        self.suspended.send_replace(false);
    }
}

impl Drop for PodLabel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that writes the label.
struct Writer {
    patch: LabelPatch,
    leader: Arc<Leader>,
    statuses: BoxStream<'static, CandidateStatus>,
    orders: watch::Receiver<bool>,
    known: watch::Sender<Option<bool>>,
    /// An attempt with an unknown outcome may still reach the server.
    unsettled: bool,
    failures: u32,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let wanted = !*self.orders.borrow_and_update() && self.leader.tenure().is_some();
            let known = *self.known.borrow();
            let pause = match known == Some(wanted) {
                true if self.unsettled => SETTLE,
                true => Duration::MAX,
                false if self.failures == 0 => Duration::ZERO,
                false => pause_after(self.failures - 1),
            };
            let mut begun = false;
            let patch = &self.patch;
            let write = async {
                sleep(pause).await;
                begun = true;
                patch.write(wanted).await
            };
            let outcome = tokio::select! {
                biased;
                outcome = write => Some(outcome),
                ordered = self.orders.changed() => match ordered {
                    Ok(()) => None,
                    Err(_) => return,
                },
                Some(_) = self.statuses.next() => None,
            };
            match outcome {
                Some(outcome) => self.wrote(wanted, known, outcome),
                None if begun => {
                    self.unsettled = true;
                    self.known.send_replace(None);
                }
                None => {}
            }
        }
    }

    fn wrote(&mut self, wanted: bool, before: Option<bool>, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {
                // The second write after an unknown outcome: the earlier attempt can no longer arrive.
                self.unsettled &= before != Some(wanted);
                self.failures = 0;
                self.known.send_replace(Some(wanted));
            }
            Err(error) => {
                self.unsettled |= error.is_transient();
                if self.failures == 0 {
                    self.patch.warn(&error);
                }
                self.failures = self.failures.saturating_add(1).min(10);
                self.known.send_replace(None);
            }
        }
    }
}
