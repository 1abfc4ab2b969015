//! The server of a simulation: whether a request is stored, its answer and its events.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use super::{
    super::super::{
        machine::Outcome,
        record::{Condition, LockRecord, StoredLock, Turn},
    },
    Happens, Reply, Request, Simulation, holds,
};
use crate::protocol::{
    record::{Version, Whole},
    session::Stored,
};

impl Simulation {
    pub(super) fn arrives(&mut self, process: usize, request: Request) {
        match request {
            Request::Read => {
                let (found, back) = (self.stored.clone(), self.about(300.0));
                self.after(back, process, Happens::Replies(Reply::Read(found)));
            }
            write => {
                let delay = self.about(500.0);
                self.after(delay, process, Happens::Commits(write));
            }
        }
    }

    /// What the record is after this request, if its condition is met.
    fn changed(&self, request: Request) -> Option<LockRecord> {
        let (stored, version) =
            (self.stored.as_deref(), |stored: &StoredLock| stored.version.clone());
        match request {
            Request::Read => None,
            Request::Write(write) => {
                let base = write.base.as_deref();
                let same = |base: &StoredLock| {
                    stored.is_some_and(|stored| {
                        stored.version.uid == base.version.uid
                            && stored.record.turn == base.record.turn
                    })
                };
                let met = match write.condition {
                    Condition::Version => stored.map(version) == base.map(version),
                    Condition::Turn => base.is_some_and(same),
                };
                let mut line = write.line.clone();
                // What joined since the base stays.
                let taken: Vec<_> = write.taken().collect();
                let present = stored.map(|stored| stored.record.line.joined.clone());
                line.joined = present.unwrap_or_default();
                line.joined.retain(|claim| !taken.contains(&claim));
                let turn = self.patches.then_some(write.turn);
                met.then_some(LockRecord { line, turn, ..LockRecord::default() })
            }
            Request::Join(join) => {
                let epoch = |turn: Turn| turn.epoch == join.epoch;
                let stored = stored.filter(|stored| {
                    stored.version.uid == join.base.version.uid
                        && stored.record.turn.is_some_and(epoch)
                })?;
                let mut record = stored.record.clone();
                let line = &mut record.line;
                let new = join.claims.into_iter().filter(|claim| {
                    // A late copy of a claim that is in the queue has no effect there.
                    !line.has(&claim.session, claim.nonce)
                });
                let new: Vec<_> = new.collect();
                line.joined.extend(new);
                Some(record)
            }
        }
    }

    pub(super) fn commits(&mut self, process: Option<usize>, request: Request) {
        let Some(record) = self.changed(request) else {
            return self.reply(process, 300.0, Outcome::Conflict);
        };
        self.version += 1;
        let number = NonZeroU64::new(self.version).unwrap();
        let before = self.stored.take();
        let uid = before
            .as_ref()
            .map_or_else(|| format!("u{number}").into(), |before| before.version.uid.clone());
        let version = Version { number, uid };
        let stored = Arc::new(Stored { version, record, whole: Whole::default() });
        self.stored = Some(Arc::clone(&stored));
        self.reply(process, 500.0, Outcome::Stored(Arc::clone(&stored)));
        self.report(before.as_deref(), Some(&stored), number);
    }

    /// Answers, unless the sender has given up.
    fn reply(&mut self, process: Option<usize>, micros: f64, outcome: Outcome) {
        let back = self.about(micros);
        if let Some(process) = process {
            self.after(back, process, Happens::Replies(Reply::Write(outcome)));
        }
    }

    /// The events of a change, for the sessions that hold the record, or did.
    fn report(
        &mut self,
        before: Option<&StoredLock>,
        after: Option<&Arc<StoredLock>>,
        number: NonZeroU64,
    ) {
        for other in 0..self.processes.len() {
            let mut delay = self.about(500.0);
            if self.fault() {
                if self.fault() {
                    continue;
                }
                delay *= 1000;
            }
            if let Some(stored) = after.filter(|stored| holds(stored, other)) {
                self.after(delay, other, Happens::Seen(Arc::clone(stored)));
            } else if before.is_some_and(|before| holds(before, other)) {
                self.after(delay, other, Happens::Unlabelled(number));
            }
        }
    }

    /// The Lease is deleted by hand, now and then.
    pub(super) fn deletes(&mut self) {
        if let Some(before) = self.stored.take() {
            self.version += 1;
            let number = NonZeroU64::new(self.version).unwrap();
            self.report(Some(&before), None, number);
        }
        if !self.closing {
            self.after(Duration::from_secs(3), 0, Happens::Deletes);
        }
    }
}
