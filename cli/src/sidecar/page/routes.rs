//! What the page asks for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures::{Stream, StreamExt as _};
use tokio::task::JoinSet;

use super::{peer::Peer, view::ElectionView};
use crate::exec::resign_request::ResignSender;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");
/// Nothing from elsewhere, and nothing inside another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// That a page of this program asks, and no page from elsewhere: browsers do not let those say so.
const ASKS: HeaderName = HeaderName::from_static("x-leasehold");
/// How often a browser that listens is shown that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What the routes work on.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    view: ElectionView,
    resign_sender: ResignSender,
    reach: Reach,
    /// Shows what happens on the screen, and ends with the last clone.
    _feeding: Arc<JoinSet<()>>,
}

/// Which leaders can be asked to resign.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// This process, if it leads.
    Own,
    /// Whoever leads, at this address if not here.
    Peer(Peer),
    /// Whoever leads: all of them are in this process.
    All,
}

impl Page {
    /// `feeding` shows on `screen` what happens, for as long as there is a page.
    pub(crate) fn new(
        view: ElectionView,
        resign_sender: ResignSender,
        reach: Reach,
        feeding: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(feeding);
        Self { view, resign_sender, reach, _feeding: Arc::new(tasks) }
    }

    /// There is nothing more to come: those who look are let go.
    pub(crate) fn close(&self) {
        self.view.close();
    }
}

/// All but `/`, which programs ask as well.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(page: Page) -> Router<S> {
    Router::new()
        .route("/page.css", get(|| async { file("text/css", CSS) }))
        .route("/page.js", get(|| async { file("text/javascript", JS) }))
        .route("/state", get(state))
        .route("/resign", post(resign))
        .with_state(page)
}

/// Whether it is a person who asks: a browser says that it wants HTML.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// The page itself.
pub(crate) fn html() -> Response {
    file("text/html", HTML)
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

/// The whole picture, now and with each change.
async fn state(State(page): State<Page>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let states = page
        .view
        .states()
        .map(|state| Ok(Event::default().data(serde_json::to_string(&state).unwrap_or_default())));
    Sse::new(states).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Asks the leader to resign: here, or where it is.
async fn resign(State(page): State<Page>, headers: HeaderMap) -> (StatusCode, String) {
    let resign_requests = headers.get(&ASKS).map(HeaderValue::as_bytes);
    if !matches!(resign_requests, Some(b"resign" | b"passed on")) {
        let line =
            "refused: only the page itself may ask this, with the header x-leasehold: resign\n";
        return (StatusCode::FORBIDDEN, line.into());
    }
    let state = page.view.state();
    let leader = state.leader.map(|leader| leader.id);
    let told = match (&leader, &page.reach) {
        (Some(leader), reach) if *leader == state.id || matches!(reach, Reach::All) => page
            .resign_sender
            .send()
            .await
            .map_err(|why| format!("{leader} does not resign: {why}")),
        (Some(_), Reach::Peer(peer)) if resign_requests == Some(b"resign") => peer.resign().await,
        (Some(leader), _) => {
            Err(format!("{leader} leads, and cannot be reached from {}: ask there", state.id))
        }
        (None, _) => Err("nobody leads at present".into()),
    };
    match told {
        Ok(line) => (StatusCode::OK, line + "\n"),
        Err(line) => (StatusCode::CONFLICT, line + "\n"),
    }
}
