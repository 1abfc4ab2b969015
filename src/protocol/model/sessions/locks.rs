//! The lock of one process, and the sessions that it waits for.

use super::{
    canonical::NONCES,
    messages::{HeldEvent, LockAnswer, SessionRequest},
    process::{Caller, Observed, Process, Tenure},
    store::{LockChange, SessionWrite, Zombie},
};
use crate::{
    protocol::{
        queue::machine::{Event, Failure, Interest, Outcome, Step},
        record::Nonce,
        session::{
            SessionAnswer, SessionId,
            observer::{Look, Observer},
        },
    },
    util::clock::Moment,
};

impl Process {
    /// A caller wants the lock.
    pub(super) fn claim(&mut self) {
        self.claims -= 1;
        self.claim_again();
        self.drive();
    }

    pub(super) fn claim_again(&mut self) {
        self.claimed += 1;
        let nonce = Nonce(NONCES + (self.number << 8) + u64::from(self.claimed));
        self.machine.claim(self.clock, nonce, self.mode, false);
        self.caller = Caller::Waiting(nonce);
    }

    /// The caller releases the lock, or cancels its wait.
    pub(super) fn give_up(&mut self) {
        match std::mem::replace(&mut self.caller, Caller::Absent) {
            Caller::Absent => {}
            Caller::Waiting(nonce)
            | Caller::Granted(Tenure { nonce, .. })
            | Caller::Held(Tenure { nonce, .. }) => self.machine.give_up(nonce),
        }
        self.drive();
    }

    /// Applies what happened in the machine of the lock.
    fn deliver(&mut self) {
        for event in self.machine.take_events() {
            match (event, self.caller) {
                (Event::Granted { nonce, token, slot }, Caller::Waiting(own)) if own == nonce => {
                    self.outdated |= token.get() < self.highest;
                    self.caller = Caller::Granted(Tenure { nonce, token, slot });
                    self.begin();
                }
                (Event::Lost { nonce, .. }, Caller::Held(own)) if own.nonce == nonce => {
                    self.caller = Caller::Absent;
                }
                (
                    Event::Lost { nonce, .. },
                    Caller::Waiting(own) | Caller::Granted(Tenure { nonce: own, .. }),
                ) if own == nonce => self.claim_again(),
                _ => {}
            }
        }
    }

    /// Hands out the guard of a grant, if the session is known to be alive.
    pub(super) fn begin(&mut self) {
        if let Caller::Granted(tenure) = self.caller
            && self.clock < self.heartbeat.validity()
        {
            self.caller = Caller::Held(tenure);
            self.begun.push(tenure);
        }
    }

    /// Does what the machine of the lock wants now.
    pub(super) fn drive(&mut self) {
        if !self.ready || self.stopped {
            return;
        }
        loop {
            self.deliver();
            let step = self.machine.next(self.clock, 0);
            self.deliver();
            let request = match step {
                Step::Read => Some(None),
                Step::Write(write) => Some(Some(LockChange::Write(write))),
                Step::Join(join) => Some(Some(LockChange::Join(join))),
                Step::Sleep(until) => {
                    self.drive_at = until;
                    None
                }
                Step::Idle => {
                    self.drive_at = Moment::NEVER;
                    None
                }
            };
            if let Some(request) = request {
                assert_eq!(self.request, None, "one request at a time");
                self.request = Some((request, None));
            } else if !self.update_interests() {
                return;
            }
        }
    }

    /// The answer to the request of the lock's machine; `None` if it ends without one.
    pub(super) fn answered(&mut self, answer: Option<LockAnswer>) {
        let Some((request, reached)) = self.request.take() else { return };
        let shown = match &answer {
            Some(LockAnswer::Read(Some(found)) | LockAnswer::Wrote(Outcome::Stored(found))) => {
                found.version.number.get()
            }
            _ => 0,
        };
        match (request, answer) {
            (_, Some(LockAnswer::Read(found))) => self.machine.read(self.clock, 0, Ok(found)),
            (_, Some(LockAnswer::Wrote(outcome))) => self.machine.wrote(self.clock, 0, outcome),
            (None, None) => self.machine.read(self.clock, 0, Err(Failure::default())),
            (Some(write), None) => {
                if reached.is_none() {
                    self.abandoned.push(Zombie::Lock(self.heartbeat.id().clone(), write));
                }
                self.machine.wrote(self.clock, 0, Outcome::Failed(Failure::default()));
            }
        }
        self.deliver();
        self.highest = self.highest.max(shown);
        self.drive();
    }

    /// The watch reports something.
    pub(super) fn watched(&mut self) {
        let Some(event) = self.events.pop_front() else { return };
        let shown = match &event {
            HeldEvent::Set(found) => found.version.number,
            HeldEvent::Gone(version) => *version,
        };
        match event {
            HeldEvent::Set(found) => self.machine.seen(self.clock, found),
            HeldEvent::Gone(version) => self.machine.unlabelled(version),
        }
        self.deliver();
        self.highest = self.highest.max(shown.get());
        self.drive();
    }

    /// Observes the sessions that the lock waits for, and no others. True if one of them is known to be over already.
    fn update_interests(&mut self) -> bool {
        let interests = self.machine.interests(self.clock);
        if interests == self.interests {
            return false;
        }
        let over = |one: &&Interest| self.over.contains(&one.session);
        let (over, live): (Vec<_>, Vec<_>) = interests.iter().partition(over);
        for one in &over {
            self.machine.passed(&one.session);
        }
        for one in self.observed.values_mut() {
            one.watched = false;
        }
        for one in &live {
            let first = if one.soon { self.clock } else { self.clock + one.every };
            let observed = self.observed.entry(one.session.clone()).or_insert_with(|| Observed {
                observer: Observer::new(one.session.clone(), first),
                request: None,
                every: one.every,
                watched: true,
            });
            (observed.every, observed.watched) = (one.every, true);
            observed.observer.hurry(self.clock + one.every);
            if one.soon && !observed.observer.has_seen() {
                observed.observer.hurry(self.clock);
            }
        }
        let known = !over.is_empty();
        self.interests.clone_from(&interests);
        self.observed.retain(|_, one| one.watched || one.observer.is_under_way());
        known
    }

    /// Does what the observer of this session wants now. True if it has sent a request.
    pub(super) fn look(&mut self, id: &SessionId) -> bool {
        self.clock = self.look_at(id).map_or(self.clock, |at| self.clock.max(at));
        let Some(observed) = self.observed.get_mut(id) else { return false };
        let write =
            |base, record| SessionRequest::Write(SessionWrite { id: id.clone(), base, record });
        let request = match observed.observer.next(self.clock) {
            Look::Read => SessionRequest::Read(id.clone()),
            Look::CreatePlaceholder(record) => write(None, record),
            Look::End(base, record) => write(Some(base), record),
            Look::Sleep(_) | Look::Over => return false,
        };
        observed.request = Some((request, None));
        true
    }

    /// The answer to the request of the observer of this session; `None` if it ends without one.
    pub(super) fn observed(&mut self, id: &SessionId, answer: Option<SessionAnswer>) {
        let Some(observed) = self.observed.get_mut(id) else { return };
        let request = observed.request.take();
        if let (Some((SessionRequest::Write(write), None)), None) = (request, &answer) {
            self.abandoned.push(Zombie::Session(write, false));
        }
        let answer = answer.unwrap_or(SessionAnswer::Failed);
        observed.observer.answered(self.clock, observed.every, answer);
        if observed.observer.is_over() {
            self.observed.remove(id);
            self.over.insert(id.clone());
            self.machine.passed(id);
            self.drive();
        } else if !observed.watched {
            self.observed.remove(id);
        }
    }
}
