//! Whether the holder of a lock seems to have crashed.
//!
//! A process may take a lock only after it has seen the record unchanged for the ttl, so a single try of a new process
//! would find the lock of a crashed holder held, each time. The clocks of two hosts decide only whether that time is
//! waited for: not who may have the lock.

use std::time::Duration;

use leasehold::{Inspect as _, LockQueue, RecordOptions};
use tokio::time::timeout;

use crate::cluster::connect::Connection;

/// Time limit of the requests.
const LOOKUP: Duration = Duration::from_secs(2);
/// How many sessions that hold a lock are looked at.
const SESSIONS: usize = 16;

/// How long a process with this time to live waits at most for the lock `name`, if its holder seems to have crashed.
/// `None` if it seems to be alive, or if that cannot be read.
pub(crate) async fn wait_for_crashed(
    connection: &Connection,
    name: &str,
    own_ttl: Duration,
    session_namespace: Option<&str>,
) -> Option<Duration> {
    let silent_ttl = async {
        let record = connection.inspect.record_name(name).ok()?;
        let options = RecordOptions::default().lease(record);
        let found = connection.inspect.list_records(options).await.ok()?;
        let found = found.first()?;
        let by_sessions = |queue: &&LockQueue| queue.other_holder.is_none();
        if let Some(queue) = found.queue.as_ref().filter(by_sessions) {
            return silent_session(connection, queue, session_namespace).await;
        }
        let silent = found.renewed_ago.is_some_and(|ago| ago >= found.ttl);
        found.holder.is_some().then_some(found.ttl).filter(|_| silent)
    };
    let silent_ttl = timeout(LOOKUP, silent_ttl).await.ok().flatten()?;
    Some(2 * silent_ttl.max(own_ttl))
}

/// The ttl of a session that holds the lock and was not renewed for so long, or is over, or missing.
async fn silent_session(
    connection: &Connection,
    queue: &LockQueue,
    namespace: Option<&str>,
) -> Option<Duration> {
    for holder in queue.holders.iter().take(SESSIONS) {
        let mut options = RecordOptions::default().lease(&holder.session);
        options.namespace = namespace.map(ToOwned::to_owned);
        let found = connection.inspect.list_sessions(options).await.ok()?;
        match found.first() {
            Some(session) if session.is_alive() => {}
            Some(session) => return Some(session.ttl),
            None => return session_ttl(&holder.session),
        }
    }
    None
}

/// The ttl in the name of a session: 15 s in `s15-…`. `None` for the name of any other holder.
pub(crate) fn session_ttl(name: &str) -> Option<Duration> {
    let (ttl, _) = name.strip_prefix('s')?.split_once('-')?;
    let digits = !ttl.is_empty() && ttl.bytes().all(|byte| byte.is_ascii_digit());
    ttl.parse().ok().filter(|_| digits).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_session_states_its_ttl() {
        let secs = |name| session_ttl(name).map(|ttl| ttl.as_secs());
        assert_eq!(
            (secs("s15-k2j5q7w3x4y6z2a3b4c5"), secs("s-x"), secs("host-a-1")),
            (Some(15), None, None)
        );
        assert_eq!((secs("s+5-x"), secs("s99999999999999999999-x")), (None, None));
    }
}
