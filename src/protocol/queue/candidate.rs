//! What a claim says of the candidate in an election that made it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A candidate in an election, for other processes to read. Nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidate {
    pub(crate) id: Arc<str>,
    /// The text that the candidate was started with.
    pub(crate) payload: Option<Arc<str>>,
}

/// The text of a candidate in the record, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Text {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

impl From<&Candidate> for Text {
    fn from(candidate: &Candidate) -> Self {
        let Candidate { id, payload } = candidate;
        Self { id: (**id).into(), payload: payload.as_deref().map(Into::into) }
    }
}

impl From<Text> for Candidate {
    fn from(Text { id, payload }: Text) -> Self {
        Self { id: id.into(), payload: payload.map(Into::into) }
    }
}
