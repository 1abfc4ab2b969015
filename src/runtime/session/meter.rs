//! What is measured of a session and of its locks. Without the feature `metrics` nothing is.

use std::{collections::BTreeMap, time::Duration};

#[cfg(feature = "metrics")]
use std::sync::Arc;

#[cfg(feature = "metrics")]
use super::metrics::{HeldMetrics, LockMetrics, SessionMetrics};
use crate::{
    api::{
        error::{Error, Loss},
        tenure::Tenure,
    },
    protocol::session::SessionAnswer,
    runtime::telemetry::Renewal,
    store::RecordKey,
    util::clock::Moment,
};

/// Measures heartbeats.
#[derive(Debug)]
pub(super) struct BeatMeter {
    #[cfg(feature = "metrics")]
    metrics: SessionMetrics,
}

/// Measures one lock of a session.
#[derive(Debug, Default)]
pub(super) struct LockMeter {
    /// When the release of a claim began that others wait for, by its nonce.
    handing_over: BTreeMap<u64, Moment>,
    /// The length of the queue that was reported last.
    queue: usize,
    #[cfg(feature = "metrics")]
    metrics: Option<Arc<LockMetrics>>,
}

/// Lasts as long as a tenure, and reports its end.
#[derive(Debug)]
pub(super) struct Held {
    #[cfg(feature = "metrics")]
    _metrics: HeldMetrics,
}

impl BeatMeter {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            metrics: SessionMetrics::new(),
        }
    }

    /// The last request is answered after this time. A read is no attempt: the write before it was one.
    pub(super) fn answered(&self, answer: &SessionAnswer, error: Option<&Error>, took: Duration) {
        let outcome = match answer {
            SessionAnswer::Found(_) => return,
            SessionAnswer::Written(_) => Renewal::Stored,
            SessionAnswer::Conflict => Renewal::Conflict,
            SessionAnswer::Failed if error.is_some_and(|error| !error.is_transient()) => {
                Renewal::Refused
            }
            SessionAnswer::Failed => Renewal::Unknown,
        };
        self.ended(outcome, took);
    }

    /// An attempt has ended: it is answered, or the next one begins.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(clippy::unused_self, reason = "without metrics there is only the trace")
    )]
    pub(super) fn ended(&self, outcome: Renewal, took: Duration) {
        tracing::trace!(outcome = outcome.name(), ?took, "heartbeat");
        #[cfg(feature = "metrics")]
        self.metrics.heartbeat(outcome, took);
    }
}

impl LockMeter {
    /// A tenure began after its caller had waited for this time.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(clippy::unused_self, reason = "without metrics there is only the trace")
    )]
    pub(super) fn began(&mut self, key: &RecordKey, tenure: &Tenure, waited: Duration) -> Held {
        let (name, token) = (&key.name, tenure.token());
        tracing::trace!(%name, %token, ?waited, "granted");
        Held {
            #[cfg(feature = "metrics")]
            _metrics: self.metrics(key).began(tenure, waited),
        }
    }

    /// A tenure that has ended is released. Others wait for the lock if it is `requested`.
    pub(super) fn releasing(&mut self, tenure: &Tenure, requested: bool) {
        if requested && tenure.why() == Loss::Released {
            self.handing_over.insert(tenure.id(), tenure.now());
        }
    }

    /// The claim has left the record.
    pub(super) fn left(&mut self, key: &RecordKey, now: Moment, nonce: u64) {
        if let Some(since) = self.handing_over.remove(&nonce) {
            let (name, took) = (&key.name, now - since);
            tracing::trace!(%name, ?took, "handed over");
            #[cfg(feature = "metrics")]
            self.metrics(key).handed_over(took);
        }
    }

    /// So many claims wait in the queue.
    pub(super) fn queue(&mut self, key: &RecordKey, length: usize) {
        if std::mem::replace(&mut self.queue, length) != length {
            let name = &key.name;
            tracing::trace!(%name, length, "queue");
            #[cfg(feature = "metrics")]
            self.metrics(key).queue(length);
        }
    }

    #[cfg(feature = "metrics")]
    fn metrics(&mut self, key: &RecordKey) -> &Arc<LockMetrics> {
        self.metrics.get_or_insert_with(|| Arc::new(LockMetrics::new(key)))
    }
}
