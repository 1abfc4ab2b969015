//! The locks of a session: drives their machines, and passes answers and events to them.

use std::{sync::Arc, time::Duration};

use super::{
    callers::Caller,
    lock::Lock,
    requests::{Answer, failure, outcome},
    task::{Job, Task},
    timers::Timer,
};
use crate::{
    api::{
        error::Error,
        name::{Name, RecordName},
    },
    protocol::{
        queue::{
            machine::{LockMachine, Step},
            record::LockRecord,
        },
        session::SessionId,
    },
    store::{
        RecordKey,
        sessions::{HeldLock, Patches, Put},
    },
    util::clock::Moment,
};

/// How many locks a session remembers after its callers are done with them.
const REMEMBERED: usize = 4096;
/// How long no part of a record is changed after the backend has refused that. The request is then tried again: a verb may
/// have been granted, or a policy changed.
const PATCH_PAUSE: Duration = Duration::from_secs(600);

impl Task {
    /// The lock of `key`, new if the session does not know it.
    pub(super) fn lock_of(&mut self, key: &Arc<RecordKey>) -> &mut Lock {
        self.idle.remove(&key.record);
        let (machine, expects_absence) = (self.new_machine(), self.learned.expects_absence);
        self.locks.entry(key.record.clone()).or_insert_with(|| {
            let machine = if expects_absence { machine.expecting_absence() } else { machine };
            Box::new(Lock::new(Arc::clone(key), machine))
        })
    }

    /// A machine of the present session.
    pub(super) fn new_machine(&self) -> LockMachine {
        let mut machine = LockMachine::new(self.beats.heartbeat.id().clone());
        machine.refuse_patches(self.learned.patches_refused_until);
        machine.set_wall_clock(self.clock.now(), self.clock.wall());
        machine
    }

    /// A session that is not ready has nothing in any record.
    pub(super) fn answer_leaving(&mut self, record: &RecordName) {
        let result = if self.ready { Err(self.silence()) } else { Ok(()) };
        if let Some(lock) = self.locks.get_mut(record) {
            lock.answer_leaving(&result);
        }
    }

    /// Does what the machine of this lock wants now.
    pub(super) fn drive(&mut self, record: &RecordName) {
        if !self.ready || self.beats.is_silent() {
            self.answer_leaving(record);
        }
        if !self.ready {
            return;
        }
        loop {
            let (now, terms, may_send) = (self.clock.now(), self.terms(), self.may_send());
            let Some(lock) = self.locks.get_mut(record) else { return };
            if !may_send {
                if !lock.queued {
                    lock.queued = true;
                    let job = Job::Lock(record.clone());
                    // Releases first: others wait for them.
                    if lock.is_leaving() {
                        self.jobs.push_front(job);
                    } else {
                        self.jobs.push_back(job);
                    }
                }
                return;
            }
            let begun = lock.deliver(now, &terms);
            lock.campaign(now);
            lock.machine.among(self.waits, self.tenures.len());
            lock.machine.set_wall_clock(now, self.clock.wall());
            let step = lock.machine.next(now, Self::random());
            let begun_too = lock.deliver(now, &terms);
            let claimed = lock.campaign(now);
            let campaign_at = lock.campaign_at();
            let key = Arc::clone(&lock.key);
            self.begun(record, begun);
            self.begun(record, begun_too);
            let until = match step {
                Step::Read => {
                    self.requests.push(self.sender.read_lock(key));
                    continue;
                }
                Step::Write(write) => {
                    self.requests.push(self.sender.write_lock(key, write));
                    continue;
                }
                Step::Join(join) => {
                    self.requests.push(self.sender.join_lock(key, join));
                    continue;
                }
                Step::Sleep(until) => until,
                Step::Idle => {
                    self.remember(record);
                    Moment::NEVER
                }
            };
            self.timers.set(Timer::Lock(record.clone()), until.min(campaign_at));
            if !self.update_interests(record, now) && !claimed {
                return;
            }
        }
    }

    /// Registers tenures that have begun, and forgets those that are over.
    pub(super) fn begun(&mut self, record: &RecordName, nonces: Vec<u64>) {
        let Some(lock) = self.locks.get(record) else { return };
        for nonce in nonces {
            if let Some(Caller::Held { tenure, .. }) = lock.callers.get(nonce) {
                self.tenures.insert(nonce, (record.clone(), tenure.clone()));
            }
        }
    }

    /// Keeps what an idle lock knows, unless there are too many.
    fn remember(&mut self, record: &RecordName) {
        if self.locks.get(record).is_none_or(|lock| !lock.candidates.is_empty()) {
            return;
        }
        self.idle.insert(record.clone());
        if self.idle.len() > REMEMBERED
            && let Some(first) = self.idle.pop_first()
        {
            self.locks.remove(&first);
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        let (now, random) = (self.clock.now(), Self::random());
        match answer {
            Answer::Read(record, result) => {
                if let Ok(found) = &result {
                    self.learned.expects_absence = found.is_none();
                }
                if let Some(lock) = self.locks.get_mut(&record) {
                    let error = result.as_ref().err().cloned();
                    let read = result.map_err(|error| failure(&error));
                    lock.machine.read(now, random, read);
                    lock.answered(now, error);
                }
                self.drive(&record);
            }
            Answer::Write(record, result) => {
                if let Some(lock) = self.locks.get_mut(&record) {
                    if let Ok(Put::PatchRefused(patches, error)) = &result {
                        lock.machine.patch_refused(now + PATCH_PAUSE);
                        self.patch_refused(now, &record, *patches, error);
                    } else {
                        // The state that came first is known before its conflict, as if its event had come first.
                        if let Ok(Put::Conflict(Some(found))) = &result {
                            self.learned.expects_absence = false;
                            lock.machine.seen(now, Arc::clone(found));
                        }
                        lock.written(now, result.as_ref().err(), self.ttl);
                        let informs = lock.machine.only_informs();
                        let outcome = outcome(&result);
                        let altered = lock.machine.is_altered(&outcome);
                        lock.machine.wrote(now, random, outcome);
                        match result {
                            Ok(_) if altered => {
                                let error = self.sender.altered(&lock.key);
                                lock.answered(now, Some(error));
                            }
                            // No caller waits for this write.
                            Err(error) if informs => {
                                tracing::debug!(%record, %error, "a token could not be stated");
                            }
                            result => lock.answered(now, result.err()),
                        }
                    }
                }
                self.drive(&record);
            }
            Answer::Observed(id, answer) => self.observed(&id, answer),
            Answer::Stale(Ok(stale)) => self.collect(stale),
            Answer::Stale(Err(error)) => tracing::debug!(%error, "could not list old sessions"),
            Answer::Collected => {}
            Answer::Listed(answer) => self.resync_answered(now, answer),
        }
        self.next_jobs();
    }

    /// The backend did not let this session change parts of a record. Replacing it as a whole does the same with more
    /// requests.
    fn patch_refused(&mut self, now: Moment, record: &RecordName, patches: Patches, error: &Error) {
        tracing::debug!(%record, ?patches, %error, "a patch was refused");
        if !std::mem::replace(&mut self.learned.warned_of_patches, true) {
            tracing::warn!(%error, "without patches, contended locks cost more requests");
        }
        if patches == Patches::OfRecord {
            return;
        }
        self.learned.patches_refused_until = now + PATCH_PAUSE;
        for lock in self.locks.values_mut() {
            lock.machine.refuse_patches(now + PATCH_PAUSE);
        }
    }

    /// The state of a record that this session holds, from an event.
    pub(super) fn seen(&mut self, now: Moment, held: HeldLock) {
        let me = self.beats.heartbeat.id().clone();
        // A grant that no caller wants any more is given back, so it needs a machine.
        if !self.locks.contains_key(&held.record) && !is_holder(&held.found.record, &me) {
            return;
        }
        let HeldLock { record, name, kind, found } = held;
        let name = Name::parse("lock name", &name).or_else(|_| Name::parse("", record.as_str()));
        let Ok(name) = name else { return };
        let namespace = self.sender.namespace.clone();
        let key = RecordKey { namespace, record: record.clone(), kind, name };
        self.lock_of(&Arc::new(key)).machine.seen(now, found);
        self.drive(&record);
    }
}

fn is_holder(record: &LockRecord, session: &SessionId) -> bool {
    record.line.holders.iter().any(|holder| holder.claim.session == *session)
}
