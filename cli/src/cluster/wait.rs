//! Waiting for a lock: until it is there, the wait is over, a signal comes, or there is no server.

use std::time::Duration;

use leasehold::{Error, Guard, LockOptions, Sync as _};
use tokio::time::{sleep, timeout};

use crate::{
    clock,
    cluster::connect::Connection,
    exec::signals::Signals,
    exit::{About, Failure, Outcome},
};

/// For how long a server that was never there is asked for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(3);
/// Between two questions; a lock that is free is there sooner, and nothing is asked.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a write that was on its way when the wait ended may take to be found and undone.
const UNDO: Duration = Duration::from_secs(2);

/// What `work` comes to, unless a signal comes first or there is no server. What was stopped is said with it.
pub(crate) async fn patiently<T>(
    connection: &Connection,
    work: impl Future<Output = Result<T, Error>>,
    about: &About<'_>,
    signals: &mut Signals,
) -> Result<Outcome<T>, Failure> {
    tokio::select! {
        biased;
        signal = signals.fatal() => Err(Failure::signal(signal.as_raw())),
        result = work => Ok(result.map_err(|error| about.failure(&error))),
        error = no_server(connection) => Ok(Err(about.failure(&error))),
    }
}

/// Acquires the lock `name`.
pub(crate) async fn acquire(
    connection: &Connection,
    name: &str,
    options: LockOptions,
    about: &About<'_>,
    signals: &mut Signals,
) -> Outcome<Guard> {
    match patiently(connection, connection.sync.lock(name, options), about, signals).await {
        Ok(outcome) => outcome,
        Err(stopped) => {
            // A write that was on its way may have acquired it. What cannot be undone in time lapses by itself.
            let _ = timeout(UNDO, connection.sync.close()).await;
            Err(stopped)
        }
    }
}

/// Returns if the server cannot be reached from the beginning on. One that answered once is waited for later.
async fn no_server(connection: &Connection) -> Error {
    let end = clock::now() + PATIENCE;
    loop {
        sleep(PAUSE).await;
        match timeout(QUESTION, connection.sync.init()).await {
            Ok(Err(error @ Error::Unavailable { .. })) if clock::now() >= end => return error,
            Ok(Err(Error::Unavailable { .. })) => {}
            Ok(_) => std::future::pending().await,
            Err(_) if clock::now() >= end => {
                return no_answer();
            }
            Err(_) => {}
        }
    }
}

/// One request, which a server that is not there must not hold up.
pub(crate) async fn in_time<T>(
    request: impl Future<Output = Result<T, Error>>,
    about: &About<'_>,
) -> Outcome<T> {
    match timeout(PATIENCE, request).await {
        Ok(result) => result.map_err(|error| about.failure(&error)),
        Err(_) => Err(about.failure(&no_answer())),
    }
}

/// A request was given up.
pub(crate) fn no_answer() -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer");
    Error::Unavailable {
        backend: "kubernetes",
        source: std::sync::Arc::new(source),
        retry_after: None,
    }
}
