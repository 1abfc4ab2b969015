//! Requests on their way to the store and back.

use super::{
    Event, Sim,
    checks::Check,
    faults::Fault,
    host::Told,
    network::{self, After, Fate},
    scene::Kind,
    store::Author,
};
use crate::engine::{
    machine::{Failure, Input, Outcome},
    record::{Change, Write},
};

/// What a host asks of the store.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Read,
    Write(Write),
}

impl Ask {
    const fn failed(&self, failure: Failure) -> Input {
        match self {
            Self::Read => Input::Read(Err(failure)),
            Self::Write(_) => Input::Wrote(Outcome::Failed(failure)),
        }
    }
}

/// A request on its way. It does not care whether its sender is still there.
#[derive(Debug)]
pub(super) struct Request {
    host: usize,
    life: u64,
    id: u64,
    seed: u64,
    ask: Ask,
    sent: u64,
    /// What the sender's wall clock said.
    wall: i64,
    /// Arrives after its sender gave up.
    late: bool,
    after: After,
    /// What the machine had been told when it decided.
    told: Told,
}

const UNKNOWN: Failure = Failure { refused: false, retry_after: None };

impl Sim {
    pub(super) fn send(&mut self, h: usize, ask: Ask) {
        self.report.requests += 1;
        let host = &mut self.hosts[h];
        let local = host.clock.local(self.now);
        if host.flight.is_some() {
            return self.fail(Check::BusyLoop, h, "sends a second request");
        }
        host.requests += 1;
        host.flight = Some(host.requests);
        let (id, life, seed, wall) = (host.requests, host.life, host.seed, host.wall(self.now));
        let attempt = host.timing.attempt();
        let give_up = host.clock.when(local + attempt);
        let told = host.told;
        let cut = host.cut_until > self.now;
        if !host.bucket.add(local, host.timing.retry()) {
            return self.fail(Check::Requests, h, "sends more requests than is allowed");
        }
        self.at(give_up, Event::Answer { host: h, life, id, input: ask.failed(UNKNOWN) });
        let faulty = if self.calm { 0 } else { self.scene.faulty };
        let patience = give_up - self.now;
        let fate = if self.is_out(&ask) {
            Fate::Fails(2 * network::MS, UNKNOWN)
        } else if cut && self.rng.chance(500) {
            Fate::Vanishes
        } else {
            network::fate(&mut self.rng, &mut self.faults, faulty, patience)
        };
        match fate {
            Fate::Vanishes => {}
            Fate::Fails(delay, failure) => {
                let input = ask.failed(failure);
                self.after(delay, Event::Answer { host: h, life, id, input });
            }
            Fate::Arrives(delay, after) => {
                let late = delay >= patience;
                let request = Request {
                    host: h,
                    life,
                    id,
                    seed,
                    ask,
                    sent: self.now,
                    wall,
                    late,
                    after,
                    told,
                };
                self.after(delay, Event::Arrive(Box::new(request)));
            }
        }
    }

    fn is_out(&self, ask: &Ask) -> bool {
        let writes = matches!(ask, Ask::Write(_)) && self.outage.writes_until > self.now;
        writes || self.outage.all_until > self.now
    }

    pub(super) fn serve(&mut self, request: &Request) {
        if self.calm && request.late {
            return; // No more faults: what is late by now has been lost.
        }
        let (mut input, author) = match &request.ask {
            Ask::Read => (Input::Read(Ok(self.read(request.host))), None),
            Ask::Write(write) => {
                let author = Author::Machine {
                    seed: request.seed,
                    change: write.change,
                    sent: request.sent,
                };
                (Input::Wrote(self.write(request, author, write)), Some(author))
            }
        };
        let delay = match request.after {
            After::Silence => return,
            After::Unclear(delay) => {
                input = request.ask.failed(UNKNOWN);
                delay
            }
            After::Retry(delay) => {
                if author.is_some() {
                    input = Input::Wrote(Outcome::Conflict);
                }
                delay
            }
            After::Reply(delay) => delay,
        };
        let host = &self.hosts[request.host];
        if host.cut_until <= self.now {
            let &Request { host, life, id, .. } = request;
            self.after(delay, Event::Answer { host, life, id, input });
        }
    }

    fn read(&mut self, h: usize) -> Option<std::sync::Arc<crate::engine::record::Versioned>> {
        let wall = self.hosts[h].wall(self.now);
        if self.outage.lag_until > self.now {
            let last = self.outage.lag.checked_sub(1);
            let found = last.and_then(|last| self.store.shown(last, wall));
            self.hosts[h].told.denied |= found.is_none();
            return found;
        }
        let last = self.store.log.len().checked_sub(1)?;
        if self.calm || !self.rng.chance(self.scene.stale) {
            return self.store.shown(last, wall);
        }
        let back = usize::try_from(self.rng.below(8)).expect("small");
        let found = last.checked_sub(back).and_then(|index| self.store.shown(index, wall));
        if found.is_none() && self.store.present().is_some() {
            self.faults.hit(Fault::StaleAbsence);
            self.hosts[h].told.denied = true;
        } else {
            self.faults.hit(Fault::StaleRead);
        }
        found
    }

    fn write(&mut self, request: &Request, author: Author, write: &Write) -> Outcome {
        let before = self.store.log.last().cloned();
        let delete = self.scene.is(Kind::Temporary) && write.change == Change::Free;
        if !self.store.put(self.now, request.wall, author, write, delete) {
            return Outcome::Conflict;
        }
        self.note(self.store.log.len() as u64);
        if self.hosts[request.host].seed == request.seed {
            self.check_commit(request.host, author, write, before.as_ref(), request.told);
        }
        self.spread_news();
        let shown =
            self.store.shown(self.store.log.len() - 1, self.hosts[request.host].wall(self.now));
        shown.map_or(Outcome::Gone, Outcome::Stored)
    }
}
