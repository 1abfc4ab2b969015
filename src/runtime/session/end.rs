//! Ends the session of another process, for an operator.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::requests::{Sender, SessionRequest};
use crate::{
    api::{error::Result, name::Namespace},
    protocol::session::{
        SessionAnswer, SessionId,
        observer::{Look, Observer},
    },
    runtime::attempt::no_answer,
    store::sessions::SessionStore,
    util::clock::Clock,
};

/// How often the session is read.
const INTERVAL: Duration = Duration::from_secs(1);
/// The limit of one request.
const LIMIT: Duration = Duration::from_secs(10);

/// What became of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There was none.
    Missing,
    /// It is over, for good.
    Over,
    /// It was renewed meanwhile.
    Alive,
}

/// Ends the session `id` by the rules of any other session that waits for it: unless its record changes within its
/// whole time to live.
///
/// # Errors
///
/// Those of the backend.
pub(crate) async fn end_silent(
    store: &Arc<dyn SessionStore>,
    namespace: &Namespace,
    id: &SessionId,
    clock: Clock,
) -> Result<Ended> {
    let (store, namespace) = (Arc::clone(store), namespace.clone());
    let sender = Sender { store, sessions: namespace.clone(), namespace, limit: LIMIT };
    let mut observer = Observer::new(id.clone(), clock.now());
    let mut first = None;
    loop {
        let request = match observer.next(clock.now()) {
            Look::Read => SessionRequest::Read,
            Look::CreatePlaceholder(_) => return Ok(Ended::Missing),
            Look::End(base, record) => SessionRequest::Replace(base, record),
            Look::Over => return Ok(Ended::Over),
            Look::Sleep(until) => {
                sleep(until.since(clock.now())).await;
                continue;
            }
        };
        let (answer, error) = sender.session(id, request, LIMIT).await;
        if let SessionAnswer::Failed = answer {
            let backend = sender.store.backend();
            return Err(error.unwrap_or_else(|| no_answer(backend, LIMIT)));
        }
        if let SessionAnswer::Found(Some(found)) = &answer
            && !found.record.is_over()
        {
            let seen = first.get_or_insert_with(|| found.version.clone());
            if *seen != found.version {
                return Ok(Ended::Alive);
            }
        }
        observer.answered(clock.now(), INTERVAL, answer);
    }
}
