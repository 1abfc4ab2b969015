//! The options of a holder: its timing, its identity, and the labels of its Leases.

use std::time::Duration;

use leasehold::{Durations, Options, Timing};
use schemars::JsonSchema;

use super::{
    duration::{duration, positive_duration, written_duration, written_duration_or_none},
    key_value::{KeyValue, pairs},
};
use crate::cluster::target::Given;

/// The timing and the identity of a holder.
#[derive(Clone, Debug, clap::Args, JsonSchema)]
pub(crate) struct TenureArgs {
    /// How long other processes must see no renewal before they may take over; rounded up to whole seconds.
    #[schemars(schema_with = "written_duration")]
    #[arg(
        long,
        env = "LEASEHOLD_TTL",
        value_name = "DURATION",
        allow_hyphen_values = true,
        value_parser = duration,
        default_value = "15s"
    )]
    ttl: Duration,
    /// How long to wait for the answer to one request, more than 0 and at most 8/45 of the ttl: three attempts must fit
    /// between a due renewal and the end of the hold. Default: 1/10 of the ttl, at most 5s.
    #[schemars(schema_with = "written_duration_or_none")]
    #[arg(
        long,
        env = "LEASEHOLD_ATTEMPT",
        value_name = "DURATION",
        allow_hyphen_values = true,
        value_parser = positive_duration
    )]
    attempt: Option<Duration>,
    /// How long the command has between TERM and KILL; at most 2/5 of the ttl. Default: 1/5 of the ttl.
    #[schemars(schema_with = "written_duration_or_none")]
    #[arg(long, env = "LEASEHOLD_GRACE", value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    grace: Option<Duration>,
    /// The identity of this holder. Default: the name of the pod or host, and a random UUID.
    #[schemars(skip)]
    #[arg(long, env = "LEASEHOLD_ID")]
    id: Option<String>,
    /// A label for the Leases that this process creates, for example team=shop. Repeat it for more.
    /// In the environment: separated by commas.
    #[schemars(skip)]
    #[arg(
        long = "label",
        env = "LEASEHOLD_LABELS",
        value_name = "KEY=VALUE",
        value_delimiter = ','
    )]
    labels: Vec<KeyValue>,
    /// An annotation for the Leases that this process creates. Repeat it for more. In the environment: one per line.
    #[schemars(skip)]
    #[arg(
        long = "annotation",
        env = "LEASEHOLD_ANNOTATIONS",
        value_name = "KEY=VALUE",
        value_delimiter = '\n'
    )]
    annotations: Vec<KeyValue>,
}

impl TenureArgs {
    /// The options of a handle that takes part.
    pub(crate) fn options(&self) -> Options {
        let mut options =
            Options::default().labels(pairs(&self.labels)).annotations(pairs(&self.annotations));
        options.identity.clone_from(&self.id);
        options
    }

    /// The options that only Kubernetes has.
    pub(crate) const fn for_kubernetes_only(&self) -> [Given<'static>; 2] {
        [
            ("--label", "LEASEHOLD_LABELS", !self.labels.is_empty()),
            ("--annotation", "LEASEHOLD_ANNOTATIONS", !self.annotations.is_empty()),
        ]
    }

    /// Ignores --attempt, which a session does not use.
    pub(super) const fn without_attempt(&mut self) {
        self.attempt = None;
    }

    /// When the holder renews, and how long it waits for an answer.
    pub(crate) fn timing(&self) -> Result<Timing, String> {
        let mut timing = Timing::new(self.ttl);
        timing.check().map_err(|error| format!("--ttl: {error}"))?;
        timing.attempt_timeout = self.attempt;
        timing.check().map_err(|error| {
            format!("--attempt: {error}. Pass a shorter --attempt, or a longer --ttl")
        })?;
        Ok(timing)
    }

    /// The time between TERM and KILL.
    pub(crate) fn grace(&self, durations: &Durations) -> Result<Duration, String> {
        let (ttl, attempt) = (durations.ttl(), durations.attempt_timeout());
        let grace = self.grace.unwrap_or(ttl / 5);
        // The time left just before a renewal is due, minus one attempt. A longer grace would stop a healthy command.
        let renewing = durations.hold().saturating_sub(durations.renew_interval());
        let most = (ttl / 5 * 2).min(renewing.saturating_sub(attempt));
        if grace > most {
            return Err(format!(
                "--grace {grace:?} is too long for a ttl of {ttl:?} and attempts of {attempt:?}: pass at most {most:?}, \
                 or a longer --ttl"
            ));
        }
        Ok(grace)
    }
}
