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

pub(crate) use self::{key::LabelKey, patch::Pen};
use crate::{
    clock,
    cluster::wait::PATIENCE,
    exit::{About, Outcome},
    output::status::Stands,
};

/// How long a lead that ends waits for the label to be removed, at most.
const LOWER: Duration = Duration::from_secs(2);
/// Between two attempts, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];
/// When to write once more what was written after an attempt whose outcome nobody knows: it may come late.
const SETTLE: Duration = Duration::from_secs(30);

/// The label, and the task that writes it.
#[derive(Debug)]
pub(crate) struct Label {
    /// It is to be removed, whoever leads.
    lowered: watch::Sender<bool>,
    /// What it is, as far as it is known.
    written: watch::Receiver<Option<bool>>,
    task: JoinHandle<()>,
}

/// Removes what a former life of this pod may have left, and finds out by that whether it may be written.
pub(crate) async fn clear(pen: &Pen, about: &About<'_>) -> Outcome<()> {
    let end = clock::now() + PATIENCE;
    loop {
        match pen.write(false).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_transient() || clock::now() >= end => {
                return Err(about.failure(&error));
            }
            Err(_) => sleep(PAUSES[0]).await,
        }
    }
}

impl Label {
    /// Follows the lead of `leader`; the label is known not to be there.
    pub(crate) fn follow(pen: Pen, leader: &Arc<Leader>) -> Self {
        let (lowered, orders) = watch::channel(false);
        let (known, written) = watch::channel(Some(false));
        let stands = Stands::of(leader, pen.namespace());
        let leader = Arc::clone(leader);
        let writer = Writer { pen, leader, stands, orders, known, unsettled: false, failures: 0 };
        Self { lowered, written, task: tokio::spawn(writer.run()) }
    }

    /// Removes it before the lead is given back; waits for that for a moment.
    pub(crate) async fn lower(&self) {
        self.lowered.send_replace(true);
        let mut written = self.written.clone();
        let _ = timeout(LOWER, written.wait_for(|written| *written == Some(false))).await;
    }

    /// Follows the lead again.
    pub(crate) fn raise(&self) {
        self.lowered.send_replace(false);
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Writer {
    pen: Pen,
    leader: Arc<Leader>,
    stands: Stands,
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
            let pen = &self.pen;
            let write = async {
                sleep(pause).await;
                begun = true;
                pen.write(wanted).await
            };
            let outcome = tokio::select! {
                biased;
                outcome = write => Some(outcome),
                ordered = self.orders.changed() => match ordered {
                    Ok(()) => None,
                    Err(_) => return,
                },
                Some(_) = self.stands.next() => None,
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
                    self.pen.complain(&error);
                }
                self.failures = self.failures.saturating_add(1).min(10);
                self.known.send_replace(None);
            }
        }
    }
}
