//! `leasehold elect --events`: Kubernetes Events on gain and loss of the lead.

mod rate_limit;
mod recorder;

use std::{sync::Arc, time::Duration};

use leasehold::{Leader, Status};
use tokio::{task::JoinHandle, time::timeout};

pub(crate) use self::recorder::Scribe;
use self::{rate_limit::Allowance, recorder::Notice};
use crate::output::status::{Stand, Stands};

/// How long the last Event may take, once the lead has been given back.
const FINISH: Duration = Duration::from_secs(2);

/// The task that records them.
#[derive(Debug)]
pub(crate) struct Notices(JoinHandle<()>);

impl Notices {
    /// Records what becomes of `leader` until it has resigned.
    pub(crate) fn follow(scribe: Scribe, leader: &Arc<Leader>) -> Self {
        let stands = Stands::of(leader, "");
        Self(tokio::spawn(record(scribe, stands)))
    }

    /// Waits until the end has been recorded too, for a moment.
    pub(crate) async fn finish(mut self) {
        if timeout(FINISH, &mut self.0).await.is_err() {
            self.0.abort();
        }
    }
}

async fn record(mut scribe: Scribe, mut stands: Stands) {
    let mut allowance = Allowance::default();
    let mut lead = None;
    while let Some(stand) = stands.next().await {
        for notice in notices(&mut lead, &stand) {
            if allowance.take() {
                scribe.write(&stand, notice, allowance.passed_over()).await;
            }
        }
    }
}

/// What is to be told, when it stands so and had the lead with this token before, if any.
fn notices(lead: &mut Option<u64>, stand: &Stand) -> Vec<Notice> {
    let leads = matches!(stand.status, Some(Status::Leading | Status::InDoubt));
    let token = stand.leader.as_ref().filter(|_| leads).and_then(|leader| leader.token);
    let before = std::mem::replace(lead, token);
    if before == token {
        return Vec::new();
    }
    let resigned = stand.has_resigned();
    let lost = before.map(|token| Notice::Lost { token, resigned });
    let elected = token.map(|token| Notice::Elected { token });
    lost.into_iter().chain(elected).collect()
}
