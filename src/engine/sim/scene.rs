//! What a seed stands for: who is there, what they want, and what goes wrong.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Event, Outage, Report, Sim,
    elector::Elector,
    faults::{Fault, Faults},
    host::{Host, HostClock},
    network::{MS, SEC},
    rng::Rng,
    states::States,
    store::Store,
};
use crate::timing::Timing;

/// The rates of two clocks run apart by less than 15 : 13, which is what the default timing leaves, and by no less than that much.
const SLOWEST: u64 = 931_000;
const FASTEST: u64 = 1_074_000;

/// What is particular about a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Somebody does by hand what no protocol withstands.
    ByHand,
    /// Two processes have one name.
    Twins,
    /// An elector of another make stands too.
    Foreign,
    /// The record is deleted when it is released, as a candidate's is.
    Temporary,
}

/// One kind of life. Shares are in thousandths, times in nanoseconds of true time.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) length: u64,
    /// How many of the requests and news meet with a fault.
    pub(super) faulty: u64,
    pub(super) stale: u64,
    /// How often something happens to a host or to the record.
    pub(super) chaos: u64,
    pub(super) work: u64,
    pub(super) think: u64,
    pub(super) cancels: u64,
    pub(super) passes: u64,
    kind: Kind,
    ttls: &'static [u64],
}

impl Scene {
    /// Many short tenures, and little goes wrong.
    const fn locks() -> Self {
        Self {
            length: 90 * SEC,
            faulty: 6,
            stale: 3,
            chaos: 6 * SEC,
            work: 100 * MS,
            think: 150 * MS,
            cancels: 30,
            passes: 200,
            kind: Kind::Plain,
            ttls: &[2, 3, 5],
        }
    }

    /// Few long tenures, and everything goes wrong.
    const fn elections() -> Self {
        Self {
            length: 240 * SEC,
            faulty: 80,
            stale: 40,
            chaos: 4 * SEC,
            work: 60 * SEC,
            think: 4 * SEC,
            cancels: 100,
            passes: 100,
            kind: Kind::Plain,
            ttls: &[3, 6, 15, 30],
        }
    }

    fn of(seed: u64) -> Self {
        let base = if seed.is_multiple_of(2) { Self::elections() } else { Self::locks() };
        let kinds = [
            Kind::Plain,
            Kind::ByHand,
            Kind::Twins,
            Kind::Foreign,
            Kind::Temporary,
            Kind::ByHand,
            Kind::Twins,
            Kind::Foreign,
        ];
        let kind = kinds[usize::try_from(seed / 2 % 8).expect("small")];
        // Whoever waits for a record to come back gives up more often than not.
        let cancels = if kind == Kind::Temporary { 600 } else { base.cancels };
        Self { cancels, kind, ..base }
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }
}

impl Sim {
    /// Everything as it is before anything has happened.
    pub(super) fn set(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let scene = Scene::of(seed);
        let mut faults = Faults::NONE;
        let hosts: Vec<Host> =
            (0..rng.between(2, 6)).map(|at| host(&mut rng, &scene, at)).collect();
        if scene.is(Kind::Twins) {
            faults.hit(Fault::Twin);
        }
        let elector =
            scene.is(Kind::Foreign).then(|| Elector::new(clock(&mut rng), rng.pick(scene.ttls)));
        let mut sim = Self {
            rng,
            now: 0,
            order: 0,
            queue: std::collections::BTreeMap::new(),
            hosts,
            elector,
            store: Store::new(),
            faults,
            calm: false,
            outage: Outage::default(),
            broken: None,
            tokens: BTreeSet::new(),
            report: Report {
                tenures: 0,
                events: 0,
                steps: 0,
                requests: 0,
                faults: Faults::NONE,
                states: States::NONE,
                trace: seed,
                violation: None,
            },
            scene,
        };
        for host in 0..sim.hosts.len() {
            let delay = sim.rng.below(sim.scene.think);
            sim.after(delay, Event::App { host, turn: 0 });
        }
        if sim.elector.is_some() {
            sim.at(SEC, Event::Elect);
        }
        sim.at(sim.scene.chaos, Event::Chaos);
        sim.at(sim.scene.length, Event::Calm);
        sim
    }
}

fn host(rng: &mut Rng, scene: &Scene, at: u64) -> Host {
    // The first two have one name, where there are twins.
    let me =
        if scene.is(Kind::Twins) && at < 2 { "twin".into() } else { format!("host-{at}").into() };
    let timing = Timing::new(Duration::from_secs(rng.pick(scene.ttls)));
    let skew = i64::try_from(rng.below(120 * SEC)).expect("small") - 60_000_000_000;
    let mut host = Host::new(me, rng.draw(), timing, clock(rng), skew);
    host.temporary = scene.is(Kind::Temporary);
    host.renew_machine();
    host
}

fn clock(rng: &mut Rng) -> HostClock {
    let rates = [SLOWEST, SLOWEST, 1_000_000, FASTEST, FASTEST, rng.between(SLOWEST, FASTEST)];
    HostClock { offset: rng.below(1 << 50), rate: rng.pick(&rates) }
}
