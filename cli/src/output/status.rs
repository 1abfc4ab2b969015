//! The status of a candidate, and its changes.

use futures::{StreamExt as _, stream::BoxStream};
use leasehold::{Leader, Member, Observation, Status};
use schemars::JsonSchema;
use serde::Serialize;

use super::lines::Line;

/// The status of a candidate, and the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CandidateStatus {
    pub(crate) election: String,
    pub(crate) namespace: String,
    /// The id of this candidate.
    pub(crate) candidate_id: String,
    /// The status; null before it is known.
    pub(crate) status: Option<Status>,
    /// The leader; null while no candidate leads.
    pub(crate) leader: Option<Member>,
}

impl CandidateStatus {
    /// The status of a candidate that has not joined yet.
    pub(crate) fn joining(election: &str, namespace: &str, candidate_id: &str) -> Self {
        Self {
            election: election.into(),
            namespace: namespace.into(),
            candidate_id: candidate_id.into(),
            status: None,
            leader: None,
        }
    }

    /// What the candidate `leader` observes now.
    pub(crate) fn now(leader: &Leader, namespace: &str) -> Self {
        Self::joining(leader.election(), namespace, leader.candidate_id())
            .with(leader.observation())
    }

    /// First what the candidate `leader` observes now, then each change. Ends after it has resigned.
    pub(crate) fn changes(leader: &Leader, namespace: &str) -> BoxStream<'static, Self> {
        let joining = Self::joining(leader.election(), namespace, leader.candidate_id());
        leader.watch().map(move |observation| joining.clone().with(observation)).boxed()
    }

    fn with(self, observation: Observation) -> Self {
        let Observation { status, primary, .. } = observation;
        Self { status: Some(status), leader: primary, ..self }
    }

    /// The status after the candidate has resigned.
    pub(crate) fn resigned(&self) -> Self {
        Self { status: Some(Status::Resigned), leader: None, ..self.clone() }
    }

    pub(crate) fn has_resigned(&self) -> bool {
        self.status == Some(Status::Resigned)
    }
}

impl Line for CandidateStatus {
    fn text(&self) -> String {
        let leader = match &self.leader {
            Some(leader) => format!("{} leads", leader.candidate_id),
            None => "no leader".into(),
        };
        let status = match self.status {
            None => "unknown",
            Some(Status::Follower) => "follower",
            Some(Status::Leading) => "leading",
            Some(Status::InDoubt) => "in doubt",
            Some(Status::Lost) => "lost",
            Some(Status::Resigned) => "resigned",
            Some(_) => "in a state that this version does not know",
        };
        format!("{}: {status}, {leader}", self.election)
    }
}
