//! `leasehold elect --serve`: the leader and the status of this candidate over HTTP, for programs in any language.
//!
//! ```text
//!  Leader (the library) ──► ServerState: read for each request ──► routes ──► HTTP
//! ```

mod address;
mod answers;
mod prometheus;
mod routes;
mod state;

use std::{sync::Arc, time::Duration};

use axum::serve::ListenerExt as _;
use leasehold::Leader;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

pub(crate) use self::{
    address::Address,
    answers::{Health, Leadership},
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
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Listens, prints the address, and answers. Metrics are recorded from now on.
    pub(crate) async fn start(
        address: Address,
        joining: CandidateStatus,
        page: Option<Page>,
        quiet: bool,
    ) -> Outcome<Self> {
        let (listener, address) = address.listen().await?;
        if !quiet {
            eprintln!("leasehold: serving election `{}` on http://{address}", joining.election);
        }
        let registry = Registry::default();
        metrics::set_global_recorder(registry.clone())
            .map_err(|error| Failure::new(code::INTERNAL, error.to_string()))?;
        let state = ServerState::new(joining, registry);
        let router = routes::router(state.clone(), page.clone());
        // Send answers at once. Ignore errors: a closed socket needs no option.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(async move { drop(stopped.await) });
        let task = tokio::spawn(async move { serving.await });
        Ok(Self { state, page, stop, task })
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
        let _ = self.stop.send(());
        if timeout(CLOSE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
