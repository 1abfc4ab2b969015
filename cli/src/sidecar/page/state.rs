//! The JSON that the page draws.

use leasehold::{Member, Role};
use schemars::JsonSchema;
use serde::Serialize;

/// The state of an election, as observed by this process. Times are in seconds, relative to the time of this state.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PageState {
    pub(crate) election: String,
    pub(crate) namespace: String,
    /// The candidate that serves the page.
    pub(crate) candidate_id: String,
    /// Null while no candidate leads.
    pub(crate) leader: Option<PageLeader>,
    /// In the order of succession, if the election has a queue.
    pub(crate) members: Vec<PageMember>,
    /// From the oldest to the present tenure.
    pub(crate) tenures: Vec<PageTenure>,
    /// Whether a request to resign can reach the leader from here.
    pub(crate) can_resign: bool,
    /// Why the records cannot be read at present; null if they can.
    pub(crate) error: Option<String>,
}

/// The leader.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PageLeader {
    pub(crate) candidate_id: String,
    /// The fencing token; null where another program wrote the record, and while the token is unknown.
    pub(crate) token: Option<u64>,
    /// For how long it has led, since the first observation.
    pub(crate) held_seconds: f64,
    /// Whether it led already at the first observation.
    pub(crate) held_longer: bool,
    /// How long the lead lasts if it is not renewed.
    pub(crate) left_seconds: f64,
    pub(crate) ttl_seconds: f64,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct PageMember {
    pub(crate) candidate_id: String,
    pub(crate) role: Role,
    /// The text that the candidate was started with; null without one.
    pub(crate) payload: Option<String>,
    /// The place in the order of succession: 0 leads, 1 is next. Null in an election without a queue.
    pub(crate) succession: Option<u32>,
}

impl From<Member> for PageMember {
    fn from(member: Member) -> Self {
        let Member { candidate_id, role, payload, succession, .. } = member;
        Self { candidate_id, role, payload, succession }
    }
}

/// A tenure.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PageTenure {
    pub(crate) candidate_id: String,
    pub(crate) token: Option<u64>,
    pub(crate) began_seconds_ago: f64,
    /// Null for the present tenure.
    pub(crate) ended_seconds_ago: Option<f64>,
}
