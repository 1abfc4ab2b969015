//! What the handle of a session and its guards want from the task.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{callers::Waiting, candidate::Candidate, lock::too_early, task::Task};
use crate::{
    api::{
        error::{Error, Loss, Result},
        guard::{Again, NO_TENURE, Release},
        name::RecordName,
    },
    protocol::record::Nonce,
    runtime::candidates::Resign,
    store::RecordKey,
    util::clock::Moment,
};

/// A call of the session's handle.
pub(super) enum Command {
    Lock {
        key: Arc<RecordKey>,
        nonce: Nonce,
        waiting: Waiting,
    },
    /// The caller has dropped its future.
    Cancel {
        record: RecordName,
        nonce: Nonce,
    },
    /// The caller's wait is over after this time.
    Expire {
        record: RecordName,
        nonce: Nonce,
        waited: Duration,
        /// Gets the reason at once. The answer to the call comes when its claim has left the queue.
        why: oneshot::Sender<Error>,
    },
    /// Releases what the caller's handle holds of this lock.
    Unlock {
        record: RecordName,
        done: oneshot::Sender<Result<()>>,
    },
    /// A candidate in the election `key`.
    Stand {
        key: Arc<RecordKey>,
        number: u64,
        candidate: Candidate,
    },
    /// The candidate resigns; without `done`, because its `Leader` is dropped.
    Resign {
        record: RecordName,
        number: u64,
        done: Option<Resign>,
    },
    /// A stream of an election begins or ends.
    Observe {
        record: RecordName,
        begins: bool,
    },
    /// Returns the outcomes of what was given up before and is not gone yet.
    Settle(oneshot::Sender<Vec<oneshot::Receiver<Result<()>>>>),
    Close(oneshot::Sender<Result<()>>),
}

impl Task {
    pub(super) fn command(&mut self, command: Option<Command>) {
        let now = self.clock.now();
        match command {
            Some(Command::Lock { key, nonce, waiting }) => self.lock(now, &key, nonce, waiting),
            Some(Command::Cancel { record, nonce }) => self.cancel(&record, nonce.0),
            Some(Command::Expire { record, nonce, waited, why }) => {
                if let Some(error) = self.expire(&record, nonce, waited) {
                    let _ = why.send(error);
                }
            }
            Some(Command::Unlock { record, done }) => self.unlock(&record, done),
            Some(Command::Stand { key, number, candidate }) => self.stand(&key, number, candidate),
            Some(Command::Resign { record, number, done }) => self.resign(&record, number, done),
            Some(Command::Observe { record, begins }) => self.observe_election(&record, begins),
            Some(Command::Settle(leaving)) => drop(leaving.send(self.leaving())),
            Some(Command::Close(done)) => self.close(now, Some(done)),
            None => {
                self.orphaned = true;
                self.close_if_unused();
            }
        }
    }

    fn lock(&mut self, now: Moment, key: &Arc<RecordKey>, nonce: Nonce, waiting: Waiting) {
        if self.closing.is_some() {
            let _ = waiting.answer.send(Err(Error::Closed { name: key.name.to_string() }));
            return;
        }
        self.lock_of(key).claim(now, nonce, waiting);
        self.drive(&key.record);
    }

    /// The caller does not wait any longer: says why it waited in vain.
    fn expire(&mut self, record: &RecordName, nonce: Nonce, waited: Duration) -> Option<Error> {
        let now = self.clock.now();
        let lock = self.locks.get_mut(record)?;
        let nonce = lock.waiting(nonce.0)?;
        let (name, holder) = (lock.key.name.to_string(), lock.holder());
        let error = lock.error.clone().or_else(|| self.beats.error.clone());
        let closed = lock.machine.closed(now).map(|closed| too_early(&lock.key, now, &closed));
        let error = error.or(closed).or_else(|| lock.unlisted());
        let error = error.unwrap_or(Error::Timeout { name, holder, waited });
        lock.expire(nonce, error.clone());
        self.drive(record);
        Some(error)
    }

    /// The outcomes of what was given up and is not gone yet. What is given up from now on is not among them, or a
    /// session that is always in use would never be settled.
    fn leaving(&mut self) -> Vec<oneshot::Receiver<Result<()>>> {
        let leaving: Vec<_> = self.locks.values_mut().flat_map(|lock| lock.leaving()).collect();
        if !self.ready || self.beats.is_silent() {
            let records: Vec<_> = self.locks.keys().cloned().collect();
            for record in &records {
                self.answer_leaving(record);
            }
        }
        leaving
    }

    fn unlock(&mut self, record: &RecordName, done: oneshot::Sender<Result<()>>) {
        // Without an answer the lock is not held.
        let Some(lock) = self.locks.get_mut(record) else { return };
        let held =
            self.tenures.iter().filter(|(nonce, (held, _))| held == record && !lock.leads(**nonce));
        let held: Vec<_> = held.map(|(nonce, _)| *nonce).collect();
        let mut done = Some(done);
        for nonce in held {
            self.tenures.remove(&nonce);
            lock.give_up(nonce, done.take());
        }
        self.drive(record);
    }

    pub(super) fn release(&mut self, release: Release) {
        let Release { tenure, done, again } = release;
        if let Some(Again::Cancel(number)) = again {
            // Its lock is the one whose tenure it followed.
            let mut locks = self.locks.iter();
            if let Some((record, _)) = locks.find(|(_, lock)| lock.waiting(number).is_some()) {
                self.cancel(&record.clone(), number);
            }
        }
        if tenure == NO_TENURE {
            return self.close_if_unused();
        }
        match self.tenures.remove(&tenure) {
            Some((record, held)) => {
                // Before the release is sent.
                held.end(Loss::Released);
                let (now, closing) = (self.clock.now(), self.closing.is_some());
                if let Some(lock) = self.locks.get_mut(&record) {
                    let mode = lock.mode_of(tenure);
                    lock.give_up(tenure, done);
                    if let (Some(Again::Claim(number, answer)), Some((mode, at_least)), false) =
                        (again, mode, closing)
                    {
                        let waiting = Waiting {
                            asked: number,
                            since: now,
                            mode,
                            try_once: false,
                            at_least,
                            answer,
                            candidate: None,
                        };
                        lock.claim(now, Nonce(number), waiting);
                    }
                }
                self.drive(&record);
            }
            // Lost just before. A claim that should follow it has no answer, and the tenure says why.
            None => drop(done.map(|done| done.send(Ok(())))),
        }
        self.close_if_unused();
    }

    /// The caller of this claim has dropped its future.
    fn cancel(&mut self, record: &RecordName, asked: u64) {
        if let Some(lock) = self.locks.get_mut(record)
            && let Some(nonce) = lock.waiting(asked)
        {
            lock.give_up(nonce, None);
            self.drive(record);
        }
    }
}
