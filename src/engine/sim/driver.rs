//! What the driver and the desk do on a real host: feeds the machine, keeps its timer, its watch and its queue.

use super::{
    Event, News, Sim,
    checks::Check,
    faults::Fault,
    host::{App, Watch},
    network::{self, MS},
    server::Ask,
    states::{State, is_unanswered},
};
use crate::{
    clock::Moment,
    engine::{
        machine::{Input, Outcome, Step},
        record::Versioned,
    },
};

impl Sim {
    pub(super) fn feed(&mut self, h: usize, input: Input) {
        let local = self.hosts[h].clock.local(self.now);
        let told = state(&input).is_some_and(|found| self.inform(h, found));
        let mut next = Some(input);
        let mut until = Moment::NEVER;
        while let Some(input) = next.take() {
            self.report.steps += 1;
            let unanswered = is_unanswered(&input);
            let machine = &mut self.hosts[h].machine;
            let step = machine.step(local, input);
            self.report.states.hit(State::of(machine, local, unanswered, &step));
            until = match step {
                Step::Read => {
                    self.send(h, Ask::Read);
                    Moment::NEVER
                }
                Step::Write(write) => {
                    self.send(h, Ask::Write(write));
                    Moment::NEVER
                }
                Step::Sleep(until) => {
                    if until <= local {
                        self.fail(Check::BusyLoop, h, "sleeps until a time that has passed");
                    }
                    until
                }
                Step::Done => Moment::NEVER,
            };
            self.track(h, local);
            next = self.tend(h, local);
        }
        if told && self.hosts[h].belief.is_some() {
            self.fail(
                Check::Told,
                h,
                "goes on although it has read that it does not hold the record",
            );
        }
        self.look(h);
        let host = &mut self.hosts[h];
        host.timer += 1;
        let until =
            until.min(host.machine.deadline().filter(|&end| end > local).unwrap_or(Moment::NEVER));
        self.check_sleep(h, local, until);
        let host = &mut self.hosts[h];
        if until != Moment::NEVER {
            let (when, timer) = (host.clock.when(until), host.timer);
            self.at(when, Event::Wake { host: h, timer });
        }
        self.note(h as u64 + (until.as_nanos() << 3));
    }

    /// A state reaches the machine: true if it is the newest, and somebody else's or nobody's.
    fn inform(&mut self, h: usize, found: &Versioned) -> bool {
        let host = &mut self.hosts[h];
        let number = found.version.number.get();
        if number < host.told.number {
            return false;
        }
        if number > host.told.number {
            host.bucket.allow(2);
            host.told.denied = false;
            host.told.gone = None;
        }
        host.told.number = number;
        let record = &found.record;
        let own = record.nonce.is_some_and(|nonce| nonce.machine == host.seed);
        let mine = record.holder.as_ref() == Some(&host.me);
        host.told.foreign = (!(record.is_free() || own && mine)).then(|| record.lives());
        !mine
    }

    /// The queue of one: what the machine is to be told next.
    fn tend(&mut self, h: usize, local: Moment) -> Option<Input> {
        let host = &mut self.hosts[h];
        let held = host.machine.holds(local).is_some();
        match host.app {
            App::Works if !held => {
                host.app = App::Wants;
                host.turn += 1;
            }
            App::Wants if held => {
                host.app = App::Works;
                let work = self.rng.between(MS, self.scene.work);
                self.next_turn(h, work);
            }
            _ => {}
        }
        let host = &mut self.hosts[h];
        if host.app == App::Wants && !host.machine.is_wanted() {
            host.claimed = self.now;
            return Some(Input::Claim(host.timing));
        }
        (host.app == App::Idle && host.machine.is_wanted()).then_some(Input::Release)
    }

    /// The application's turn: to want the tenure, to give up wanting it, to pass it on, or to give it back.
    pub(super) fn turn(&mut self, h: usize) {
        let passes = self.rng.chance(self.scene.passes);
        let cancels = self.rng.chance(self.scene.cancels);
        let think = self.rng.between(MS, self.scene.think);
        let host = &mut self.hosts[h];
        host.bucket.allow(6);
        match host.app {
            App::Idle => {
                host.app = App::Wants;
                if cancels {
                    self.next_turn(h, think);
                }
                self.feed(h, Input::Wake);
            }
            _ if self.calm => {}
            App::Works if passes => {
                host.app = App::Wants;
                host.claimed = self.now;
                let timing = host.timing;
                self.faults.hit(Fault::Pass);
                self.feed(h, Input::Pass(timing));
            }
            App::Works | App::Wants => {
                if host.app == App::Wants {
                    self.faults.hit(Fault::Cancel);
                }
                host.app = App::Idle;
                self.next_turn(h, think);
                self.feed(h, Input::Release);
            }
        }
    }

    pub(super) fn next_turn(&mut self, h: usize, delay: u64) {
        self.hosts[h].turn += 1;
        let turn = self.hosts[h].turn;
        self.after(delay, Event::App { host: h, turn });
    }

    /// There is a watch while the machine contends and has somebody in its way.
    fn look(&mut self, h: usize) {
        let host = &mut self.hosts[h];
        if !host.machine.is_contending() {
            host.watch = Watch::Off;
            host.watches += 1;
        } else if host.watch == Watch::Off && host.machine.wants_news() {
            let forbidden = !self.calm && self.rng.chance(self.scene.faulty / 2);
            self.begin_watch(h, forbidden);
        }
    }

    pub(super) fn begin_watch(&mut self, h: usize, forbidden: bool) {
        let delay = self.rng.between(2 * MS, 20 * MS);
        let host = &mut self.hosts[h];
        host.watches += 1;
        host.watch = if forbidden { Watch::Forbidden } else { Watch::On };
        let (life, watch) = (host.life, host.watches);
        let news = if forbidden { News::Blind } else { News::All(self.store.log.len()) };
        if forbidden {
            self.faults.hit(Fault::WatchForbidden);
        }
        self.after(delay, Event::News { host: h, life, watch, news });
    }

    /// The last change becomes known to all who watch.
    pub(super) fn spread_news(&mut self) {
        let index = self.store.log.len() - 1;
        for h in 0..self.hosts.len() {
            let host = &self.hosts[h];
            if host.alive && host.watch == Watch::On && host.cut_until <= self.now {
                let (life, watch) = (host.life, host.watches);
                let faulty = if self.calm { 0 } else { self.scene.faulty };
                for delay in
                    network::news(&mut self.rng, &mut self.faults, faulty).into_iter().flatten()
                {
                    let news = News::Set(index);
                    self.after(delay, Event::News { host: h, life, watch, news });
                }
            }
        }
    }

    pub(super) fn tell(&mut self, h: usize, news: News) {
        let wall = self.hosts[h].wall(self.now);
        let input = match news {
            News::Blind => Input::Blind,
            News::All(len) => {
                let shown = len.checked_sub(1).and_then(|last| self.store.shown(last, wall));
                shown.map_or(Input::Missed, Input::Changed)
            }
            News::Set(index) => {
                let shown = self.store.shown(index, wall);
                shown.map_or_else(|| self.tell_deletion(h, index), Input::Changed)
            }
        };
        self.feed(h, input);
    }

    fn tell_deletion(&mut self, h: usize, index: usize) -> Input {
        let (number, at) = (self.store.log[index].number, self.store.log[index].at);
        let told = &mut self.hosts[h].told;
        if number > told.number {
            told.number = number;
            told.gone.get_or_insert(at);
        }
        Input::Deleted(number.try_into().expect("counts from one"))
    }
}

/// The state of the record that an input carries.
fn state(input: &Input) -> Option<&Versioned> {
    match input {
        Input::Read(Ok(Some(found)))
        | Input::Changed(found)
        | Input::Wrote(Outcome::Stored(found)) => Some(found),
        _ => None,
    }
}
