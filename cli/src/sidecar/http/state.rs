//! What the server knows: how the candidacy stands, asked for with each request and never remembered.

use std::{error::Error as _, sync::Arc};

use futures::{Stream, StreamExt as _, stream};
use leasehold::{Leader, Tenure};
use tokio::sync::watch;

use super::{
    answers::{Health, Leading},
    prometheus::Registry,
};
use crate::output::status::{CandidateStatus, StatusChanges};

/// The one thing that all answers are made of.
#[derive(Clone, Debug)]
pub(crate) struct ServerState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How it stands before there is a candidacy.
    joining: CandidateStatus,
    phase: watch::Sender<Phase>,
    registry: Registry,
}

#[derive(Clone, Debug)]
enum Phase {
    Joining,
    Candidate(Arc<Leader>),
    /// Whatever the candidacy is, nobody is told that it leads.
    Closing,
}

impl ServerState {
    pub(crate) fn new(joining: CandidateStatus, registry: Registry) -> Self {
        Self(Arc::new(Inner { joining, phase: watch::Sender::new(Phase::Joining), registry }))
    }

    /// The candidacy stands.
    pub(crate) fn joined(&self, leader: &Arc<Leader>) {
        self.0.phase.send_replace(Phase::Candidate(Arc::clone(leader)));
    }

    /// From here on it does not lead: before it resigns.
    pub(crate) fn close(&self) {
        self.0.phase.send_replace(Phase::Closing);
    }

    /// The tenure, if it leads now by its guard's clock.
    fn tenure(&self) -> Option<Tenure> {
        match &*self.0.phase.borrow() {
            Phase::Candidate(leader) => leader.tenure(),
            Phase::Joining | Phase::Closing => None,
        }
    }

    pub(crate) fn leading(&self) -> Leading {
        Leading::new(self.tenure().as_ref())
    }

    pub(crate) fn status(&self) -> CandidateStatus {
        match &*self.0.phase.borrow() {
            Phase::Joining => self.0.joining.clone(),
            Phase::Candidate(leader) => CandidateStatus::now(leader, &self.0.joining.namespace),
            Phase::Closing => self.0.joining.resigned(),
        }
    }

    /// Whether it is able to compete, which is not whether it leads.
    pub(crate) fn health(&self) -> Health {
        let Phase::Candidate(leader) = self.0.phase.borrow().clone() else {
            return Health::unable("it does not stand in the election: it joins, or leaves");
        };
        let Some(error) = leader.last_error() else { return Health::able() };
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let told = format!("{error}{cause}");
        if error.is_transient() { Health::retrying(told) } else { Health::unable(told) }
    }

    /// Each change of how it stands, once, from now on, until it closes.
    pub(crate) fn changes(&self) -> impl Stream<Item = CandidateStatus> + Send + 'static + use<> {
        let mut phases = self.0.phase.subscribe();
        phases.mark_changed();
        let follower = Changes { state: self.clone(), phases, changes: None, last: None };
        stream::unfold(follower, |mut follower| async move {
            let status = follower.next().await?;
            Some((status, follower))
        })
        .boxed()
    }

    /// All metrics, as they are now.
    pub(crate) fn metrics(&self) -> String {
        if self.tenure().is_none() {
            // The task that sets it may have had no time to run.
            let CandidateStatus { election, .. } = &self.0.joining;
            let labels = [("name", election.clone()), ("kind", "election".to_owned())];
            metrics::gauge!("leasehold_is_leader", &labels).set(0.0);
        }
        self.0.registry.render()
    }
}

struct Changes {
    state: ServerState,
    phases: watch::Receiver<Phase>,
    changes: Option<StatusChanges>,
    last: Option<CandidateStatus>,
}

impl Changes {
    /// The next that differs from the last; nothing after it has closed.
    async fn next(&mut self) -> Option<CandidateStatus> {
        loop {
            let resigned = self.last.as_ref().is_some_and(CandidateStatus::has_resigned);
            if resigned {
                return None;
            }
            tokio::select! {
                biased;
                changed = self.phases.changed() => {
                    changed.ok()?;
                    if let Phase::Candidate(leader) = &*self.phases.borrow_and_update() {
                        self.changes = Some(StatusChanges::of(leader, &self.state.0.joining.namespace));
                    }
                }
                Some(_) = async { self.changes.as_mut()?.next().await }, if self.changes.is_some() => {}
            }
            let status = self.state.status();
            if self.last.as_ref() != Some(&status) {
                self.last = Some(status.clone());
                return Some(status);
            }
        }
    }
}
