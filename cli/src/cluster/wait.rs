//! Waits that end in time: at a signal, or when the server cannot be reached.

use std::time::Duration;

use leasehold::{Error, Guard, LockOptions};
use tokio::time::{sleep, timeout};

use crate::{
    clock,
    cluster::{access::Access, connect::Connection, probe::Presence},
    exec::signals::Signals,
    exit::{Failure, Outcome, Subject},
};

/// How long a server that has never answered is tried, unless the user says how long to wait. Also how long a wait goes
/// on while something else answers, and while a server that is not ready refuses requests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// The pause before each probe. A lock that is free is acquired sooner, without a probe.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, so that many waiting processes do not delay the start of a server.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What is left of a wait at least, when a request that was refused is repeated.
const LEAST: Duration = Duration::from_millis(1);
/// Time limit for undoing a write that was in flight when the wait ended.
const UNDO: Duration = Duration::from_secs(2);

/// The wait for a server that has not answered yet.
pub(crate) struct ServerWait<'a> {
    /// The longest wait. `None` if there is no limit, or if `work` has one.
    pub(crate) limit: Option<Duration>,
    /// How long the user wants to wait for the server and for `work` together. `None` if there is no limit.
    pub(crate) wait: Option<Duration>,
    /// After the first answer the server is not probed any more, because `work` then waits for another holder.
    pub(crate) first_answer_only: bool,
    /// Gets the present error after each probe, and `None` when the server answers.
    pub(crate) report: &'a mut (dyn FnMut(Option<&Error>) + Send),
}

/// Runs `work` until it ends, a signal arrives, or the server cannot be used.
///
/// The outer error means that a signal stopped `work`.
pub(crate) async fn unless_stopped<T, F: Future<Output = Result<T, Error>>>(
    connection: &Connection,
    work: impl FnMut() -> F,
    mut wait: ServerWait<'_>,
    subject: &Subject<'_>,
    signals: &mut Signals,
) -> Result<Outcome<T>, Failure> {
    let outcome = tokio::select! {
        biased;
        signal = signals.fatal() => return Err(Failure::signal(signal.as_raw())),
        result = once_ready(connection, work, wait.wait) => result,
        error = no_server(connection, &mut wait) => Err(error),
    };
    if outcome.is_ok() {
        (wait.report)(None);
    }
    Ok(outcome.map_err(|error| subject.failure(&error)))
}

/// Acquires the lock `name` by `access`.
pub(crate) async fn acquire(
    connection: &Connection,
    access: &Access,
    name: &str,
    options: LockOptions,
    wait: ServerWait<'_>,
    subject: &Subject<'_>,
    signals: &mut Signals,
) -> Outcome<Guard> {
    let begun = clock::now();
    let work = || {
        let mut options = options;
        let waited = clock::now().saturating_sub(begun);
        // A wait that is used up is still no single try.
        options.wait = options.wait.map(|wait| wait.saturating_sub(waited).max(wait.min(LEAST)));
        access.lock(connection, name, options)
    };
    match unless_stopped(connection, work, wait, subject, signals).await {
        Ok(Ok(guard)) => Ok(guard),
        Ok(Err(failure)) | Err(failure) => {
            // A write in flight may have acquired the lock. If it cannot be undone in time, it expires by itself.
            let _ = timeout(UNDO, access.close(connection)).await;
            Err(failure)
        }
    }
}

/// Repeats `work` for as long as a server that is not ready refuses it, for at most [`PATIENCE`] and at most `wait`.
async fn once_ready<T, F: Future<Output = Result<T, Error>>>(
    connection: &Connection,
    mut work: impl FnMut() -> F,
    wait: Option<Duration>,
) -> Result<T, Error> {
    let latest = wait.map_or(Duration::MAX, |wait| clock::now().saturating_add(wait));
    let mut end = None;
    loop {
        let error = match work().await {
            Err(error @ Error::PermissionDenied { .. }) => error,
            other => return other,
        };
        let end = *end.get_or_insert_with(|| latest.min(clock::now() + PATIENCE));
        let left = || end.saturating_sub(clock::now());
        if left().is_zero() || timeout(left(), connection.is_ready()).await == Ok(true) {
            return Err(error);
        }
        tracing::debug!(%error, "the server is not ready: trying again");
        sleep(PAUSE.min(left())).await;
        if left().is_zero() {
            return Err(error);
        }
    }
}

/// Returns if the server cannot be used within the time limit.
async fn no_server(connection: &Connection, wait: &mut ServerWait<'_>) -> Error {
    let mut absent_since = clock::now();
    let mut foreign_since = Some(absent_since);
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
        let presence = connection.probe().await;
        let now = clock::now();
        let error = match presence {
            Presence::Present => {
                (wait.report)(None);
                if wait.first_answer_only {
                    return std::future::pending().await;
                }
                (absent_since, foreign_since, pause) = (now, None, LONGEST_PAUSE);
                continue;
            }
            Presence::Absent(error) => {
                foreign_since = None;
                error
            }
            Presence::Foreign(error) => {
                if now >= *foreign_since.get_or_insert(now) + PATIENCE {
                    return error;
                }
                error
            }
        };
        let waited = now.saturating_sub(absent_since);
        let left = wait.limit.map_or(Duration::MAX, |limit| limit.saturating_sub(waited));
        if left.is_zero() {
            return error;
        }
        (wait.report)(Some(&error));
        if waited >= PATIENCE {
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        pause = pause.min(left);
    }
}

/// Runs one request with a time limit, because an unreachable server must not block the command.
pub(crate) async fn in_time<T>(
    request: impl Future<Output = Result<T, Error>>,
    subject: &Subject<'_>,
) -> Outcome<T> {
    match timeout(PATIENCE, request).await {
        Ok(result) => result.map_err(|error| subject.failure(&error)),
        Err(_) => Err(subject.failure(&subject.backend.no_answer())),
    }
}
