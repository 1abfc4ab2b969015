//! The fencing token.

use std::{fmt, num::NonZeroU64};

use serde::Serialize;

/// A number that grows with every tenure of one name: the version of the write that acquired it, on
/// Kubernetes the `resourceVersion`.
///
/// Send it along to the resource that the lock protects, from the first read on. The resource remembers the largest token
/// and refuses any smaller one: then it refuses the work of a holder that has lost the lock and does not know it yet.
///
/// # Guarantees
///
/// Grows strictly from tenure to tenure of one name, also across deletion and re-creation of the record, and is the
/// same for the whole of one tenure. Tokens have gaps. They are not comparable between clusters, nor after the
/// cluster's store was restored from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Token(NonZeroU64);

impl Token {
    pub(crate) const fn new(version: NonZeroU64) -> Self {
        Self(version)
    }

    pub(crate) const fn number(self) -> NonZeroU64 {
        self.0
    }

    /// The number, to store with the data or to send along.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        token.get()
    }
}
