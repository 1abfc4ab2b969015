//! Waits that end in time: at a signal, or when the server cannot be reached.

use std::time::Duration;

use leasehold::{Error, Guard, LockOptions, Sync as _};
use tokio::time::{sleep, timeout};

use crate::{
    clock,
    cluster::connect::Connection,
    exec::signals::Signals,
    exit::{Failure, Outcome, Subject},
};

/// How long a server that has never answered is tried.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// Time limit of one probe of the server.
const PROBE: Duration = Duration::from_secs(3);
/// The pause before each probe. A lock that is free is acquired sooner, without a probe.
const PAUSE: Duration = Duration::from_secs(1);
/// Time limit for undoing a write that was in flight when the wait ended.
const UNDO: Duration = Duration::from_secs(2);

/// Runs `work` until it ends, a signal arrives, or the server cannot be reached.
///
/// The outer error means that a signal stopped `work`.
pub(crate) async fn unless_stopped<T>(
    connection: &Connection,
    work: impl Future<Output = Result<T, Error>>,
    subject: &Subject<'_>,
    signals: &mut Signals,
) -> Result<Outcome<T>, Failure> {
    tokio::select! {
        biased;
        signal = signals.fatal() => Err(Failure::signal(signal.as_raw())),
        result = work => Ok(result.map_err(|error| subject.failure(&error))),
        error = no_server(connection) => Ok(Err(subject.failure(&error))),
    }
}

/// Acquires the lock `name`.
pub(crate) async fn acquire(
    connection: &Connection,
    name: &str,
    options: LockOptions,
    subject: &Subject<'_>,
    signals: &mut Signals,
) -> Outcome<Guard> {
    match unless_stopped(connection, connection.sync.lock(name, options), subject, signals).await {
        Ok(outcome) => outcome,
        Err(stopped) => {
            // A write in flight may have acquired the lock. If it cannot be undone in time, it expires by itself.
            let _ = timeout(UNDO, connection.sync.close()).await;
            Err(stopped)
        }
    }
}

/// Returns if the server has never answered within the time limit. After the first answer, later outages are
/// waited out.
async fn no_server(connection: &Connection) -> Error {
    let end = clock::now() + PATIENCE;
    loop {
        sleep(PAUSE).await;
        match timeout(PROBE, connection.sync.init()).await {
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

/// Runs one request with a time limit, because an unreachable server must not block the command.
pub(crate) async fn in_time<T>(
    request: impl Future<Output = Result<T, Error>>,
    subject: &Subject<'_>,
) -> Outcome<T> {
    match timeout(PATIENCE, request).await {
        Ok(result) => result.map_err(|error| subject.failure(&error)),
        Err(_) => Err(subject.failure(&no_answer())),
    }
}

/// The error of a request that got no answer in time.
pub(crate) fn no_answer() -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    Error::Unavailable {
        backend: "kubernetes",
        source: std::sync::Arc::new(source),
        retry_after: None,
    }
}
