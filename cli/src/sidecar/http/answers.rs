//! What the server answers, as JSON.

use leasehold::Tenure;
use schemars::JsonSchema;
use serde::Serialize;

/// Whether this process leads, at the moment of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Leading {
    /// By the guard's own clock.
    pub(crate) leading: bool,
    /// The fencing token of the tenure; null while it does not lead.
    token: Option<u64>,
    /// For how long it leads at least if no renewal succeeds, in milliseconds, counted from before the answer was sent; 0 while it does not lead.
    remaining_ms: u64,
}

impl Leading {
    pub(crate) fn new(tenure: Option<&Tenure>) -> Self {
        // Asked once: what is left is also whether.
        let remaining = tenure.map(|tenure| (tenure.remaining(), tenure.token().get()));
        let remaining = remaining.filter(|(left, _)| !left.is_zero());
        Self {
            leading: remaining.is_some(),
            token: remaining.map(|(_, token)| token),
            remaining_ms: remaining
                .map_or(0, |(left, _)| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Whether this process is able to compete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// It stands, and what fails, if anything, is worth trying again.
    pub(crate) healthy: bool,
    /// What fails at present.
    error: Option<String>,
}

impl Health {
    pub(crate) const fn able() -> Self {
        Self { healthy: true, error: None }
    }

    /// Something fails that goes away by itself: no reason to restart anything.
    pub(crate) const fn retrying(error: String) -> Self {
        Self { healthy: true, error: Some(error) }
    }

    /// Somebody has to do something, or it is no candidate.
    pub(crate) fn unable(error: impl Into<String>) -> Self {
        Self { healthy: false, error: Some(error.into()) }
    }
}
