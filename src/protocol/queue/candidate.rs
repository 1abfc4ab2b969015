//! What a claim says of the candidate in an election that made it.

use std::{num::NonZeroU64, sync::Arc};

use serde::{Deserialize, Serialize};

/// A candidate in an election, for other processes to read. Nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidate {
    pub(crate) id: Arc<str>,
    /// The text that the candidate was started with.
    pub(crate) payload: Option<Arc<str>>,
    /// The token of its tenure, once the candidate has stated it. The write that grants a tenure cannot state it,
    /// because the token is the version which that write gets.
    pub(crate) token: Option<NonZeroU64>,
}

/// The text of a candidate in the record, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Text {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<NonZeroU64>,
}

impl From<&Candidate> for Text {
    fn from(candidate: &Candidate) -> Self {
        let Candidate { id, payload, token } = candidate;
        Self { id: (**id).into(), payload: payload.as_deref().map(Into::into), token: *token }
    }
}

impl From<Text> for Candidate {
    fn from(Text { id, payload, token }: Text) -> Self {
        Self { id: id.into(), payload: payload.map(Into::into), token }
    }
}
