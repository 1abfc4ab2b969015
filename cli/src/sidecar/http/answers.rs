//! The answers of the server, as JSON.

use leasehold::{Tenure, Token};
use schemars::JsonSchema;
use serde::Serialize;

/// Whether this process leads, at the time of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Leadership {
    /// By the clock of the guard.
    pub(crate) leading: bool,
    /// The fencing token of the tenure; null while this process does not lead.
    token: Option<Token>,
    /// How long the lead lasts if no renewal succeeds, in milliseconds, from before the answer was sent; 0 while this
    /// process does not lead.
    remaining_ms: u64,
}

impl Leadership {
    pub(crate) fn new(tenure: Option<&Tenure>) -> Self {
        // Read the remaining time once, because it also decides whether this process leads.
        let remaining = tenure.map(|tenure| (tenure.remaining(), tenure.token()));
        let remaining = remaining.filter(|(left, _)| !left.is_zero());
        Self {
            leading: remaining.is_some(),
            token: remaining.map(|(_, token)| token),
            remaining_ms: remaining
                .map_or(0, |(left, _)| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Whether this process works, or whether it can compete in the election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// The errors of this process, if any, are worth a retry.
    pub(crate) healthy: bool,
    /// The present error; null if there is none.
    error: Option<String>,
}

impl Health {
    pub(crate) const fn able() -> Self {
        Self { healthy: true, error: None }
    }

    /// An error that a retry may solve: a restart would not help.
    pub(crate) const fn retrying(error: String) -> Self {
        Self { healthy: true, error: Some(error) }
    }

    /// An error that an operator must solve, or the process is no candidate.
    pub(crate) fn unable(error: impl Into<String>) -> Self {
        Self { healthy: false, error: Some(error.into()) }
    }
}
