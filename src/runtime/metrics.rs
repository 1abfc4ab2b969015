//! The metrics of one contender, through the facade `metrics`: one instrument for each series.

use std::time::{Duration, SystemTime};

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

use crate::{runtime::telemetry::Renewal, util::environment};

pub(super) const LEADS: &str = "leasehold_is_leader";
pub(super) const TRANSITIONS: &str = "leasehold_transitions_total";
const RENEWALS: &str = "leasehold_renewals_total";
const RENEWAL: &str = "leasehold_renewal_duration_seconds";
const SUCCESS: &str = "leasehold_last_success_timestamp_seconds";
const DEADLINE: &str = "leasehold_deadline_timestamp_seconds";

/// What became of a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Held,
    InDoubt,
    Lost,
    Released,
    /// Ended, and the next caller in this process took over without a moment in which the record was free.
    HandedOver,
}

/// The instruments of one record. All are registered at once, so that a counter starts at zero and not at its first event.
pub(crate) struct Metrics {
    leads: Gauge,
    transitions: [Counter; Transition::ALL.len()],
    renewals: [Counter; Renewal::ALL.len()],
    renewal: Histogram,
    success: Gauge,
    deadline: Gauge,
}

impl Metrics {
    pub(crate) fn new(name: &str, kind: &'static str) -> Self {
        describe();
        let labels = [Label::new("name", name.to_owned()), Label::from_static_parts("kind", kind)];
        let with = |key, value| {
            let [name, kind] = labels.clone();
            vec![name, kind, Label::from_static_parts(key, value)]
        };
        let leads = gauge!(LEADS, labels.iter());
        // Registers the gauge and keeps its value, because another contender of this process may have set it.
        leads.increment(0.0);
        Self {
            leads,
            transitions: Transition::ALL.map(|to| counter!(TRANSITIONS, with("to", to.name()))),
            renewals: Renewal::ALL
                .map(|outcome| counter!(RENEWALS, with("outcome", outcome.name()))),
            renewal: histogram!(RENEWAL, labels.iter()),
            success: gauge!(SUCCESS, labels.iter()),
            deadline: gauge!(DEADLINE, labels.iter()),
        }
    }

    /// The tenure is held, and ends after `left` unless it is renewed.
    pub(crate) fn held(&self, left: Duration) {
        let now = wall();
        self.leads.set(1.0);
        self.success.set(now.as_secs_f64());
        self.deadline.set((now + left).as_secs_f64());
    }

    /// The tenure is over.
    pub(crate) fn ended(&self) {
        self.leads.set(0.0);
        self.deadline.set(wall().as_secs_f64());
    }

    pub(crate) fn changed(&self, to: Transition) {
        self.transitions[to as usize].increment(1);
    }

    pub(crate) fn renewal(&self, outcome: Renewal, took: Duration) {
        self.renewals[outcome as usize].increment(1);
        self.renewal.record(took);
    }
}

impl Transition {
    /// Each, in order.
    pub(crate) const ALL: [Self; 5] =
        [Self::Held, Self::InDoubt, Self::Lost, Self::Released, Self::HandedOver];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::InDoubt => "in_doubt",
            Self::Lost => "lost",
            Self::Released => "released",
            Self::HandedOver => "handed_over",
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Describes the metrics that locks with and without a session have.
pub(super) fn describe_tenures() {
    describe_gauge!(LEADS, "1 while this process leads the election or holds the lock, else 0");
    describe_counter!(TRANSITIONS, "Changes of the tenure, by what it became");
}

fn describe() {
    describe_tenures();
    describe_counter!(RENEWALS, "Attempts to renew the tenure, by outcome");
    describe_histogram!(RENEWAL, Unit::Seconds, "How long attempts to renew the tenure took");
    describe_gauge!(SUCCESS, Unit::Seconds, "When the tenure was last confirmed, as Unix time");
    describe_gauge!(
        DEADLINE,
        Unit::Seconds,
        "When the tenure ends unless it is renewed, or when the last one ended, as Unix time"
    );
}

/// Unix time, for people to compare with their own clocks.
fn wall() -> Duration {
    environment::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
