//! Locks and elections of sessions: how the holders share one, and whether they are alive.

use leasehold::{LockMode, LockQueue, QueueEntry, SessionInfo};

use super::rows::{Record, State};

/// How the holders share the lock, as a person reads it.
pub(super) fn sharing(queue: &LockQueue) -> Option<String> {
    let (first, holders) = (queue.holders.first()?, queue.holders.len());
    match first.mode {
        LockMode::Shared => Some(format!("{holders} shared")),
        LockMode::Slots(slots) => Some(format!("{holders} of {slots} slots")),
        _ => None,
    }
}

/// The names of the sessions, in order.
pub(super) fn sessions(entries: &[QueueEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.session.clone()).collect()
}

impl Record {
    /// Whether `sessions` can tell whether a holder is alive.
    pub(crate) fn is_held_by_sessions(&self) -> bool {
        self.state == State::Held && self.holders.as_ref().is_some_and(|held| !held.is_empty())
    }

    /// Takes note of the sessions of the holders. One that is not known, as in another namespace, counts as alive.
    pub(crate) fn judge_by(&mut self, sessions: &[SessionInfo]) {
        if !self.is_held_by_sessions() {
            return;
        }
        let holds = |session: &&SessionInfo| {
            session.namespace == self.namespace
                && self.holders.as_ref().is_some_and(|holders| holders.contains(&session.id))
        };
        // A dead holder among others keeps its slot, or keeps an exclusive one out.
        let silent = |session: &&SessionInfo| (!session.is_alive(), session.renewed_ago);
        let Some(session) = sessions.iter().filter(holds).max_by_key(silent) else { return };
        self.ttl_seconds = session.ttl.as_secs();
        self.renewed_seconds = session.renewed_ago.map(|ago| ago.as_secs());
        if !session.is_alive() {
            self.state = State::Overdue;
        }
    }
}
