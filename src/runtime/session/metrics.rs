//! The metrics of a session and of its locks, through the facade `metrics`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

use crate::{
    api::{error::Loss, tenure::Tenure},
    runtime::{
        metrics::{LEADS, TRANSITIONS, Transition, describe_tenures},
        telemetry::Renewal,
    },
    store::{Kind, RecordKey},
};

const HEARTBEATS: &str = "leasehold_heartbeats_total";
const HEARTBEAT: &str = "leasehold_heartbeat_duration_seconds";
const QUEUE: &str = "leasehold_queue_length";
const WAIT: &str = "leasehold_wait_duration_seconds";
const HANDOVER: &str = "leasehold_handover_duration_seconds";

/// The instruments of the sessions of one process. All are registered at once, so that a counter starts at zero.
pub(super) struct SessionMetrics {
    heartbeats: [Counter; Renewal::ALL.len()],
    heartbeat: Histogram,
}

impl SessionMetrics {
    pub(super) fn new() -> Self {
        describe_counter!(HEARTBEATS, "Attempts to renew a session, by outcome");
        describe_histogram!(HEARTBEAT, Unit::Seconds, "How long attempts to renew a session took");
        Self {
            heartbeats: Renewal::ALL
                .map(|outcome| counter!(HEARTBEATS, "outcome" => outcome.name())),
            heartbeat: histogram!(HEARTBEAT),
        }
    }

    pub(super) fn heartbeat(&self, outcome: Renewal, took: Duration) {
        self.heartbeats[outcome as usize].increment(1);
        self.heartbeat.record(took);
    }
}

/// The instruments of one lock or election.
pub(super) struct LockMetrics {
    leads: Gauge,
    held: Counter,
    lost: Counter,
    released: Counter,
    /// How many tenures there are in this process: several if the lock is shared or has slots.
    tenures: AtomicUsize,
    queue: Gauge,
    wait: Histogram,
    handover: Histogram,
}

impl LockMetrics {
    pub(super) fn new(key: &RecordKey) -> Self {
        describe();
        let kind = if key.kind == Kind::Election { "election" } else { "lock" };
        let labels =
            [Label::new("name", key.name.to_string()), Label::from_static_parts("kind", kind)];
        let transitions = |to: Transition| {
            let [name, kind] = labels.clone();
            counter!(TRANSITIONS, vec![name, kind, Label::from_static_parts("to", to.name())])
        };
        let leads = gauge!(LEADS, labels.iter());
        // Registers the gauge and keeps its value, because another contender of this process may have set it.
        leads.increment(0.0);
        Self {
            leads,
            held: transitions(Transition::Held),
            lost: transitions(Transition::Lost),
            released: transitions(Transition::Released),
            tenures: AtomicUsize::new(0),
            queue: gauge!(QUEUE, labels.iter()),
            wait: histogram!(WAIT, labels.iter()),
            handover: histogram!(HANDOVER, labels.iter()),
        }
    }

    /// A tenure began. It is counted until the result is dropped.
    pub(super) fn began(self: &Arc<Self>, tenure: &Tenure, waited: Duration) -> HeldMetrics {
        self.held.increment(1);
        self.wait.record(waited);
        self.tenures.fetch_add(1, Ordering::Relaxed);
        self.leads.set(1.0);
        HeldMetrics { metrics: Arc::clone(self), tenure: tenure.clone() }
    }

    pub(super) fn handed_over(&self, took: Duration) {
        self.handover.record(took);
    }

    pub(super) fn queue(&self, length: usize) {
        self.queue.set(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

impl Drop for LockMetrics {
    /// The session knows nothing of the lock any more.
    fn drop(&mut self) {
        self.queue.set(0.0);
    }
}

/// Counts a tenure until it is dropped.
pub(super) struct HeldMetrics {
    metrics: Arc<LockMetrics>,
    tenure: Tenure,
}

impl Drop for HeldMetrics {
    fn drop(&mut self) {
        let Self { metrics, tenure } = self;
        let ended = match tenure.why() {
            Loss::Released => &metrics.released,
            _ => &metrics.lost,
        };
        ended.increment(1);
        if metrics.tenures.fetch_sub(1, Ordering::Relaxed) == 1 {
            metrics.leads.set(0.0);
        }
    }
}

fn describe() {
    describe_tenures();
    describe_gauge!(
        QUEUE,
        "Waiters in the queue, while this process holds the lock or waits for it"
    );
    describe_histogram!(WAIT, Unit::Seconds, "How long callers waited until they held the lock");
    describe_histogram!(
        HANDOVER,
        Unit::Seconds,
        "From the release of a lock that others wait for until the next holder is stored"
    );
}

impl fmt::Debug for SessionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionMetrics")
    }
}

impl fmt::Debug for LockMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockMetrics")
    }
}

impl fmt::Debug for HeldMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldMetrics")
    }
}
