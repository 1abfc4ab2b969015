//! The records of candidates that died. The leader of the election deletes them.
//!
//! A candidate that is killed cannot delete its record. The leader lists the records of its election every ten minutes
//! and deletes a candidate's record that it has itself seen unchanged for several ttls of that record, on its own
//! clock. No time that is written in a record decides. The deletion is conditional on the version that was seen, so a
//! record that was renewed meanwhile stays.
//!
//! No safety depends on this. If the candidate is alive after all, for example because it was stopped, it sees that its
//! record is gone and writes it again. If the leader may not list or delete, the records stay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    attempt::{FAR, answered},
    observer::LIST_TIMEOUT,
};
use crate::{
    api::{
        error::{Error, Result},
        name::RecordName,
    },
    protocol::record::{Record, Version, Write, WriteKind},
    store::{Entry, Kind, RecordKey, Scope, Store, Written},
    util::{
        clock::{Clock, Moment},
        environment,
    },
};

/// How many ttls of its own a record must be seen unchanged. A live candidate renews its record more than twice in one.
const TTLS: u32 = 3;
/// The shortest pause between two lists.
const PAUSE: Duration = Duration::from_secs(8 * 60);
/// The longest random addition to the pause, so that leaders that started together do not list together.
const JITTER: Duration = Duration::from_secs(4 * 60);
/// The pause after the backend has refused a list or a deletion.
const REFUSED_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The time limit of one deletion. No tenure depends on it.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// What one candidate knows of the other candidates' records. It outlives the tenures, so that a candidate which leads
/// often but briefly also finds records that are left.
#[derive(Debug)]
pub(crate) struct Leftovers {
    store: Arc<dyn Store>,
    clock: Clock,
    election: Arc<RecordKey>,
    /// The records of the last list, and since when this process has seen them unchanged.
    seen: BTreeMap<RecordName, (Version, Moment)>,
    /// When to list next.
    due: Moment,
}

impl Leftovers {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock, election: Arc<RecordKey>) -> Self {
        let due = clock.now() + pause();
        Self { store, clock, election, seen: BTreeMap::new(), due }
    }

    /// Waits for the next list, and deletes what is left over. To be called while this candidate leads.
    ///
    /// The future may be dropped: a list that was interrupted is not repeated before the next one is due.
    pub(crate) async fn delete_next(&mut self) {
        loop {
            let left = self.due.since(self.clock.now());
            if left.is_zero() {
                break;
            }
            sleep(left.min(FAR)).await;
        }
        self.due = self.clock.now() + pause();
        let Err(error) = self.list_and_delete().await else { return };
        let election = &self.election.name;
        tracing::debug!(%election, %error, "records of dead candidates may be left");
        if !matches!(error, Error::Unavailable { .. }) {
            self.due = self.due + REFUSED_PAUSE;
        }
    }

    async fn list_and_delete(&mut self) -> Result<()> {
        let sent = self.clock.now();
        let RecordKey { namespace, record, .. } = &*self.election;
        let scope = Scope::Elections(namespace.clone(), Some(record.clone()));
        let entries = answered(&*self.store, LIST_TIMEOUT, self.store.list(&scope)).await?;
        for left in self.left_over(entries, sent) {
            self.delete(left).await?;
        }
        Ok(())
    }

    /// The records among `entries` that were unchanged for long when the list was sent. Remembers the others.
    fn left_over(&mut self, entries: Vec<Entry>, sent: Moment) -> Vec<Entry> {
        let now = self.clock.now();
        let known = std::mem::take(&mut self.seen);
        let ours = Kind::Candidate(self.election.record.clone());
        let mut left = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.kind.as_ref() == Some(&ours)) {
            let version = &entry.found.version;
            let since = match known.get(&entry.record) {
                Some((seen, since)) if seen == version => *since,
                _ => now,
            };
            self.seen.insert(entry.record.clone(), (version.clone(), since));
            if sent >= since && sent - since >= entry.found.record.lives().saturating_mul(TTLS) {
                left.push(entry);
            }
        }
        left
    }

    async fn delete(&self, left: Entry) -> Result<()> {
        let kind = Kind::Candidate(self.election.record.clone());
        let key = RecordKey { record: left.record, kind, ..(*self.election).clone() };
        let write =
            Write { base: Some(left.found), kind: WriteKind::Delete, record: Record::default() };
        let (election, record) = (&key.name, &key.record);
        match answered(&*self.store, DELETE_TIMEOUT, self.store.write(&key, &write)).await? {
            Written::Gone => {
                tracing::debug!(%election, %record, "deleted the record of a dead candidate");
            }
            // The candidate has renewed it meanwhile.
            Written::Conflict | Written::Stored(_) => {}
        }
        Ok(())
    }
}

fn pause() -> Duration {
    let part = environment::random().to_be_bytes()[0];
    PAUSE + JITTER * u32::from(part) / 255
}
