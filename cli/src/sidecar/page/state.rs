//! What the page is drawn from.

use leasehold::{Member, Role};
use schemars::JsonSchema;
use serde::Serialize;

/// An election at one moment, as this process observed it. Times count from that moment, in seconds of this process's clock.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PageState {
    pub(crate) election: String,
    pub(crate) namespace: String,
    /// Whoever serves the page.
    pub(crate) id: String,
    /// Null while nobody leads.
    pub(crate) leader: Option<PageLeader>,
    pub(crate) members: Vec<PageMember>,
    /// From the oldest to the present one.
    pub(crate) tenures: Vec<PageTenure>,
    /// Whether the leader can be reached from here, to be asked to resign.
    pub(crate) can_resign: bool,
    /// Why nothing is heard at present, if so.
    pub(crate) trouble: Option<String>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PageLeader {
    pub(crate) id: String,
    /// The fencing token; null where another program wrote the record.
    pub(crate) token: Option<u64>,
    /// For how long it has led, as far as it was observed.
    pub(crate) held_seconds: f64,
    /// It led already when observation began.
    pub(crate) held_longer: bool,
    /// How long the record lives if nobody renews it.
    pub(crate) left_seconds: f64,
    pub(crate) ttl_seconds: f64,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct PageMember {
    pub(crate) id: String,
    pub(crate) role: Role,
}

impl From<Member> for PageMember {
    fn from(member: Member) -> Self {
        Self { id: member.id, role: member.role }
    }
}

/// A tenure.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PageTenure {
    pub(crate) id: String,
    pub(crate) token: Option<u64>,
    pub(crate) began_seconds_ago: f64,
    /// Null while it goes on.
    pub(crate) ended_seconds_ago: Option<f64>,
}
