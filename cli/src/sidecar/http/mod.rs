//! `leasehold elect --serve`: the leader and the status of this candidate over HTTP, for programs in any language.
//!
//! ```text
//!  Leader (the library) ──► ServerState: read for each request ──► routes ──► HTTP
//! ```

mod address;
mod answers;
mod connections;
pub(crate) mod open_files;
mod prometheus;
mod request;
mod routes;
mod serve;
mod socket;
mod state;

use std::{sync::Arc, time::Duration};

use leasehold::{Error, Leader};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

pub(crate) use self::{
    address::Address,
    answers::{Health, Leadership},
    serve::serve,
};
use self::{prometheus::Registry, state::ServerState};
use crate::{
    exit::{Failure, Outcome, code},
    output::status::CandidateStatus,
    sidecar::page::Page,
};

/// Time limit for requests that are in progress when the server closes.
const CLOSE: Duration = Duration::from_secs(1);

/// The server. It runs from before the election is joined until after the candidate has resigned.
#[derive(Debug)]
pub(crate) struct Server {
    state: ServerState,
    page: Option<Page>,
    /// Dropped to stop the server.
    running: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens, prints the address, and answers. Metrics are recorded from now on. `open_files` is the largest number
    /// of files that the process may open.
    pub(crate) async fn start(
        address: Address,
        joining: CandidateStatus,
        page: Option<Page>,
        open_files: u64,
        quiet: bool,
    ) -> Outcome<Self> {
        let (listener, address) = address.listen().await?;
        if !quiet {
            crate::console::report(format_args!(
                "serving election `{}` on http://{address}",
                joining.election
            ));
        }
        let registry = Registry::default();
        metrics::set_global_recorder(registry.clone())
            .map_err(|error| Failure::new(code::INTERNAL, error.to_string()))?;
        let state = ServerState::new(joining, registry);
        let router = routes::router(state.clone(), page.clone());
        let (running, stop) = watch::channel(());
        let task = tokio::spawn(serve(listener, router, open_files, stop));
        Ok(Self { state, page, running, task })
    }

    /// Reports why the election is not joined yet.
    pub(crate) fn joining(&self, error: Option<&Error>) {
        self.state.joining(error);
    }

    /// Reports the candidate `leader` from now on.
    pub(crate) fn follow(&self, leader: &Arc<Leader>) {
        self.state.follow(leader);
    }

    /// Stops to report that this candidate leads, and ends the streams of events.
    pub(crate) fn stop_reporting(&self) {
        self.state.close();
    }

    /// Answers the requests in progress, and ends.
    pub(crate) async fn close(mut self) {
        self.state.close();
        if let Some(page) = &self.page {
            page.close();
        }
        drop(self.running);
        if timeout(CLOSE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
