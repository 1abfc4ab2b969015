//! The protocol in a world where everything goes wrong: many machines, each with a clock of its own, over one
//! store and a network that loses, delays and repeats. One seed, one run: no real time, no other chance.
//!
//! ```text
//!   rng ─▶ chaos ──▶ hosts (machine, clock, application) ──▶ network ──▶ store
//!                      ▲                                       │           │
//!                      └──────────── answers, news ◀───────────┴───────────┘
//!                      checks look at every commit, every belief and every step
//! ```

mod batch;
mod chaos;
mod checks;
mod driver;
mod elector;
mod faults;
mod host;
mod network;
mod rng;
mod scene;
mod server;
mod states;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    checks::Violation, elector::Elector, faults::Faults, host::Host, rng::Rng, scene::Scene,
    server::Request, states::States, store::Store,
};
use super::machine::Input;

/// What a watch tells.
#[derive(Clone, Copy, Debug)]
enum News {
    /// The change of this index in the store's history.
    Set(usize),
    /// The whole state, after this many changes.
    All(usize),
    Blind,
}

#[derive(Debug)]
enum Event {
    Wake {
        host: usize,
        timer: u64,
    },
    App {
        host: usize,
        turn: u64,
    },
    Arrive(Box<Request>),
    Answer {
        host: usize,
        life: u64,
        id: u64,
        input: Input,
    },
    News {
        host: usize,
        life: u64,
        watch: u64,
        news: News,
    },
    Restart {
        host: usize,
    },
    Chaos,
    Elect,
    Calm,
    /// By now there must be a holder.
    Verdict,
    /// By now it must still be the same.
    Steady(u64),
}

impl Event {
    /// A host that is paused takes this in when it goes on.
    const fn host(&self) -> Option<usize> {
        match self {
            Self::Wake { host, .. }
            | Self::App { host, .. }
            | Self::Answer { host, .. }
            | Self::News { host, .. } => Some(*host),
            _ => None,
        }
    }
}

/// What is wrong with the backend as a whole, and until when.
#[derive(Clone, Copy, Debug, Default)]
struct Outage {
    all_until: u64,
    writes_until: u64,
    /// All reads show the state after this many changes.
    lag_until: u64,
    lag: usize,
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    tenures: u64,
    events: u64,
    steps: u64,
    requests: u64,
    faults: Faults,
    states: States,
    /// Of everything that happened: the same for the same seed.
    trace: u64,
    violation: Option<Violation>,
}

#[derive(Debug)]
struct Sim {
    rng: Rng,
    scene: Scene,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    hosts: Vec<Host>,
    elector: Option<Elector>,
    store: Store,
    faults: Faults,
    calm: bool,
    outage: Outage,
    /// When somebody last did by hand what no protocol withstands.
    broken: Option<u64>,
    tokens: BTreeSet<u64>,
    report: Report,
}

/// Runs the scene of `seed` to its end, or to its first violation.
fn run(seed: u64) -> Report {
    let mut sim = Sim::set(seed);
    while sim.report.violation.is_none() {
        let Some(((at, _), event)) = sim.queue.pop_first() else { break };
        sim.now = at;
        sim.happen(event);
    }
    sim.report.faults = sim.faults;
    sim.report
}

impl Sim {
    fn at(&mut self, when: u64, event: Event) {
        self.order += 1;
        self.queue.insert((when.max(self.now), self.order), event);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    fn happen(&mut self, event: Event) {
        if let Some(host) = event.host() {
            let paused_until = self.hosts[host].paused_until;
            if paused_until > self.now {
                return self.at(paused_until, event);
            }
        }
        self.report.events += 1;
        match event {
            Event::Wake { host, timer } => {
                if self.hosts[host].alive && self.hosts[host].timer == timer {
                    self.feed(host, Input::Wake);
                }
            }
            Event::App { host, turn } => {
                if self.hosts[host].alive && self.hosts[host].turn == turn {
                    self.turn(host);
                }
            }
            Event::Arrive(request) => self.serve(&request),
            Event::Answer { host, life, id, input } => {
                let to = &mut self.hosts[host];
                if to.life == life && to.flight == Some(id) {
                    to.flight = None;
                    self.feed(host, input);
                }
            }
            Event::News { host, life, watch, news } => {
                if self.hosts[host].life == life && self.hosts[host].watches == watch {
                    self.tell(host, news);
                }
            }
            Event::Restart { host } => self.restart(host),
            Event::Chaos => self.chaos(),
            Event::Elect => self.elect(),
            Event::Calm => self.calm_down(),
            Event::Verdict => self.check_liveness(),
            Event::Steady(token) => self.check_steadiness(token),
        }
    }

    fn note(&mut self, what: u64) {
        let trace = &mut self.report.trace;
        *trace = (*trace ^ what ^ self.now).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }
}
