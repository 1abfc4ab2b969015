//! The simulated world: all hosts, the network and the server, advanced together in true time.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::oneshot;

use leasehold_test_support::{Rng, Violation, overlap::Interval};

use crate::{
    api::Request,
    checks::{
        causes::Causes, expired_watches::ExpiredWatches, fencing::FencedResource,
        leftovers::Leftovers, liveness::Liveness, recreation::Recreation, tokens::Tokens,
        turns::Turns,
    },
    delivery::Delivery,
    faults::Faults,
    foreign_elector::ForeignElector,
    host::Host,
    report::Report,
    scenario::{MS, SEC, Scenario, TICK},
    sessions::SessionChecks,
    store::Store,
    watches::OpenWatch,
    wire::{self, Reply},
};

/// A request on its way to the server, or its reply on the way back.
pub(crate) struct InFlight {
    pub(crate) host: usize,
    pub(crate) incarnation: u64,
    pub(crate) identity: String,
    pub(crate) rate: u64,
    pub(crate) sent_at: u64,
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Reply>,
    /// How often the host had lost its connections when this one was made.
    pub(crate) connection: u64,
}

/// What happens at a point in true time.
pub(crate) enum Event {
    /// The connection for this request is open.
    Connected(Box<InFlight>),
    CredentialReady {
        host: usize,
        number: u64,
    },
    LoseConnections {
        host: usize,
    },
    RequestArrives(Box<InFlight>, Delivery),
    /// The last field is the version that a read shows to the client.
    ReplyArrives(Box<InFlight>, Box<Reply>, Option<u64>),
    ResourceAccess {
        name: &'static str,
        token: u64,
        write: Option<u64>,
        reply: oneshot::Sender<Option<u64>>,
    },
    StartProcess {
        host: usize,
    },
    Redeploy {
        host: usize,
    },
    InjectFault,
    ForeignElectorRound,
    StopFaults,
    StopPrograms,
}

/// The state of the whole simulation.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) store: Store,
    pub(crate) watches: Vec<OpenWatch>,
    /// The reply channels of requests that are never answered.
    pub(crate) unanswered: Vec<oneshot::Sender<Reply>>,
    pub(crate) resources: BTreeMap<&'static str, FencedResource>,
    pub(crate) foreign_elector: ForeignElector,
    pub(crate) server_down_until: u64,
    pub(crate) faults_stopped_at: Option<u64>,
    /// Whether a watch was silent, without ending, when the faults stopped.
    pub(crate) had_silent_watch: bool,
    pub(crate) faults_stopped: Arc<AtomicBool>,
    pub(crate) tokens: Tokens,
    pub(crate) recreation: Recreation,
    pub(crate) intervals: BTreeMap<&'static str, Vec<Interval>>,
    pub(crate) liveness: Liveness,
    pub(crate) turns: Turns,
    pub(crate) causes: Causes,
    pub(crate) leftovers: Leftovers,
    pub(crate) expired_watches: ExpiredWatches,
    pub(crate) session_checks: SessionChecks,
    pub(crate) report: Report,
    /// When all programs were asked to stop.
    pub(crate) programs_stopped_at: Option<u64>,
    /// The only check that can fail the run; `None` for all of them.
    only_check: Option<&'static str>,
    /// Whether to print the trace.
    pub(crate) print_trace: bool,
}

/// Runs the scenario of `seed` to its end, or to its first violation.
pub(crate) fn run(seed: u64) -> Report {
    run_for(seed, None)
}

/// Like [`run`], but only one check can end the run. A violation of another check that comes first is ignored.
pub(crate) fn run_for(seed: u64, only_check: Option<&'static str>) -> Report {
    let mut world = World::new(seed);
    world.only_check = only_check;
    let turns = match world.scenario.sessions {
        None => world.scenario.circumstance.longest_wait().unwrap_or(0),
        // The longest wait is bounded from above by that with a silent watch.
        Some(_) => 200 * SEC,
    };
    let stop = world.scenario.fault_phase + world.max_gap() + 60 * SEC + 2 * turns;
    let lingers = world.on_the_slowest_clock(world.scenario.lingers());
    let end = stop + world.max_gap() + lingers;
    world.schedule(stop, Event::StopPrograms);
    while world.now < end && world.report.violation.is_none() {
        world.tick();
    }
    world.finish()
}

impl World {
    fn new(seed: u64) -> Self {
        let scenario = Arc::new(Scenario::of(seed));
        let mut rng = Rng::new(seed);
        let mut faults = Faults::default();
        let hosts = (0..scenario.hosts)
            .map(|_| {
                let (rate, fault) = scenario.rate(&mut rng);
                if let Some(fault) = fault {
                    faults.count(fault);
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
            unanswered: Vec::new(),
            resources: BTreeMap::new(),
            foreign_elector: ForeignElector::default(),
            server_down_until: 0,
            faults_stopped_at: None,
            had_silent_watch: false,
            faults_stopped: Arc::default(),
            tokens: Tokens::default(),
            recreation: Recreation::default(),
            intervals: BTreeMap::new(),
            liveness: Liveness::default(),
            turns: Turns::default(),
            causes: Causes::default(),
            leftovers: Leftovers::default(),
            expired_watches: ExpiredWatches::default(),
            session_checks: SessionChecks::default(),
            report: Report { faults, trace: seed, ..Report::default() },
            programs_stopped_at: None,
            only_check: None,
            print_trace: std::env::var_os("LEASEHOLD_TRACE").is_some(),
            scenario,
        };
        for h in 0..world.hosts.len() {
            world.start_process(h);
            world.schedule_loss_of_connections(h);
            if let Some(every) = world.scenario.redeploy_interval {
                let first = world.rng.below(every);
                world.schedule(first, Event::Redeploy { host: h });
            }
        }
        if world.scenario.foreign_elector {
            world.schedule(SEC, Event::ForeignElectorRound);
        }
        world.schedule(world.scenario.fault_interval, Event::InjectFault);
        world.schedule(world.scenario.fault_phase, Event::StopFaults);
        world
    }

    /// How long a wanted name may stay without a holder after the last fault.
    pub(crate) fn max_gap(&self) -> u64 {
        // One ttl, one retry interval, and the time for which a server asked clients to back off.
        let longest = self.longest_ttl();
        self.on_the_slowest_clock(longest + longest / 3 * 12 / 10 + 5 * SEC)
    }

    pub(crate) fn on_the_slowest_clock(&self, time: u64) -> u64 {
        time * 1_000_000 / self.hosts.iter().map(|host| host.rate).min().unwrap_or(1_000_000)
    }

    pub(crate) fn schedule(&mut self, when: u64, event: Event) {
        self.order += 1;
        self.queue.insert((when.max(self.now), self.order), event);
    }

    #[expect(clippy::print_stdout, reason = "the trace was asked for")]
    pub(crate) fn trace(&mut self, what: u64) {
        if self.print_trace {
            println!("{:>10} ms  {what}", self.now / MS);
        }
        let trace = &mut self.report.trace;
        *trace = (*trace ^ what ^ self.now).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }

    pub(crate) fn report_violation(&mut self, violation: Option<Violation>) {
        let is_asked = |found: &Violation| self.only_check.is_none_or(|check| check == found.check);
        if self.report.violation.is_none() {
            self.report.violation = violation.filter(is_asked).map(|mut violation| {
                violation.what = format!("at {} ms: {}", self.now / MS, violation.what);
                violation
            });
        }
    }

    /// Records when a tenure was held, for C1.
    pub(crate) fn tenure_ended(&mut self, name: &'static str, tenure: Interval) {
        self.intervals.entry(name).or_default().push(tenure);
    }

    fn tick(&mut self) {
        let to = self.now + TICK;
        for h in 0..self.hosts.len() {
            self.run_host(h, to);
        }
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= to) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle_event(event);
        }
        self.now = to;
        self.drop_unwanted_refreshes();
        self.deliver_events();
        self.check_tick();
        if self.scenario.sessions.is_some() {
            self.check_session_tick();
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::RequestArrives(in_flight, delivery) => self.deliver(*in_flight, delivery),
            Event::Connected(in_flight) => self.connected(*in_flight),
            Event::CredentialReady { host, number } => self.credential_ready(host, number),
            Event::LoseConnections { host } => self.lose_connections(host),
            Event::ReplyArrives(in_flight, reply, version) => {
                let reply = if self.is_lost(&in_flight) { Err(wire::reset()) } else { *reply };
                // The client may have stopped waiting.
                let is_waiting = in_flight.reply.send(reply).is_ok();
                let keeps = is_waiting && in_flight.request.verb != "watch";
                self.connection_is_free(in_flight.host, in_flight.connection, keeps);
                if let Some(version) = version.filter(|_| is_waiting) {
                    let incarnation = (in_flight.host, in_flight.incarnation);
                    // The tasks of the host have already run to the end of this tick.
                    let at = self.now.next_multiple_of(TICK);
                    self.recreation.shown(incarnation, &in_flight.request.name, version, at);
                }
            }
            Event::ResourceAccess { name, token, write, reply } => {
                let value = self.resources.entry(name).or_default().access(token, write);
                self.trace(value.unwrap_or(u64::MAX));
                let _ = reply.send(value);
            }
            Event::StartProcess { host } => {
                if self.hosts[host].process.is_none() {
                    self.start_process(host);
                }
            }
            Event::Redeploy { host } => self.redeploy(host),
            Event::InjectFault => self.inject_fault(),
            Event::ForeignElectorRound => self.run_foreign_elector(),
            Event::StopFaults => self.stop_faults(),
            Event::StopPrograms => {
                self.programs_stopped_at = Some(self.now);
                for host in &self.hosts {
                    host.process.iter().for_each(|process| process.channel.stop());
                }
            }
        }
    }

    fn run_host(&mut self, h: usize, to: u64) {
        let seed = self.rng.draw();
        let host = &mut self.hosts[h];
        if host.paused_until >= to {
            return;
        }
        let was_paused = std::mem::take(&mut host.paused_until) > 0;
        let skew = host.skew;
        let Some(process) = &mut host.process else { return };
        let messages = process.run(seed, to, skew, was_paused);
        for (local, message) in messages {
            self.handle_message(h, local, message);
        }
        let Some(process) = &mut self.hosts[h].process else { return };
        for (name, tenure, loss) in process.poll_held(to) {
            self.tenure_lost(h, name, tenure, loss);
        }
        self.poll_calls(h);
    }
}
