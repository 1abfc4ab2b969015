//! `leasehold elect --label-leader`: the own pod's label, so that a Service can select the leader.
//!
//! It follows the lead, and never holds it up. It is no lock: a pod that is cut off keeps it until it can be removed.

mod key;
mod patch;

use std::{sync::Arc, time::Duration};

use leasehold::{Error, Leader};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

pub(crate) use self::{key::LabelKey, patch::LabelPatch};
use crate::{
    clock,
    cluster::wait::PATIENCE,
    exit::{Outcome, Subject},
    output::status::StatusChanges,
};

/// How long a lead that ends waits for the label to be removed, at most.
const REMOVAL: Duration = Duration::from_secs(2);
/// Between two attempts, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];
/// When to write once more what was written after an attempt whose outcome nobody knows: it may come late.
const SETTLE: Duration = Duration::from_secs(30);

/// The label, and the task that writes it.
#[derive(Debug)]
pub(crate) struct PodLabel {
    /// It is to be removed, whoever leads.
    suspended: watch::Sender<bool>,
    /// What it is, as far as it is known.
    written: watch::Receiver<Option<bool>>,
    task: JoinHandle<()>,
}

/// Removes what a former life of this pod may have left, and finds out by that whether it may be written.
pub(crate) async fn clear(patch: &LabelPatch, subject: &Subject<'_>) -> Outcome<()> {
    let end = clock::now() + PATIENCE;
    loop {
        match patch.write(false).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_transient() || clock::now() >= end => {
                return Err(subject.failure(&error));
            }
            Err(_) => sleep(PAUSES[0]).await,
        }
    }
}

impl PodLabel {
    /// Follows the lead of `leader`; the label is known not to be there.
    pub(crate) fn follow(patch: LabelPatch, leader: &Arc<Leader>) -> Self {
        let (suspended, orders) = watch::channel(false);
        let (known, written) = watch::channel(Some(false));
        let statuses = StatusChanges::of(leader, patch.namespace());
        let leader = Arc::clone(leader);
        let writer =
            Writer { patch, leader, statuses, orders, known, unsettled: false, failures: 0 };
        Self { suspended, written, task: tokio::spawn(writer.run()) }
    }

    /// Removes it before the lead is given back; waits for that for a moment.
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

struct Writer {
    patch: LabelPatch,
    leader: Arc<Leader>,
    statuses: StatusChanges,
    orders: watch::Receiver<bool>,
    known: watch::Sender<Option<bool>>,
    /// An attempt may still be carried out.
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
                false => (PAUSES[0] * 2_u32.saturating_pow(self.failures - 1)).min(PAUSES[1]),
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
                // Written once more: whatever was under way has had its time.
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
