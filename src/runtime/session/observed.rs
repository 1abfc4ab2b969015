//! The sessions of other processes that the locks of this one wait for. Each is observed once, however many locks wait
//! for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    requests::SessionRequest,
    task::{Job, Task},
    timers::Timer,
};
use crate::{
    api::name::RecordName,
    protocol::session::{
        SessionAnswer, SessionId,
        observer::{Look, Observer},
    },
    store::sessions::NamedSession,
    util::clock::Moment,
};

/// A session without a renewal for so long is garbage.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// How often each session looks for garbage, give or take a half.
const COLLECT: Duration = Duration::from_secs(6 * 3600);
/// How often a session is read that only the collection waits for.
const OLD_INTERVAL: Duration = Duration::from_secs(60);
/// How many sessions are remembered as over.
const REMEMBERED: usize = 1024;

/// The session before this one in a queue cannot be read. Its release is seen, but not its end.
const OTHER_NAMESPACE: &str = "the lock is waited for behind a session of another session namespace: \
    after a crash of its process, this one cannot take the lock over";

/// One observed session.
#[derive(Debug)]
pub(super) struct Observed {
    observer: Observer,
    /// The locks that wait for it, each with the interval between reads that it needs.
    watchers: BTreeMap<RecordName, Duration>,
    /// It is old: its record is deleted once it is known to be over.
    old: bool,
    absence: Absence,
}

/// What follows if the record of an observed session is missing. Most such sessions have ended in order, after they
/// released their locks, so what is known of these locks is outdated. Only if a lock still depends on the session when it
/// was read again, the missing record is created. Otherwise each hand-over could leave a record behind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Absence {
    Unknown,
    /// This lock is read again.
    Asked(RecordName),
    /// A lock depends on the session.
    Confirmed,
}

impl Absence {
    fn is_asked(&self, record: &RecordName) -> bool {
        matches!(self, Self::Asked(asked) if asked == record)
    }
}

impl Observed {
    const fn new(observer: Observer, old: bool) -> Self {
        Self { observer, watchers: BTreeMap::new(), old, absence: Absence::Unknown }
    }

    fn every(&self) -> Duration {
        self.watchers.values().min().copied().unwrap_or(OLD_INTERVAL)
    }
}

impl Task {
    /// Observes the sessions that this lock waits for, and no others. True if one of them is known to be over already.
    pub(super) fn update_interests(&mut self, record: &RecordName, now: Moment) -> bool {
        let Some(lock) = self.locks.get_mut(record) else { return false };
        let interests = lock.machine.interests(now);
        let is_known = !lock.machine.is_outdated();
        if interests == lock.interests {
            if is_known {
                self.confirm_absences(record);
            }
            return false;
        }
        let over: Vec<_> =
            interests.iter().filter(|one| self.over.contains(&one.session)).cloned().collect();
        for one in &over {
            lock.machine.passed(&one.session);
        }
        let before = std::mem::replace(&mut lock.interests, interests.clone());
        match (before.is_empty(), interests.is_empty()) {
            (true, false) => self.waits += 1,
            (false, true) => self.waits = self.waits.saturating_sub(1),
            _ => {}
        }
        let present: BTreeSet<_> = interests.iter().map(|one| &one.session).collect();
        for gone in before.iter().filter(|one| !present.contains(&one.session)) {
            let Some(observed) = self.observed.get_mut(&gone.session) else { continue };
            observed.watchers.remove(record);
            if observed.absence.is_asked(record) {
                observed.absence = Absence::Unknown;
                self.observe(&gone.session);
            }
        }
        // A session in another namespace cannot be read, so it must not be judged.
        let mine = |session: &SessionId| session.tag() == self.beats.heartbeat.id().tag();
        let (mine, strange): (Vec<_>, Vec<_>) =
            interests.iter().filter(|one| !over.contains(one)).partition(|one| mine(&one.session));
        if let (true, Some(strange)) = (before.is_empty(), strange.first()) {
            let session = &strange.session;
            tracing::warn!(%record, %session, "{OTHER_NAMESPACE}");
        }
        for one in mine {
            let first = if one.soon { now } else { now + one.every };
            let new = || Observed::new(Observer::new(one.session.clone(), first), false);
            let observed = self.observed.entry(one.session.clone()).or_insert_with(new);
            observed.watchers.insert(record.clone(), one.every);
            observed.observer.hurry(now + one.every);
            if one.soon && !observed.observer.has_seen() {
                observed.observer.hurry(now);
            }
            self.observe(&one.session);
        }
        if is_known {
            self.confirm_absences(record);
        }
        !over.is_empty()
    }

    /// This lock was read again, or changed, since the record of a session was missing, and still depends on it.
    fn confirm_absences(&mut self, record: &RecordName) {
        let Some(lock) = self.locks.get(record) else { return };
        let asked = |session: &&SessionId| {
            self.observed.get(*session).is_some_and(|observed| observed.absence.is_asked(record))
        };
        let sessions = lock.interests.iter().map(|one| &one.session);
        let asked: Vec<_> = sessions.filter(asked).cloned().collect();
        for session in asked {
            if let Some(observed) = self.observed.get_mut(&session) {
                observed.absence = Absence::Confirmed;
            }
            self.observe(&session);
        }
    }

    /// Does what the observer of this session wants now.
    pub(super) fn observe(&mut self, id: &SessionId) {
        let now = self.clock.now();
        let may_send = self.may_send();
        let Some(observed) = self.observed.get_mut(id) else { return };
        // The record of an old session that is missing was deleted by another process.
        let missing = observed.observer.is_missing();
        if missing {
            observed.watchers.retain(|record, _| self.locks.contains_key(record));
        }
        let wanted = !observed.watchers.is_empty() || observed.old && !missing;
        if !wanted && !observed.observer.is_under_way() {
            self.observed.remove(id);
            return self.timers.set(Timer::Observer(id.clone()), Moment::NEVER);
        }
        if missing && observed.absence != Absence::Confirmed {
            let asked = observed.watchers.keys().next().cloned();
            if let (Absence::Unknown, Some(record)) = (&observed.absence, asked) {
                observed.absence = Absence::Asked(record.clone());
                if let Some(lock) = self.locks.get_mut(&record) {
                    lock.machine.doubt();
                }
                self.timers.set(Timer::Lock(record), now);
            }
            return self.timers.set(Timer::Observer(id.clone()), Moment::NEVER);
        }
        if !may_send {
            return self.jobs.push_back(Job::Observe(id.clone()));
        }
        let request = match observed.observer.next(now) {
            Look::Read => SessionRequest::Read,
            Look::CreatePlaceholder(record) => SessionRequest::Create(record),
            Look::End(base, record) => SessionRequest::Replace(base, record),
            Look::Sleep(until) => return self.timers.set(Timer::Observer(id.clone()), until),
            Look::Over => return,
        };
        self.requests.push(self.sender.observe(id.clone(), request));
    }

    /// Looks for sessions that crashed long ago, and plans the next look.
    pub(super) fn look_for_old(&mut self, now: Moment) {
        self.requests.push(self.sender.list_stale(OLD));
        self.schedule_collection(now);
    }

    pub(super) fn schedule_collection(&mut self, now: Moment) {
        let share = u32::try_from(Self::random() % 1000).unwrap_or_default();
        self.timers.set(Timer::Collect, now + COLLECT / 2 + COLLECT / 1000 * share);
    }

    /// Ends old sessions by the same rules as any other, and deletes their records. The wall clock only selects them.
    pub(super) fn collect(&mut self, stale: Vec<NamedSession>) {
        let now = self.clock.now();
        for (id, found) in stale {
            if found.record.is_over() {
                self.jobs.push_back(Job::Delete((id, found)));
            } else if id != *self.beats.heartbeat.id() {
                let new = || Observed::new(Observer::new(id.clone(), now), true);
                let observed = self.observed.entry(id.clone()).or_insert_with(new);
                observed.old = true;
                self.observe(&id);
            }
        }
    }

    pub(super) fn observed(&mut self, id: &SessionId, answer: SessionAnswer) {
        let now = self.clock.now();
        let Some(observed) = self.observed.get_mut(id) else { return };
        let every = observed.every();
        // Spread by a tenth, so that the observers of one session do not read together.
        let share = u32::try_from(Self::random() % 200).unwrap_or_default();
        let interval = (every / 1000).saturating_mul(900 + share);
        observed.observer.answered(now, interval, answer);
        observed.absence = Absence::Unknown;
        if observed.observer.is_over() {
            self.passed(id);
        } else {
            self.observe(id);
        }
    }

    /// A session is known to be over: all locks that wait for it go on.
    fn passed(&mut self, id: &SessionId) {
        tracing::debug!(session = %id, "a session is over");
        let Some(observed) = self.observed.remove(id) else { return };
        self.timers.set(Timer::Observer(id.clone()), Moment::NEVER);
        if self.over.len() >= REMEMBERED {
            self.over.clear();
        }
        self.over.insert(id.clone());
        if let Some(ended) = observed.observer.ended().filter(|_| observed.old) {
            self.jobs.push_back(Job::Delete((id.clone(), ended)));
        }
        for record in observed.watchers.keys() {
            if let Some(lock) = self.locks.get_mut(record) {
                lock.machine.passed(id);
            }
            self.drive(record);
        }
    }
}
