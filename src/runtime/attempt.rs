//! One request to a store, with its own time limit.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    api::error::{Error, Result},
    store::Store,
};

/// Longer than any timer needs to be.
pub(crate) const FAR: Duration = Duration::from_secs(365 * 86_400);

/// The answer of `request`, or an error after `limit`, whatever the client below does.
pub(crate) async fn answered<T>(
    store: &dyn Store,
    limit: Duration,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(limit, request).await.unwrap_or_else(|_| Err(no_answer(store.backend(), limit)))
}

/// The error for a request that is not answered within `limit`.
pub(crate) fn no_answer(backend: &'static str, limit: Duration) -> Error {
    Error::unavailable(backend, NoAnswer(limit))
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);
