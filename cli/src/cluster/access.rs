//! How a lock is acquired: by a handle alone, or in the queue of a session.

use std::{convert::Infallible, time::Duration};

use leasehold::{
    Error, Guard, LockMode, LockOptions, LockQueue, NotBefore, Session, SessionOptions, Sync as _,
};
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};

use crate::{
    clock::{self, in_seconds},
    cluster::{
        connect::Connection,
        crashed::{Crashed, session_ttl},
        wait::PATIENCE,
    },
    console,
    exit::Subject,
};

/// How long a wait lasts before it is worth a line, and how often its place in the queue is read then.
const FIRST: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(10);
/// Time limit of the request that shows who holds a lock.
const LOOKUP: Duration = Duration::from_secs(1);
/// The pause before a lock that is in use in another mode is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// What is left of a wait at least, when it has been used up.
const LEAST: Duration = Duration::from_millis(1);

/// See the [module](self).
#[derive(Debug)]
pub(crate) enum Access {
    /// With this time to live.
    Alone {
        ttl: Duration,
    },
    Queue {
        options: SessionOptions,
        session: OnceCell<Session>,
    },
}

impl Access {
    /// Through a session with these options.
    pub(crate) fn queue(options: SessionOptions) -> Self {
        Self::Queue { options, session: OnceCell::new() }
    }

    /// Acquires the lock `name`. A single try waits nevertheless if the holder seems to have crashed.
    pub(crate) async fn lock(
        &self,
        connection: &Connection,
        name: &str,
        mut options: LockOptions,
    ) -> Result<Guard, Error> {
        let locked = self.lock_in_mode(connection, name, options).await;
        let single = options.wait == Some(Duration::ZERO);
        if !single || !matches!(locked, Err(Error::Held { .. })) {
            return locked;
        }
        let Some(crashed) = self.crashed(connection, name).await else { return locked };
        let wait = crashed.longest_wait(self.ttl());
        tracing::debug!(?wait, "the holder seems to have crashed");
        options.wait = Some(wait);
        tokio::select! {
            biased;
            locked = self.lock_in_mode(connection, name, options) => locked,
            holder = crashed.succeeded_by(connection, name, || self.holder(connection)) => {
                let holder = identity(connection, &holder, self.namespace()).await;
                Err(Error::Held { name: name.to_owned(), holder })
            }
        }
    }

    /// Tries again while the lock is in use in another mode by a process that seems to have crashed. Between two tries the
    /// session observes that process.
    async fn lock_in_mode(
        &self,
        connection: &Connection,
        name: &str,
        options: LockOptions,
    ) -> Result<Guard, Error> {
        let begun = clock::now();
        let mut left = options;
        loop {
            let locked = self.lock_in_time(connection, name, left).await;
            if !matches!(locked, Err(Error::OtherMode { .. })) {
                return locked;
            }
            let Some(crashed) = self.crashed(connection, name).await else { return locked };
            let longest = crashed.longest_wait(self.ttl());
            let limit = options.wait.filter(|wait| !wait.is_zero()).unwrap_or(longest);
            if clock::now().saturating_sub(begun) >= limit.min(longest) {
                return locked;
            }
            tracing::debug!("the holder in another mode seems to have crashed");
            sleep(AGAIN).await;
            left.wait = remaining(options.wait, begun);
        }
    }

    /// The holder of the lock, if it seems to have crashed.
    async fn crashed(&self, connection: &Connection, name: &str) -> Option<Crashed> {
        Crashed::find(connection, name, self.namespace()).await
    }

    const fn ttl(&self) -> Duration {
        match self {
            Self::Alone { ttl } => *ttl,
            Self::Queue { options, .. } => options.ttl,
        }
    }

    /// The namespace of the sessions, if they have one of their own.
    fn namespace(&self) -> Option<&str> {
        match self {
            Self::Alone { .. } => None,
            Self::Queue { options, .. } => options.namespace.as_deref(),
        }
    }

    /// What a record names as its holder when this process holds it.
    fn holder(&self, connection: &Connection) -> String {
        match self {
            Self::Alone { .. } => connection.sync.options().identity.clone().unwrap_or_default(),
            Self::Queue { session, .. } => session.get().map(Session::id).unwrap_or_default(),
        }
    }

    async fn lock_in_time(
        &self,
        connection: &Connection,
        name: &str,
        mut options: LockOptions,
    ) -> Result<Guard, Error> {
        let Self::Queue { options: opened, session } = self else {
            let locked = connection.sync.lock(name, options).await;
            return match locked {
                Err(error) => Err(with_identity(connection, error).await),
                Ok(guard) => Ok(guard),
            };
        };
        let begun = clock::now();
        // A single try waits for a server, but not for room in a quota.
        let limit = options.wait.map(|wait| if wait.is_zero() { PATIENCE } else { wait });
        let mut opened = opened.clone();
        opened.wait = limit;
        let session = session.get_or_try_init(|| connection.session(opened)).await?;
        options.wait = remaining(options.wait, begun);
        session.lock(name, options).await
    }

    /// Ends what was given up. With a session it leaves the queue, releases the lock, and deletes its Lease.
    pub(crate) async fn close(&self, connection: &Connection) -> Result<(), Error> {
        match self {
            Self::Alone { .. } => connection.sync.close().await,
            Self::Queue { session, .. } => match session.get() {
                Some(session) => session.end().await,
                None => Ok(()),
            },
        }
    }

    /// Reports the holder, or the place in the queue, when a wait takes long, and each change of it. Never ends.
    pub(crate) async fn report(
        &self,
        connection: &Connection,
        name: &str,
        subject: &Subject<'_>,
    ) -> Infallible {
        let mut last = String::new();
        sleep(FIRST).await;
        loop {
            let state = match self {
                Self::Alone { .. } => record_state(connection, name, None).await,
                Self::Queue { session, options } => match session.get() {
                    Some(session) => match queued(connection, session, name, options).await {
                        None => record_state(connection, name, Some(&session.id())).await,
                        queued => queued,
                    },
                    None => None,
                },
            };
            if let Some(state) = state.filter(|state| *state != last) {
                let (object, namespace) = (subject.object, subject.namespace);
                console::report(format_args!(
                    "{object} in namespace `{namespace}` is waited for: {state}"
                ));
                last = state;
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Who else holds the lock than the session `own`, or until when it is closed, as the record says. `None` if neither, or
/// if it cannot be read.
async fn record_state(connection: &Connection, name: &str, own: Option<&str>) -> Option<String> {
    let found = connection.record(name).await.ok()??;
    match found.holder.as_deref().filter(|holder| Some(*holder) != own) {
        Some(holder) => Some(format!("held by `{}`", identity(connection, holder, None).await)),
        None => found.not_before.as_ref().map(closed),
    }
}

fn closed(not_before: &NotBefore) -> String {
    let NotBefore { time, holder, .. } = not_before;
    let time = in_seconds(*time);
    format!("free, but may not be acquired before {time}: `{holder}` ran it with --at-least")
}

/// The same error, with the identity of the process whose session holds the lock.
async fn with_identity(connection: &Connection, mut error: Error) -> Error {
    if let Error::Held { holder, .. } | Error::Timeout { holder, .. } = &mut error {
        *holder = identity(connection, holder, None).await;
    }
    error
}

/// What is left of a wait that began at this time. A single try stays one, and nothing else becomes one.
fn remaining(wait: Option<Duration>, begun: Duration) -> Option<Duration> {
    let took = clock::now().saturating_sub(begun);
    wait.map(|wait| wait.saturating_sub(took).max(wait.min(LEAST)))
}

/// The identity of the process of this session. The text itself if it names no session, or one that cannot be read.
pub(crate) async fn identity(
    connection: &Connection,
    session: &str,
    namespace: Option<&str>,
) -> String {
    // Other holders cost no request.
    if session_ttl(session).is_none() {
        return session.to_owned();
    }
    match timeout(LOOKUP, connection.session_info(session, namespace)).await {
        Ok(Ok(Some(found))) => found.identity,
        _ => session.to_owned(),
    }
}

/// The place of this session in the queue, and who holds the lock.
async fn queued(
    connection: &Connection,
    session: &Session,
    name: &str,
    options: &SessionOptions,
) -> Option<String> {
    let queue = session.queue(name).await.ok()?;
    let place = place(&queue, &session.id())?;
    let holder = holder(connection, &queue, options.namespace.as_deref()).await;
    Some(format!("{place} in the queue, held by {holder}"))
}

/// The place of `session` in the queue, as a person counts.
fn place(queue: &LockQueue, session: &str) -> Option<String> {
    let before = queue.waiters.iter().position(|entry| entry.session == session)?;
    Some(format!("number {} of {}", before + 1, queue.waiters.len()))
}

/// The options of a session with this time to live, in this namespace of its own.
pub(crate) fn session_options(ttl: Duration, namespace: Option<&str>) -> SessionOptions {
    let mut options = SessionOptions::default().ttl(ttl);
    options.namespace = namespace.map(ToOwned::to_owned);
    options
}

/// The identity of the first holder, whose session is in this namespace.
async fn holder(connection: &Connection, queue: &LockQueue, namespace: Option<&str>) -> String {
    if let Some(other) = &queue.other_holder {
        return format!("`{other}`");
    }
    let Some(first) = queue.holders.first() else { return "no process".into() };
    shown_holders(&identity(connection, &first.session, namespace).await, queue.holders.len())
}

/// The first of this many holders, and the number of the others.
fn shown_holders(first: &str, holders: usize) -> String {
    match holders {
        0 | 1 => format!("`{first}`"),
        2 => format!("`{first}` and 1 other"),
        _ => format!("`{first}` and {} others", holders - 1),
    }
}

/// How the options share the lock.
pub(crate) const fn mode(shared: bool, slots: Option<u16>) -> LockMode {
    match (shared, slots) {
        (true, _) => LockMode::Shared,
        (_, Some(slots)) => LockMode::Slots(slots),
        _ => LockMode::Exclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_other_holders_is_shown() {
        let shown = [1, 2, 3].map(|holders| shown_holders("a", holders));
        assert_eq!(shown, ["`a`", "`a` and 1 other", "`a` and 2 others"]);
    }
}
