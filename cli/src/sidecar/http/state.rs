//! The state that the server reports: read from the library for each request, never cached.

use std::{error::Error as _, sync::Arc};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use leasehold::{Error, Leader, Tenure};
use tokio::sync::watch;

use super::{
    answers::{Health, Leadership},
    prometheus::Registry,
};
use crate::output::status::CandidateStatus;

/// The source of all answers.
#[derive(Clone, Debug)]
pub(crate) struct ServerState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The status before the election is joined.
    joining: CandidateStatus,
    phase: watch::Sender<Phase>,
    registry: Registry,
}

#[derive(Clone, Debug)]
enum Phase {
    /// With the error of a server that is away.
    Joining(Option<String>),
    Candidate(Arc<Leader>),
    /// No answer reports a lead any more, even if the candidate still leads.
    Closing,
}

impl ServerState {
    pub(crate) fn new(joining: CandidateStatus, registry: Registry) -> Self {
        Self(Arc::new(Inner { joining, phase: watch::Sender::new(Phase::Joining(None)), registry }))
    }

    /// Reports `error` while the election is being joined.
    pub(crate) fn joining(&self, error: Option<&Error>) {
        self.0.phase.send_replace(Phase::Joining(error.map(text)));
    }

    /// Reports the candidate `leader` from now on.
    pub(crate) fn follow(&self, leader: &Arc<Leader>) {
        self.0.phase.send_replace(Phase::Candidate(Arc::clone(leader)));
    }

    /// Reports no lead from now on. Called before the candidate resigns.
    pub(crate) fn close(&self) {
        self.0.phase.send_replace(Phase::Closing);
    }

    /// The tenure, if the candidate leads now by the clock of the guard.
    fn tenure(&self) -> Option<Tenure> {
        match &*self.0.phase.borrow() {
            Phase::Candidate(leader) => leader.tenure(),
            Phase::Joining(_) | Phase::Closing => None,
        }
    }

    pub(crate) fn leading(&self) -> Leadership {
        Leadership::new(self.tenure().as_ref())
    }

    pub(crate) fn status(&self) -> CandidateStatus {
        match &*self.0.phase.borrow() {
            Phase::Joining(_) => self.0.joining.clone(),
            Phase::Candidate(leader) => CandidateStatus::now(leader, &self.0.joining.namespace),
            Phase::Closing => self.0.joining.resigned(),
        }
    }

    /// Whether this process works: it can compete, leading or not, or it waits for a server to become a candidate.
    pub(crate) fn health(&self) -> Health {
        match self.0.phase.borrow().clone() {
            Phase::Joining(Some(error)) => Health::retrying(error),
            phase => Self::readiness_in(phase),
        }
    }

    /// Whether this process can compete, leading or not.
    pub(crate) fn readiness(&self) -> Health {
        Self::readiness_in(self.0.phase.borrow().clone())
    }

    fn readiness_in(phase: Phase) -> Health {
        let leader = match phase {
            Phase::Joining(Some(error)) => {
                return Health::unable(format!("not a candidate yet: {error}"));
            }
            Phase::Joining(None) | Phase::Closing => {
                return Health::unable("not a candidate: the election is being joined or left");
            }
            Phase::Candidate(leader) => leader,
        };
        match leader.last_error() {
            None => Health::able(),
            Some(error) if error.is_transient() => Health::retrying(text(&error)),
            Some(error) => Health::unable(text(&error)),
        }
    }

    /// The present status, then each change once, until the state is closed.
    pub(crate) fn changes(&self) -> impl Stream<Item = CandidateStatus> + Send + 'static + use<> {
        let mut phases = self.0.phase.subscribe();
        phases.mark_changed();
        let changes = Changes { state: self.clone(), phases, statuses: None, last: None };
        stream::unfold(changes, |mut changes| async move {
            let status = changes.next().await?;
            Some((status, changes))
        })
        .boxed()
    }

    /// The present metrics, as text.
    pub(crate) fn metrics(&self) -> String {
        if self.tenure().is_none() {
            // The task that sets this gauge may not have run since the tenure ended.
            let CandidateStatus { election, .. } = &self.0.joining;
            let labels = [("name", election.clone()), ("kind", "election".to_owned())];
            metrics::gauge!("leasehold_is_leader", &labels).set(0.0);
        }
        self.0.registry.render()
    }
}

/// The error with its cause.
fn text(error: &Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// The state of the stream of changes.
struct Changes {
    state: ServerState,
    phases: watch::Receiver<Phase>,
    statuses: Option<BoxStream<'static, CandidateStatus>>,
    last: Option<CandidateStatus>,
}

impl Changes {
    /// The next status that differs from the last one; `None` after the state was closed.
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
                        self.statuses = Some(CandidateStatus::changes(leader, &self.state.0.joining.namespace));
                    }
                }
                Some(_) = async { self.statuses.as_mut()?.next().await }, if self.statuses.is_some() => {}
            }
            let status = self.state.status();
            if self.last.as_ref() != Some(&status) {
                self.last = Some(status.clone());
                return Some(status);
            }
        }
    }
}
