//! Whether the holder of a lock seems to have crashed.
//!
//! A process may take a lock only after it has seen the record unchanged for the ttl, so a single try of a new process
//! would find the lock of a crashed holder held, each time. The clocks of two hosts decide only whether that time is
//! waited for: not who may have the lock.

use std::time::Duration;

use leasehold::LeaseRecord;
use tokio::time::{sleep, timeout};

use crate::cluster::connect::Connection;

/// Time limit of the requests.
const LOOKUP: Duration = Duration::from_secs(2);
/// How many sessions that hold a lock are looked at.
const SESSIONS: usize = 16;

/// How often a process that waits looks whether another one has got the lock.
const INTERVAL: Duration = Duration::from_secs(1);

/// A holder that seems to have crashed.
pub(crate) struct Crashed {
    /// Its identity, or its session.
    holder: String,
    ttl: Duration,
}

impl Crashed {
    /// Who holds the lock `name`, if that process seems to have crashed. `None` if it seems to be alive, or if that cannot
    /// be read.
    pub(crate) async fn find(
        connection: &Connection,
        name: &str,
        session_namespace: Option<&str>,
    ) -> Option<Self> {
        let found = async {
            let found = connection.record(name).await.ok()??;
            let sessions = sessions(&found);
            if !sessions.is_empty() {
                return silent_session(connection, &sessions, session_namespace).await;
            }
            let silent = found.renewed_ago.is_some_and(|ago| ago >= found.ttl);
            let crashed = |holder: &String| Self { holder: holder.clone(), ttl: found.ttl };
            found.holder.as_ref().map(crashed).filter(|_| silent)
        };
        timeout(LOOKUP, found).await.ok().flatten()
    }

    /// How long a process with this time to live needs at most to get the lock.
    pub(crate) fn longest_wait(&self, own_ttl: Duration) -> Duration {
        2 * self.ttl.max(own_ttl)
    }

    /// Waits until another process than `own` has got the lock instead, and returns it. So a single try does not run
    /// after a run that began meanwhile.
    pub(crate) async fn succeeded_by(
        &self,
        connection: &Connection,
        name: &str,
        own: impl Fn() -> String,
    ) -> String {
        loop {
            sleep(INTERVAL).await;
            let Ok(Some(found)) = connection.record(name).await else { continue };
            let holders = match sessions(&found) {
                sessions if sessions.is_empty() => found.holder.iter().collect(),
                sessions => sessions,
            };
            if let Some(first) = holders.first()
                && !holders.iter().any(|holder| **holder == self.holder || **holder == own())
            {
                return (*first).clone();
            }
        }
    }
}

/// The sessions that hold a record: those of its queue, or the one that it names without a queue, because an edit has
/// removed that.
fn sessions(record: &LeaseRecord) -> Vec<&String> {
    match &record.queue {
        Some(queue) if queue.other_holder.is_none() => {
            queue.holders.iter().map(|holder| &holder.session).collect()
        }
        _ => record.holder.iter().filter(|holder| session_ttl(holder).is_some()).collect(),
    }
}

/// A session that holds the lock and was not renewed for its ttl, or is over, or missing.
async fn silent_session(
    connection: &Connection,
    sessions: &[&String],
    namespace: Option<&str>,
) -> Option<Crashed> {
    for &holder in sessions.iter().take(SESSIONS) {
        let ttl = match connection.session_info(holder, namespace).await.ok()? {
            Some(session) if session.is_alive() => continue,
            Some(session) => session.ttl,
            None => session_ttl(holder)?,
        };
        return Some(Crashed { holder: holder.clone(), ttl });
    }
    None
}

/// The ttl in the name of a session: 15 s in `s15-…`, with 20 random letters and digits. `None` for the name of any other
/// holder, such as a pod `s3-gateway-0`.
pub(crate) fn session_ttl(name: &str) -> Option<Duration> {
    let (ttl, rest) = name.strip_prefix('s')?.split_once('-')?;
    let random = rest.split('-').next()?;
    let is_base_32 = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
    let fits = !ttl.is_empty()
        && ttl.bytes().all(|byte| byte.is_ascii_digit())
        && random.len() == 20
        && random.bytes().all(is_base_32);
    ttl.parse().ok().filter(|_| fits).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_session_states_its_ttl() {
        let secs = |name: &str| session_ttl(name).map(|ttl| ttl.as_secs());
        assert_eq!(
            (secs("s15-k2j5q7w3x4y6z2a3b4c5"), secs("s-x"), secs("host-a-1")),
            (Some(15), None, None)
        );
        assert_eq!(secs("s3600-k2j5q7w3x4y6z2a3b4c5-k2j5q7w3x4"), Some(3600));
        assert_eq!((secs("s3-gateway-0"), secs("s3-gateway_5d8f-x")), (None, None));
        let random = "k2j5q7w3x4y6z2a3b4c5";
        assert_eq!(secs(&format!("s+5-{random}")), None);
        assert_eq!(secs(&format!("s99999999999999999999-{random}")), None);
        assert_eq!((secs("s+5-x"), secs("s99999999999999999999-x")), (None, None));
    }
}
