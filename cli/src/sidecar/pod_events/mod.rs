//! `leasehold elect --events`: a Kubernetes Event when the lead is won or lost.

mod rate_limit;
mod recorder;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use leasehold::{Leader, Status, Token};
use tokio::{task::JoinHandle, time::timeout};

pub(crate) use self::recorder::EventRecorder;
use self::{rate_limit::RateLimit, recorder::LeadChange};
use crate::output::status::CandidateStatus;

/// Time limit for the last Event, after the lead was released.
const FINISH: Duration = Duration::from_secs(2);

/// The task that records Events.
#[derive(Debug)]
pub(crate) struct PodEvents(JoinHandle<()>);

impl PodEvents {
    /// Records the changes of `leader` until it has resigned.
    pub(crate) fn follow(recorder: EventRecorder, leader: &Arc<Leader>) -> Self {
        let statuses = CandidateStatus::changes(leader, "");
        Self(tokio::spawn(record(recorder, statuses)))
    }

    /// Waits until the last change is recorded, within a time limit.
    pub(crate) async fn finish(mut self) {
        if timeout(FINISH, &mut self.0).await.is_err() {
            self.0.abort();
        }
    }
}

async fn record(mut recorder: EventRecorder, mut statuses: BoxStream<'static, CandidateStatus>) {
    let mut rate_limit = RateLimit::default();
    let mut lead = None;
    while let Some(status) = statuses.next().await {
        for change in changes(&mut lead, &status) {
            if rate_limit.take() {
                recorder.write(&status, change, rate_limit.skipped()).await;
            }
        }
    }
}

/// The changes to record for this status. `lead` is the token of the lead before and is updated.
fn changes(lead: &mut Option<Token>, status: &CandidateStatus) -> Vec<LeadChange> {
    let leads = matches!(status.status, Some(Status::Leading | Status::InDoubt));
    let token = status.leader.as_ref().filter(|_| leads).and_then(|leader| leader.token);
    let before = std::mem::replace(lead, token);
    if before == token {
        return Vec::new();
    }
    let resigned = status.has_resigned();
    let lost = before.map(|token| LeadChange::Lost { token, resigned });
    let elected = token.map(|token| LeadChange::Elected { token });
    lost.into_iter().chain(elected).collect()
}
