//! How the world handles the messages of processes.

use tokio::sync::oneshot;

use leasehold_test_support::Violation;

use crate::{
    api::Request,
    channel::Message,
    checks::{at_rest, request_rate},
    circumstance::Circumstance,
    faults::Fault,
    scenario::{ELECTION, LOCKS, MS, SEC},
    wire::Reply,
    world::{Event, InFlight, World},
};

/// Every name that the programs of this simulation want.
const NAMES: &[&str] = &[LOCKS[0], LOCKS[1], ELECTION];

impl World {
    /// Handles one message of the process on host `h`, sent at `local` on the clock of the process.
    pub(crate) fn handle_message(&mut self, h: usize, local: u64, message: Message) {
        let host = &mut self.hosts[h];
        let incarnation = (h, host.incarnation);
        let Some(process) = &mut host.process else { return };
        let at = process.clock.true_time(local).max(self.now);
        match message {
            Message::Request { request, under_way, reply } => {
                self.check_under_way(under_way);
                self.handle_request(h, at, request, reply);
            }
            Message::Access { name, token, write, reply } => {
                let late = self.faults_stopped_at.is_none() && self.rng.chance(50);
                let delay = if late { self.rng.below(30 * SEC) } else { self.rng.below(30 * MS) };
                self.schedule(at + delay, Event::ResourceAccess { name, token, write, reply });
            }
            Message::TenureBegan { name, tenure } => {
                let token = tenure.token().get();
                process.tenure_began(name, tenure, at);
                self.turns.began(incarnation, name, at);
                if self.scenario.circumstance.is_busy() {
                    self.report.faults.count(Fault::BusyNeighbour);
                }
                self.report.tenures += 1;
                self.trace(token);
                let violation = self.tokens.began(incarnation, name, token);
                self.report_violation(violation);
            }
            Message::TenureEnded { name, token, lost } => {
                let ended = process.tenure_ended(name, token, at);
                self.trace(token);
                match (ended, lost) {
                    (Some((name, tenure)), Some(loss)) => self.tenure_lost(h, name, tenure, loss),
                    (Some((name, tenure)), None) => self.tenure_ended(name, tenure),
                    (None, _) => {}
                }
            }
            Message::HeldAfterRelease { name, token } => {
                let what = format!("`{name}` is still held with token {token} after its release");
                self.report_violation(Some(Violation::new("C1", what)));
            }
            Message::UnlockCalled { name } => self.causes.unlocked(h, name, at),
            Message::Demand { name, begins } => self.handle_demand(h, at, name, begins),
            Message::Call { number, message } => self.handle_call(h, at, number, message),
            Message::SessionsEnded => process.sessions_ended = Some(at),
            Message::Fault(fault) => self.report.faults.count(fault),
            Message::Trace(what) => self.trace(what),
        }
    }

    fn handle_request(
        &mut self,
        h: usize,
        at: u64,
        request: Request,
        reply: oneshot::Sender<Reply>,
    ) {
        let host = &mut self.hosts[h];
        let (incarnation, rate) = (host.incarnation, host.rate);
        let Some(process) = &host.process else { return };
        self.report.requests += 1;
        let identity = process.identity.clone();
        let sender = ((h, incarnation), identity.as_str(), at);
        let many = process.names.iter().copied();
        let names = NAMES.iter().copied().chain(many);
        let records = NAMES.len() + 1 + process.names.len();
        let unwanted = match self.scenario.sessions {
            None => self.leftovers.check_request(&request, sender, &process.wanted, names),
            Some(_) => None,
        };
        // A fast clock makes more requests per true minute, so count in its own time.
        let local = at * rate / 1_000_000;
        let over_bound = match self.scenario.sessions {
            None => host.request_rate.sent(local, records as u64),
            Some(_) => host.request_rate.sent_by_sessions(local, process.ttl, process.waits()),
        };
        self.report_violation(over_bound.or(unwanted));
        let lingers = self.scenario.lingers();
        let rest = self.on_the_slowest_clock(self.longest_ttl() + 5 * SEC + lingers);
        let at_rest_since = self.programs_stopped_at.map(|stopped| stopped + rest);
        self.report_violation(at_rest::check_requests(at, at_rest_since));
        let in_flight = InFlight {
            host: h,
            incarnation,
            identity,
            rate,
            sent_at: at,
            request,
            reply,
            connection: 0,
        };
        self.send_request(at, in_flight);
    }

    fn check_under_way(&mut self, under_way: usize) {
        if self.scenario.circumstance == Circumstance::ManyNames {
            if under_way == request_rate::UNDER_WAY {
                self.report.faults.count(Fault::ManyNames);
            }
            self.report_violation(request_rate::check_under_way(under_way));
        }
    }

    fn handle_demand(&mut self, h: usize, at: u64, name: &'static str, begins: bool) {
        let host = &mut self.hosts[h];
        let incarnation = (h, host.incarnation);
        let Some(process) = &mut host.process else { return };
        if begins {
            host.request_rate.demand_began();
            process.wanted.push(name);
        } else if let Some(found) = process.wanted.iter().position(|wanted| *wanted == name) {
            process.wanted.swap_remove(found);
        }
        let ceased = (!process.wanted.contains(&name)).then_some(at);
        self.leftovers.set_wanted(incarnation, name, ceased);
        self.liveness.demand_changed(at, name, begins);
    }
}
