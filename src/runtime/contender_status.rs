//! What one contender publishes about its record.

use std::{num::NonZeroU64, sync::Arc};

use crate::api::error::{Error, same};

/// The record as this process knows it, for the callers that wait for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContenderStatus {
    /// Who holds it; `None` while it is free or not known.
    pub(crate) holder: Option<Arc<str>>,
    /// The token of that tenure, where its holder wrote it.
    pub(crate) token: Option<NonZeroU64>,
    /// The payload of that tenure, where its holder wrote one.
    pub(crate) payload: Option<Arc<str>>,
    /// This contender waits for the tenure of another process to end.
    pub(crate) waiting: bool,
    /// A caller in this process has the tenure or wants it.
    pub(crate) used: bool,
    /// The last failure, until a request succeeds.
    pub(crate) error: Option<Error>,
}

impl ContenderStatus {
    /// Whether a subscriber that knows one of them need not be woken for the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.holder == other.holder
            && self.token == other.token
            && self.payload == other.payload
            && (self.waiting, self.used) == (other.waiting, other.used)
            && same(self.error.as_ref(), other.error.as_ref())
    }
}
