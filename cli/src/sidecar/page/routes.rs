//! The routes of the page.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures::{Stream, StreamExt as _};
use tokio::task::JoinSet;

use super::{hosts::AllowedHosts, peer::Peer, view::ElectionView};
use crate::exec::resign_request::ResignSender;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");
/// The page loads nothing from other origins, and no other page may embed it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The header of requests from this page. Browsers do not let pages of other origins send it.
const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-leasehold");
/// How often an idle stream of events sends a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The state of the routes.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    view: ElectionView,
    resign_sender: ResignSender,
    reach: Reach,
    hosts: AllowedHosts,
    /// The task that updates the view. It ends with the last clone.
    _feeding: Arc<JoinSet<()>>,
}

/// Which leaders a request to resign can reach.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// This process, if it leads.
    Own,
    /// The leader, at this URL if it is another process.
    Peer(Peer),
    /// Any leader, because all candidates are in this process.
    All,
}

impl Page {
    /// `feeding` updates `view`, and runs until the page is dropped.
    pub(crate) fn new(
        view: ElectionView,
        resign_sender: ResignSender,
        reach: Reach,
        hosts: AllowedHosts,
        feeding: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(feeding);
        Self { view, resign_sender, reach, hosts, _feeding: Arc::new(tasks) }
    }

    /// The HTML of the page. Under a name that the page's own requests may not use, it is the reason instead.
    pub(crate) fn html(&self, headers: &HeaderMap) -> Response {
        match self.hosts.check_host(headers) {
            Ok(()) => file("text/html", HTML),
            Err(line) => (StatusCode::FORBIDDEN, line).into_response(),
        }
    }

    /// Ends the streams of states.
    pub(crate) fn close(&self) {
        self.view.close();
    }
}

/// All routes but `/`, which also answers programs.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(page: Page) -> Router<S> {
    Router::new()
        .route("/state", get(state))
        .route("/resign", post(resign))
        .route_layer(from_fn_with_state(page.clone(), own_requests_only))
        .route("/page.css", get(|| async { file("text/css", CSS) }))
        .route("/page.js", get(|| async { file("text/javascript", JS) }))
        .with_state(page)
}

/// Whether the client is a browser: it accepts HTML.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn file(kind: &str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.into()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
        (header::REFERRER_POLICY, "no-referrer".into()),
    ];
    (headers, text).into_response()
}

/// Refuses requests that a page of another origin may have sent.
async fn own_requests_only(State(page): State<Page>, request: Request, next: Next) -> Response {
    match page.hosts.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(line) => (StatusCode::FORBIDDEN, line).into_response(),
    }
}

/// The present state, then each change.
async fn state(State(page): State<Page>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let states = page
        .view
        .states()
        .map(|state| Ok(Event::default().data(serde_json::to_string(&state).unwrap_or_default())));
    Sse::new(states).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Sends a request to resign to the leader, here or in its own process.
async fn resign(State(page): State<Page>, headers: HeaderMap) -> (StatusCode, String) {
    let origin = headers.get(&REQUEST_HEADER).map(HeaderValue::as_bytes);
    if !matches!(origin, Some(b"resign" | b"passed on")) {
        let line = "refused: only the page itself may send this request, with the header x-leasehold: resign\n";
        return (StatusCode::FORBIDDEN, line.into());
    }
    let state = page.view.state();
    let leader = state.leader.map(|leader| leader.candidate_id);
    let result = match (&leader, &page.reach) {
        (Some(leader), reach) if *leader == state.candidate_id || matches!(reach, Reach::All) => {
            page.resign_sender
                .send()
                .await
                .map_err(|why| format!("{leader} does not resign: {why}"))
        }
        (Some(_), Reach::Peer(peer)) if origin == Some(b"resign") => peer.resign().await,
        (Some(leader), _) => Err(format!(
            "{leader} leads, and cannot be reached from {}: send the request to its own sidecar",
            state.candidate_id
        )),
        (None, _) => Err("no candidate leads at present".into()),
    };
    match result {
        Ok(line) => (StatusCode::OK, line + "\n"),
        Err(line) => (StatusCode::CONFLICT, line + "\n"),
    }
}
