//! The status of a candidate, and its changes.

use std::{pin::Pin, sync::Arc};

use futures::{FutureExt as _, Stream, StreamExt as _};
use leasehold::{Leader, Member, Status};
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

    /// The present status, by the guard's clock: an expired lead does not count, even if no change was published yet.
    pub(crate) fn now(leader: &Leader, namespace: &str) -> Self {
        let (status, primary) = (leader.status(), leader.primary());
        let leads = matches!(status, Status::Leading | Status::InDoubt);
        let primary =
            primary.filter(|primary| leads || primary.candidate_id != leader.candidate_id());
        Self {
            status: Some(status),
            leader: primary,
            ..Self::joining(leader.election(), namespace, leader.candidate_id())
        }
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

/// A stream of statuses: first the present one, then each change once, even if several parts change together.
pub(crate) struct StatusChanges {
    leader: Arc<Leader>,
    namespace: String,
    changes: Pin<Box<dyn Stream<Item = ()> + Send>>,
    last: Option<CandidateStatus>,
}

impl StatusChanges {
    pub(crate) fn of(leader: &Arc<Leader>, namespace: &str) -> Self {
        let changes = leader.watch().map(|_| ());
        Self {
            leader: Arc::clone(leader),
            namespace: namespace.into(),
            changes: Box::pin(changes),
            last: None,
        }
    }

    /// The next status; `None` after the candidate has resigned.
    pub(crate) async fn next(&mut self) -> Option<CandidateStatus> {
        loop {
            self.changes.next().await?;
            // Skip changes that are ready at the same time: one status covers them.
            while let Some(Some(())) = self.changes.next().now_or_never() {}
            let status = CandidateStatus::now(&self.leader, &self.namespace);
            if self.last.as_ref() != Some(&status) {
                self.last = Some(status.clone());
                return Some(status);
            }
        }
    }
}
