//! The state of the model, and how each action changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    Bounds, Mishaps, TTL_TICKS,
    actions::Action,
    canonical::{Canonical, MOMENTS},
    messages::{HeldEvent, LockAnswer, SessionRequest},
    process::{Process, TTL},
    rules::{Grant, Violation},
    store::{LockChange, SessionWrite, Store, StoredSession, Zombie},
};
use crate::{
    protocol::{
        queue::{machine::Outcome, record::StoredLock},
        session::{SessionAnswer, SessionId},
    },
    util::clock::Moment,
};

/// A state of the model: the processes, the store, and the requests between them.
#[derive(Clone, Debug)]
pub(super) struct World {
    watched: bool,
    pub(super) timeless: bool,
    pub(super) processes: Vec<Process>,
    pub(super) store: Store,
    /// Writes whose sender does not wait for them any more.
    pub(super) zombies: Vec<Zombie>,
    pub(super) left: Mishaps,
    /// The lock was deleted by hand, so two processes may believe to hold it.
    pub(super) deleted: bool,
    /// The sessions that were ended in the store.
    pub(super) over: BTreeSet<SessionId>,
    /// The uids of the sessions that their owners created.
    pub(super) created: BTreeMap<SessionId, Arc<str>>,
    /// The grants that tenures may still begin with, and those after them, in the order of commits.
    pub(super) grants: Vec<Grant>,
    pub(super) violation: Option<Violation>,
}

impl World {
    /// Each process has a session, and wants the lock.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let now = Moment::from_nanos(MOMENTS + (1 << 58));
        let process =
            |(at, &(mode, claims))| Process::new(at as u64, now, mode, claims, bounds.sessions);
        let mut world = Self {
            watched: bounds.watched,
            timeless: bounds.timeless,
            processes: bounds.callers.iter().enumerate().map(process).collect(),
            store: Store::new(),
            zombies: Vec::new(),
            left: Mishaps { lost: u8::MAX, ..Mishaps::NONE },
            deleted: false,
            over: BTreeSet::new(),
            created: BTreeMap::new(),
            grants: Vec::new(),
            violation: None,
        };
        for (at, &(_, claims)) in bounds.callers.iter().enumerate() {
            world.act(&Action::Beat(at));
            if claims > 0 {
                world.act(&Action::Claim(at));
            }
            while bounds.held && world.processes[at].request.is_some() {
                world.act(&Action::ReachLock(at));
                world.act(&Action::DeliverLock(at));
            }
            world.processes.iter_mut().for_each(|process| process.events.clear());
        }
        world.left = bounds.mishaps;
        world
    }

    /// How far the clock of this process moves in a tick. The first clock is slow, the others are fast.
    pub(super) fn tick_of(at: usize) -> Duration {
        if at == 0 { TTL / 10 * 9 / TTL_TICKS } else { TTL / TTL_TICKS }
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Tick => self.tick(),
            Action::Resume(at) => self.processes[*at].paused = false,
            Action::Wake(at) => {
                if let Some(wake_at) = self.processes[*at].wake_at() {
                    self.processes[*at].wake(wake_at);
                }
            }
            Action::Beat(at) => {
                if self.processes[*at].beat() {
                    let index = self.processes[*at].beats.len() - 1;
                    self.reach_beat(*at, index);
                    self.processes[*at].beaten(index);
                }
            }
            Action::SlowBeat(at) => self.left.lost -= u8::from(self.processes[*at].beat()),
            Action::ReachBeat(at, index) => self.reach_beat(*at, *index),
            Action::DeliverBeat(at, index) => self.processes[*at].beaten(*index),
            Action::Read(at) => {
                self.reach_lock(*at);
                self.deliver_lock(*at);
            }
            Action::ReachLock(at) => {
                let process = &self.processes[*at];
                let read = matches!(process.request, Some((None, _)));
                self.left.lost -= u8::from(read && !process.paused);
                self.reach_lock(*at);
            }
            Action::DeliverLock(at) => self.deliver_lock(*at),
            Action::LoseLock(at) => {
                self.left.lost -= 1;
                self.processes[*at].answered(None);
            }
            Action::Look(at, id) => {
                if self.processes[*at].look(id) {
                    self.reach_look(*at, id);
                    self.deliver_look(*at, id);
                }
            }
            Action::SlowLook(at, id) => self.left.lost -= u8::from(self.processes[*at].look(id)),
            Action::ReachLook(at, id) => self.reach_look(*at, id),
            Action::DeliverLook(at, id) => self.deliver_look(*at, id),
            Action::LoseLook(at, id) => self.processes[*at].observed(id, None),
            Action::Event(at) => self.processes[*at].watched(),
            Action::Claim(at) => self.processes[*at].claim(),
            Action::Release(at) => {
                self.left.releases -= 1;
                self.processes[*at].give_up();
            }
            Action::Cancel(at) => {
                self.left.cancels -= 1;
                self.processes[*at].give_up();
            }
            Action::Crash(at) => {
                self.left.crashes -= 1;
                self.processes[*at].crash();
            }
            Action::Zombie(index) => match self.zombies.remove(*index) {
                Zombie::Lock(writer, write) => drop(self.store_lock(&writer, &write)),
                Zombie::Session(write, owner) => drop(self.store_session(&write, owner)),
            },
            Action::DeleteLock => {
                self.left.lock_deletions -= 1;
                self.deleted = true;
                let before = self.store.lock.clone();
                self.store.delete_lock();
                self.report(before.as_deref());
            }
            Action::DeleteSession(id) => {
                self.left.session_deletions -= 1;
                self.store.delete_session(id);
            }
        }
        self.settle();
    }

    fn tick(&mut self) {
        self.left.late -= self.delays();
        for at in 0..self.processes.len() {
            let tick = Self::tick_of(at);
            self.processes[at].tick(tick);
        }
    }

    /// How many processes are late, or their events are, if time passes now.
    pub(super) fn delays(&self) -> u8 {
        self.processes.iter().map(|process| u8::from(process.is_late())).sum()
    }

    pub(super) fn may_store(&self, zombie: &Zombie) -> bool {
        match zombie {
            Zombie::Lock(_, write) => self.store.may_store_lock(write),
            Zombie::Session(write, _) => self.store.may_store_session(write),
        }
    }

    fn reach_beat(&mut self, at: usize, index: usize) {
        let request = self.processes[at].beats[index].request.clone();
        let answer = self.carry_out(&request, true);
        self.processes[at].beats[index].answer = Some(answer);
    }

    fn reach_look(&mut self, at: usize, id: &SessionId) {
        let observed = self.processes[at].observed.get(id);
        let Some((request, _)) = observed.and_then(|one| one.request.clone()) else { return };
        let answer = self.carry_out(&request, false);
        if let Some(one) = self.processes[at].observed.get_mut(id) {
            one.request = Some((request, Some(answer)));
        }
    }

    fn deliver_look(&mut self, at: usize, id: &SessionId) {
        let request = self.processes[at].observed[id].request.as_ref();
        let answer = request.and_then(|(_, answer)| answer.clone());
        self.processes[at].observed(id, answer);
    }

    fn carry_out(&mut self, request: &SessionRequest, owner: bool) -> SessionAnswer {
        match request {
            SessionRequest::Read(id) => SessionAnswer::Found(self.store.sessions.get(id).cloned()),
            SessionRequest::Write(write) => self.store_session(write, owner),
        }
    }

    fn reach_lock(&mut self, at: usize) {
        let Some((request, _)) = self.processes[at].request.clone() else { return };
        let writer = self.processes[at].heartbeat.id().clone();
        let answer = match &request {
            None => LockAnswer::Read(self.store.lock.clone()),
            Some(write) => LockAnswer::Wrote(self.store_lock(&writer, write)),
        };
        self.processes[at].request = Some((request, Some(answer)));
    }

    fn deliver_lock(&mut self, at: usize) {
        let request = self.processes[at].request.as_ref();
        let answer = request.and_then(|(_, answer)| answer.clone());
        self.processes[at].answered(answer);
    }

    fn store_session(&mut self, write: &SessionWrite, owner: bool) -> SessionAnswer {
        let before: Option<Arc<StoredSession>> = self.store.sessions.get(&write.id).cloned();
        let answer = self.store.write_session(write);
        if let SessionAnswer::Written(stored) = &answer {
            self.check_session(before.as_deref(), write, owner);
            if owner && write.base.is_none() {
                self.created.insert(write.id.clone(), Arc::clone(&stored.version.uid));
            }
            if stored.record.is_over() {
                self.over.insert(write.id.clone());
            }
        }
        answer
    }

    fn store_lock(&mut self, writer: &SessionId, write: &LockChange) -> Outcome {
        let before = self.store.lock.clone();
        let outcome = self.store.write_lock(write);
        if let Outcome::Stored(stored) = &outcome
            && before.as_ref().is_none_or(|before| before.version != stored.version)
        {
            self.check_lock(writer, write, before.as_deref(), stored);
            self.report(before.as_deref());
        }
        outcome
    }

    /// The lock has changed: the watches of the sessions that hold it, or did, will report that.
    fn report(&mut self, before: Option<&StoredLock>) {
        if !self.watched {
            return;
        }
        let after = self.store.lock.clone();
        let version = self.store.version.try_into().expect("a version is not zero");
        for process in &mut self.processes {
            if process.stopped {
                continue;
            }
            let id = process.heartbeat.id();
            let holds = |stored: &StoredLock| stored.record.line.held_by().contains(id);
            if let Some(after) = after.as_ref().filter(|after| holds(after)) {
                process.events.push_back(HeldEvent::Set(Arc::clone(after)));
            } else if before.is_some_and(holds) {
                process.events.push_back(HeldEvent::Gone(version));
            }
        }
    }

    /// Checks what began, and forgets what has no consequences any more.
    fn settle(&mut self) {
        for at in 0..self.processes.len() {
            self.zombies.append(&mut self.processes[at].abandoned);
            self.check_begun(at);
            // A heartbeat that was overtaken matters only if it was stored, or still may be.
            let beats = std::mem::take(&mut self.processes[at].beats);
            self.processes[at].beats = beats
                .into_iter()
                .filter(|beat| {
                    beat.last
                        || match (&beat.request, &beat.answer) {
                            (_, Some(answer)) => matches!(answer, SessionAnswer::Written(_)),
                            (SessionRequest::Write(write), None) => {
                                self.store.may_store_session(write)
                            }
                            (SessionRequest::Read(_), None) => false,
                        }
                })
                .collect();
        }
        let zombies = std::mem::take(&mut self.zombies);
        for zombie in zombies {
            // A create is possible after a deletion.
            let later = match &zombie {
                Zombie::Lock(_, change) => change.creates() && self.left.lock_deletions > 0,
                Zombie::Session(write, _) => {
                    write.base.is_none() && self.left.session_deletions > 0
                }
            };
            let possible = later || self.may_store(&zombie);
            if possible && !self.zombies.contains(&zombie) {
                self.zombies.push(zombie);
            }
        }
        self.forget_grants();
    }

    /// What tells this state from others.
    fn canonical(&self) -> Vec<u64> {
        let mut canonical = Canonical::new();
        for (at, process) in self.processes.iter().enumerate() {
            process.hash_into(Self::tick_of(at), &mut canonical);
        }
        let Self { store, zombies, left, deleted, over, created, grants, violation, .. } = self;
        (&store.lock, &store.sessions, zombies, left, deleted).hash(&mut canonical);
        (over, created, grants, violation).hash(&mut canonical);
        canonical.into_values()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}
