//! What may happen next.

use super::{process::Caller, world::World};
use crate::protocol::session::SessionId;

/// One event. The first number is that of a process, unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Time passes, for all processes.
    Tick,
    /// The paused process goes on.
    Resume(usize),
    /// The timers of the process that are due fire.
    Wake(usize),
    /// The heartbeat that is due is sent, reaches the store and is answered.
    Beat(usize),
    /// The heartbeat that is due is sent.
    SlowBeat(usize),
    /// The slow heartbeat with this index reaches the store.
    ReachBeat(usize, usize),
    DeliverBeat(usize, usize),
    /// The request of the lock's machine reaches the store.
    ReachLock(usize),
    DeliverLock(usize),
    /// The read of the lock's machine reaches the store, and is answered at once.
    Read(usize),
    /// The request of the lock's machine ends without an answer. A write goes on.
    LoseLock(usize),
    /// The request of the observer of this session is sent, reaches the store and is answered.
    Look(usize, SessionId),
    /// The request of the observer of this session is sent.
    SlowLook(usize, SessionId),
    ReachLook(usize, SessionId),
    DeliverLook(usize, SessionId),
    /// The request of the observer ends without an answer. A write goes on.
    LoseLook(usize, SessionId),
    /// The watch of the session reports the next change.
    Event(usize),
    /// The caller wants the lock.
    Claim(usize),
    /// The caller that holds the lock releases it.
    Release(usize),
    /// The caller that waits gives up.
    Cancel(usize),
    /// The process crashes, and starts again with another session.
    Crash(usize),
    /// The zombie with this index is stored.
    Zombie(usize),
    DeleteLock,
    DeleteSession(SessionId),
}

impl World {
    /// Adds every action that is possible next.
    pub(super) fn enabled_actions(&self, actions: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        for at in 0..self.processes.len() {
            self.actions_of(at, actions);
        }
        let mut add = |possible: bool, action| actions.extend(possible.then_some(action));
        for (at, zombie) in self.zombies.iter().enumerate() {
            add(self.may_store(zombie), Action::Zombie(at));
        }
        add(!self.timeless && self.delays() <= self.left.late, Action::Tick);
        add(self.left.lock_deletions > 0 && self.store.lock.is_some(), Action::DeleteLock);
        for id in self.store.sessions.keys() {
            add(self.left.session_deletions > 0, Action::DeleteSession(id.clone()));
        }
    }

    fn actions_of(&self, at: usize, actions: &mut Vec<Action>) {
        let (process, may_lose) = (&self.processes[at], self.left.lost > 0);
        let mut add = |possible: bool, action| actions.extend(possible.then_some(action));
        for (index, beat) in process.beats.iter().enumerate() {
            match beat.answer {
                None => add(true, Action::ReachBeat(at, index)),
                Some(_) => add(!process.paused, Action::DeliverBeat(at, index)),
            }
        }
        if process.stopped {
            return;
        }
        if process.paused {
            let unanswered = matches!(process.request, Some((_, None)));
            add(unanswered, Action::ReachLock(at));
            add(true, Action::Resume(at));
            return;
        }
        if let Some((request, answer)) = &process.request {
            let slow = request.is_some() || may_lose;
            add(answer.is_none() && request.is_none(), Action::Read(at));
            add(answer.is_none() && slow, Action::ReachLock(at));
            add(answer.is_some(), Action::DeliverLock(at));
            add(may_lose, Action::LoseLock(at));
        }
        for (id, one) in &process.observed {
            if let Some((_, answer)) = &one.request {
                add(answer.is_none(), Action::ReachLook(at, id.clone()));
                add(answer.is_some(), Action::DeliverLook(at, id.clone()));
                add(true, Action::LoseLook(at, id.clone()));
            } else {
                let due = process.look_at(id).is_some();
                add(due, Action::Look(at, id.clone()));
                add(due && may_lose, Action::SlowLook(at, id.clone()));
            }
        }
        add(process.beat_at().is_some(), Action::Beat(at));
        add(process.beat_at().is_some() && may_lose, Action::SlowBeat(at));
        add(!process.events.is_empty(), Action::Event(at));
        add(process.wake_at().is_some(), Action::Wake(at));
        add(process.caller == Caller::Absent && process.claims > 0, Action::Claim(at));
        match process.caller {
            Caller::Absent => {}
            Caller::Held(..) => add(self.left.releases > 0, Action::Release(at)),
            _ => add(self.left.cancels > 0, Action::Cancel(at)),
        }
        add(self.left.crashes > 0, Action::Crash(at));
    }
}
