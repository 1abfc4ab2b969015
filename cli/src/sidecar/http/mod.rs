//! `leasehold elect --serve`: who leads, over HTTP, for programs in any language.
//!
//! ```text
//!  Leader (the library) ──► Board: one look with each request ──► routes ──► HTTP
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
    answers::{Health, Leading},
};
use self::{prometheus::Registry, state::ServerState};
use crate::{
    exit::{Failure, Outcome, code},
    output::status::CandidateStatus,
    sidecar::page::Page,
};

/// How long requests that are being answered may take to end.
const CLOSE: Duration = Duration::from_secs(1);

/// The server, from before the election is joined until after it was left.
#[derive(Debug)]
pub(crate) struct Server {
    state: ServerState,
    page: Option<Page>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Listens, says where, and answers from now on. What is measured is measured from now on.
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
        // An answer must not wait for another packet. A socket that has gone by now needs nothing.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(async move { drop(stopped.await) });
        let task = tokio::spawn(async move { serving.await });
        Ok(Self { state, page, stop, task })
    }

    /// The candidacy stands.
    pub(crate) fn joined(&self, leader: &Arc<Leader>) {
        self.state.joined(leader);
    }

    /// Tells nobody any more that it leads, and ends the streams of events.
    pub(crate) fn stop_reporting(&self) {
        self.state.close();
    }

    /// Answers what has been asked, and ends.
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
