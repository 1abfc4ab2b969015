//! All routes of the server.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures::{Stream, StreamExt as _};

use super::state::ServerState;
use crate::sidecar::page::{self, Page};

/// How often an idle stream of events sends a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn router(state: ServerState, page: Option<Page>) -> Router {
    let (root, pages) = match page {
        Some(page) => {
            let own = page.clone();
            let root = get(move |headers, state| page_or_status(own, headers, state));
            (root, page::routes(page))
        }
        None => (get(candidate_status), Router::new()),
    };
    Router::new()
        .route("/", root)
        .merge(pages)
        .route("/leading", get(leading))
        .route("/events", get(events))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(map_response(uncached))
        .with_state(state)
}

/// The status of this candidate, and the leader. Always 200; `leader` is null while no candidate leads.
async fn candidate_status(State(state): State<ServerState>) -> impl IntoResponse {
    Json(state.status())
}

/// The page for a browser, the JSON for other clients.
async fn page_or_status(page: Page, headers: HeaderMap, state: State<ServerState>) -> Response {
    if page::wants_page(&headers) {
        page.html(&headers)
    } else {
        candidate_status(state).await.into_response()
    }
}

/// 200 while this process leads, otherwise 503.
async fn leading(State(state): State<ServerState>) -> impl IntoResponse {
    let leading = state.leading();
    (code(leading.leading), Json(leading))
}

/// The present status of this candidate, then each change.
async fn events(
    State(state): State<ServerState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = state.changes().map(|status| {
        Ok(Event::default().data(serde_json::to_string(&status).unwrap_or_default()))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// 503 if a person must act, or if this process leaves the election.
async fn healthz(State(state): State<ServerState>) -> impl IntoResponse {
    let health = state.health();
    (code(health.healthy), Json(health))
}

/// 200 while this process is a candidate that can compete, otherwise 503.
async fn readyz(State(state): State<ServerState>) -> impl IntoResponse {
    let ready = state.readiness();
    (code(ready.healthy), Json(ready))
}

async fn metrics(State(state): State<ServerState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS)], state.metrics())
}

const fn code(yes: bool) -> StatusCode {
    if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Answers must not be cached.
async fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
