//! How a record stands, as one process sees it.

use std::{num::NonZeroU64, sync::Arc};

use crate::api::error::{Error, same};

/// How the record stands, as far as this process knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Who holds it; `None` while free or not known.
    pub(crate) holder: Option<Arc<str>>,
    /// The token of that tenure, where its holder wrote it.
    pub(crate) token: Option<NonZeroU64>,
    /// Whether this contender waits for somebody else's tenure to end.
    pub(crate) waits: bool,
    /// Whether somebody in this process has the tenure or wants it.
    pub(crate) used: bool,
    /// The last failure, until something succeeds.
    pub(crate) error: Option<Error>,
}

impl Standing {
    /// Whether whoever is told of one need not be told of the other.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.holder == other.holder
            && self.token == other.token
            && (self.waits, self.used) == (other.waits, other.used)
            && same(self.error.as_ref(), other.error.as_ref())
    }
}
