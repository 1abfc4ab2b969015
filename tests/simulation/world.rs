//! Everything that there is, advanced together in true time.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::oneshot;

use crate::{
    api::Request,
    channel::Letter,
    checks::{
        Violation, causes::Causes, expired_watches::Outdated, fencing::Resource,
        leftovers::Leftovers, liveness::Liveness, overlap::Interval, recreation::Recreation,
        request_rate, tokens::Tokens,
    },
    faults::{Fault, Faults},
    foreign_elector::Elector,
    host::{Host, HostClock, Process},
    network::Fate,
    report::Report,
    rng::Rng,
    scenario::{ELECTION, LOCKS, MS, SEC, Scene, TICK},
    store::Store,
    watches::Watching,
    wire::Replied,
};

/// What this simulation's programs want.
const NAMES: &[&str] = &[LOCKS[0], LOCKS[1], ELECTION];

/// A request on its way.
pub(crate) struct Parcel {
    pub(crate) host: usize,
    pub(crate) life: u64,
    pub(crate) identity: String,
    pub(crate) rate: u64,
    pub(crate) sent: u64,
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Replied>,
}

pub(crate) enum Event {
    Arrive(Box<Parcel>, Fate),
    /// With the version that a read is told of.
    Answer(Box<Parcel>, Box<Replied>, Option<u64>),
    Access {
        name: &'static str,
        token: u64,
        write: Option<u64>,
        reply: oneshot::Sender<Option<u64>>,
    },
    Start {
        host: usize,
    },
    Redeploy {
        host: usize,
    },
    Chaos,
    Elect,
    Calm,
    Stop,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) scene: Arc<Scene>,
    pub(crate) now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) store: Store,
    pub(crate) watches: Vec<Watching>,
    /// Who waits for an answer that never comes.
    pub(crate) hung: Vec<oneshot::Sender<Replied>>,
    pub(crate) resources: BTreeMap<&'static str, Resource>,
    pub(crate) elector: Elector,
    pub(crate) down_until: u64,
    pub(crate) calm: Option<u64>,
    /// A watch was silent then, and did not come to an end.
    pub(crate) unheard: bool,
    pub(crate) calmed: Arc<AtomicBool>,
    pub(crate) tokens: Tokens,
    pub(crate) recreation: Recreation,
    pub(crate) tenures: BTreeMap<&'static str, Vec<Interval>>,
    pub(crate) liveness: Liveness,
    pub(crate) causes: Causes,
    pub(crate) leftovers: Leftovers,
    pub(crate) outdated: Outdated,
    pub(crate) report: Report,
    /// When all users were told to leave.
    pub(crate) stopped: Option<u64>,
    /// The one check that is asked, if not all are.
    only: Option<&'static str>,
    /// Whether the trace is printed.
    told: bool,
}

/// Runs the scene of `seed` to its end, or to its first violation.
pub(crate) fn run(seed: u64) -> Report {
    run_for(seed, None)
}

/// As [`run`], where only one check may end it: what would be found first by another is seen by this one.
pub(crate) fn run_for(seed: u64, only: Option<&'static str>) -> Report {
    let mut world = World::set(seed);
    world.only = only;
    let end = world.scene.length + 2 * world.patience() + 60 * SEC;
    world.at(world.scene.length + world.patience() + 60 * SEC, Event::Stop);
    while world.now < end && world.report.violation.is_none() {
        world.tick();
    }
    world.finish()
}

impl World {
    fn set(seed: u64) -> Self {
        let scene = Arc::new(Scene::of(seed));
        let mut rng = Rng::new(seed);
        let mut faults = Faults::default();
        let hosts = (0..scene.hosts)
            .map(|_| {
                let (rate, fault) = scene.rate(&mut rng);
                if let Some(fault) = fault {
                    faults.hit(fault);
                }
                Host::new(rate)
            })
            .collect();
        let mut world = Self {
            rng,
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            hosts,
            store: Store::new(),
            watches: Vec::new(),
            hung: Vec::new(),
            resources: BTreeMap::new(),
            elector: Elector::default(),
            down_until: 0,
            calm: None,
            unheard: false,
            calmed: Arc::default(),
            tokens: Tokens::default(),
            recreation: Recreation::default(),
            tenures: BTreeMap::new(),
            liveness: Liveness::default(),
            causes: Causes::default(),
            leftovers: Leftovers::default(),
            outdated: Outdated::default(),
            report: Report { faults, trace: seed, ..Report::default() },
            stopped: None,
            only: None,
            told: std::env::var_os("LEASEHOLD_TRACE").is_some(),
            scene,
        };
        for h in 0..world.hosts.len() {
            world.start_process(h);
            if let Some(every) = world.scene.redeploy {
                let first = world.rng.below(every);
                world.at(first, Event::Redeploy { host: h });
            }
        }
        if world.scene.foreign {
            world.at(SEC, Event::Elect);
        }
        world.at(world.scene.chaos, Event::Chaos);
        world.at(world.scene.length, Event::Calm);
        world
    }

    /// How long what is wanted may be held by nobody after the last fault.
    pub(crate) fn patience(&self) -> u64 {
        // A time to live, a retry; and what a server asked to be left alone for.
        let longest = self.longest();
        self.on_the_slowest_clock(longest + longest / 3 * 12 / 10 + 5 * SEC)
    }

    pub(crate) fn on_the_slowest_clock(&self, time: u64) -> u64 {
        time * 1_000_000 / self.hosts.iter().map(|host| host.rate).min().unwrap_or(1_000_000)
    }

    pub(crate) fn at(&mut self, when: u64, event: Event) {
        self.order += 1;
        self.queue.insert((when.max(self.now), self.order), event);
    }

    #[expect(clippy::print_stdout, reason = "what somebody asked to be told")]
    pub(crate) fn note(&mut self, what: u64) {
        if self.told {
            println!("{:>10} ms  {what}", self.now / MS);
        }
        let trace = &mut self.report.trace;
        *trace = (*trace ^ what ^ self.now).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }

    pub(crate) fn found(&mut self, violation: Option<Violation>) {
        let asked = |found: &Violation| self.only.is_none_or(|only| only == found.check);
        if self.report.violation.is_none() {
            self.report.violation = violation.filter(asked).map(|mut violation| {
                violation.what = format!("at {} ms: {}", self.now / MS, violation.what);
                violation
            });
        }
    }

    /// A tenure is over.
    pub(crate) fn over(&mut self, name: &'static str, tenure: Interval) {
        self.tenures.entry(name).or_default().push(tenure);
    }

    fn tick(&mut self) {
        let to = self.now + TICK;
        for h in 0..self.hosts.len() {
            self.run_host(h, to);
        }
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= to) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = to;
        self.feed_watches();
        self.look();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(parcel, fate) => self.arrive(*parcel, fate),
            Event::Answer(parcel, replied, version) => {
                // Whoever asked may have gone.
                let reached = parcel.reply.send(*replied).is_ok();
                if let Some(version) = version.filter(|_| reached) {
                    let life = (parcel.host, parcel.life);
                    // By then the host's tasks have run up to the end of this tick.
                    let at = self.now.next_multiple_of(TICK);
                    self.recreation.told(life, &parcel.request.name, version, at);
                }
            }
            Event::Access { name, token, write, reply } => {
                let value = self.resources.entry(name).or_default().access(token, write);
                self.note(value.unwrap_or(u64::MAX));
                let _ = reply.send(value);
            }
            Event::Start { host } => {
                if self.hosts[host].process.is_none() {
                    self.start_process(host);
                }
            }
            Event::Redeploy { host } => self.redeploy(host),
            Event::Chaos => self.chaos(),
            Event::Elect => self.elect(),
            Event::Calm => self.calm_down(),
            Event::Stop => {
                self.stopped = Some(self.now);
                for host in &self.hosts {
                    host.process.iter().for_each(|process| process.post.stop());
                }
            }
        }
    }

    fn run_host(&mut self, h: usize, to: u64) {
        let chance = self.rng.draw();
        let host = &mut self.hosts[h];
        if host.paused_until >= to {
            return;
        }
        let resumed = std::mem::take(&mut host.paused_until) > 0;
        let skew = host.skew;
        let Some(process) = &mut host.process else { return };
        let letters = process.run(chance, to, skew, resumed);
        for (local, letter) in letters {
            self.take(h, local, letter);
        }
        let Some(process) = &mut self.hosts[h].process else { return };
        for (name, tenure, why) in process.ask(to) {
            self.lost(h, name, tenure, why);
        }
    }

    /// What a task on a host did.
    fn take(&mut self, h: usize, local: u64, letter: Letter) {
        let host = &mut self.hosts[h];
        let (life, rate) = (host.life, host.rate);
        let Some(process) = &mut host.process else { return };
        let at = process.clock.when(local).max(self.now);
        match letter {
            Letter::Request { request, reply } => {
                self.report.requests += 1;
                let identity = process.identity.clone();
                let who = ((h, life), identity.as_str(), at);
                let nobody = self.leftovers.check(&request, who, &process.wants, NAMES);
                // A fast clock asks more often, and is not to blame.
                let bound = host.requests.asked(at * rate / 1_000_000, 4);
                self.found(bound.or(nobody));
                let rest = self.on_the_slowest_clock(self.longest() + 5 * SEC);
                self.found(request_rate::late(at, self.stopped.map(|stopped| stopped + rest)));
                self.leave(at, Parcel { host: h, life, identity, rate, sent: at, request, reply });
            }
            Letter::Access { name, token, write, reply } => {
                let late = self.calm.is_none() && self.rng.chance(50);
                let delay = if late { self.rng.below(30 * SEC) } else { self.rng.below(30 * MS) };
                self.at(at + delay, Event::Access { name, token, write, reply });
            }
            Letter::Began { name, tenure } => {
                let token = tenure.token().get();
                process.began(name, tenure, at);
                self.report.tenures += 1;
                self.note(token);
                let wrong = self.tokens.began((h, life), name, token);
                self.found(wrong);
            }
            Letter::Ended { name, token, lost } => {
                let ended = process.ended(name, token, at);
                self.note(token);
                match (ended, lost) {
                    (Some((name, tenure)), Some(why)) => self.lost(h, name, tenure, why),
                    (Some((name, tenure)), None) => self.over(name, tenure),
                    (None, _) => {}
                }
            }
            Letter::Kept { name, token } => {
                let what = format!("`{name}` is held with token {token} after it was given back");
                self.found(Some(Violation::new("C1", what)));
            }
            Letter::Unlocks { name } => self.causes.unlocked(h, name, at),
            Letter::Wants { name, begins } => {
                if begins {
                    host.requests.wants();
                    process.wants.push(name);
                } else if let Some(found) = process.wants.iter().position(|want| *want == name) {
                    process.wants.swap_remove(found);
                }
                let ceased = (!process.wants.contains(&name)).then_some(at);
                self.leftovers.wants((h, life), name, ceased);
                self.liveness.wants(at, name, begins);
            }
            Letter::Met(fault) => self.report.faults.hit(fault),
            Letter::Saw(what) => self.note(what),
        }
    }

    pub(crate) fn start_process(&mut self, h: usize) {
        let host = &mut self.hosts[h];
        host.life += 1;
        host.able_since = self.now;
        let clock = HostClock { started: self.now, rate: host.rate };
        let twin = self.scene.twins && h < 2;
        let identity = if twin { "twin".into() } else { format!("host-{h}-{}", host.life) };
        if twin {
            self.report.faults.hit(Fault::SameIdentity);
        }
        host.process =
            Some(Process::start(&self.scene, &mut self.rng, &self.calmed, clock, identity));
    }

    /// kill -9.
    pub(crate) fn end_process(&mut self, h: usize) {
        let Some(process) = self.hosts[h].process.take() else { return };
        for belief in &process.beliefs {
            let tenure = belief.interval();
            self.over(belief.name, Interval { until: tenure.until.min(self.now), ..tenure });
        }
        for name in &process.wants {
            self.liveness.wants(self.now, name, false);
        }
        self.hosts[h].paused_until = 0;
    }

    /// The process is told to end, ends a while later, and begins anew.
    fn redeploy(&mut self, h: usize) {
        if self.calm.is_some() {
            return;
        }
        self.report.faults.hit(Fault::Redeployed);
        if let Some(process) = &self.hosts[h].process {
            if process.stopping {
                self.end_process(h);
                self.start_process(h);
            } else {
                process.post.stop();
                let grace = self.now + self.rng.between(100 * MS, 4 * SEC);
                self.hosts[h].process.as_mut().expect("there").stopping = true;
                return self.at(grace, Event::Redeploy { host: h });
            }
        }
        let next = self.now + self.scene.redeploy.unwrap_or(30 * SEC);
        self.at(next, Event::Redeploy { host: h });
    }
}
