//! Requests on their way to the server, and replies on their way back.

use std::sync::Arc;

use crate::{
    api::{self, Answer, Request},
    delivery::{Delivery, ReplyKind},
    faults::Fault,
    scenario::{BrokenAssumption, MS, SEC},
    wire::{self, Reply},
    world::{Event, InFlight, World},
};

/// The longest that a client waits for a reply.
const MAX_WAIT: u64 = 5 * SEC;

impl World {
    /// Sends a request on its connection.
    pub(crate) fn travel(&mut self, at: u64, in_flight: InFlight) {
        let mut delivery = self.plan_delivery(at, &in_flight);
        let is_faulty = delivery.is_faulty();
        // The circumstance of the run is no cause for the loss of a tenure.
        self.slow_down(in_flight.host, &mut delivery);
        let arrives = at + delivery.request_delay;
        if is_faulty && !matches!(in_flight.request.verb, "list" | "watch") {
            let until = arrives + delivery.reply_delay + MAX_WAIT;
            self.causes.request_failed(in_flight.host, &in_flight.request.name, until);
        }
        self.schedule(arrives, Event::RequestArrives(Box::new(in_flight), delivery));
    }

    /// The request arrives at the server, even if the client no longer waits.
    pub(crate) fn deliver(&mut self, mut in_flight: InFlight, mut delivery: Delivery) {
        if self.is_lost(&in_flight) {
            return self.send_reply(in_flight, Err(wire::reset()), delivery.reply_delay, None);
        }
        if delivery.admitted && in_flight.reply.is_closed() {
            // The client has hung up during the admission, so the server gives the write up.
            return;
        }
        if !delivery.admitted
            && let Some(time) = self.admission(&in_flight.request)
        {
            delivery.admitted = true;
            let event = Event::RequestArrives(Box::new(in_flight), delivery);
            return self.schedule(self.now + time, event);
        }
        self.trace(in_flight.request.verb.len() as u64 ^ (in_flight.host as u64) << 8);
        let violation = self.check_watch_start(&in_flight);
        self.report_violation(violation);
        if in_flight.request.verb == "watch"
            && matches!(delivery.reply, ReplyKind::FromServer)
            && delivery.carried_out
        {
            return self.open_watch(in_flight, delivery.reply_delay);
        }
        let carried_out = delivery.carried_out && in_flight.request.verb != "watch";
        let answer = carried_out.then(|| self.serve(&mut in_flight));
        let shown = self
            .version_shown(&in_flight.request)
            .filter(|_| matches!(delivery.reply, ReplyKind::FromServer));
        let reply = match (delivery.reply, answer) {
            (ReplyKind::None, _) => {
                self.unanswered.push(in_flight.reply);
                return;
            }
            (ReplyKind::FromServer, Some(answer)) | (ReplyKind::Replaced(answer), _) => {
                wire::complete(answer)
            }
            (ReplyKind::Truncated, Some(mut answer)) => {
                answer.body.truncate(answer.body.len() / 2);
                wire::complete(answer)
            }
            _ => Err(wire::reset()),
        };
        self.send_reply(in_flight, reply, delivery.reply_delay, shown);
    }

    /// Sends a reply, which arrives after `reply_delay`.
    pub(crate) fn send_reply(
        &mut self,
        in_flight: InFlight,
        reply: Reply,
        reply_delay: u64,
        shown: Option<u64>,
    ) {
        self.schedule(
            self.now + reply_delay,
            Event::ReplyArrives(Box::new(in_flight), Box::new(reply), shown),
        );
    }

    /// The version that a read shows. `None` unless Leases are deleted in this scenario: only the check of recreation
    /// needs it.
    fn version_shown(&self, request: &Request) -> Option<u64> {
        if self.scenario.broken != BrokenAssumption::ManualEdits || request.verb != "get" {
            return None;
        }
        let lease = self.store.lease(&request.name)?;
        lease["metadata"]["resourceVersion"].as_str()?.parse().ok()
    }

    fn serve(&mut self, in_flight: &mut InFlight) -> Answer {
        if let Some(stale) = self.stale_answer(&in_flight.request) {
            self.causes.request_failed(in_flight.host, &in_flight.request.name, self.now);
            if stale.status == 404 {
                // The client sees this as a deletion by another process.
                self.causes.written(&in_flight.request.name, None, self.now);
            }
            return stale;
        }
        let before = self.store.version;
        let conditional = in_flight.request.is_conditional();
        let answer = api::carry_out(&mut self.store, self.now, &mut in_flight.request);
        self.print_request(in_flight, answer.status);
        if self.store.version > before {
            let commit = self.store.log.back().expect("just stored").clone();
            self.check_commit(&commit, in_flight, conditional);
        }
        answer
    }

    #[expect(clippy::print_stdout, reason = "the trace was asked for")]
    fn print_request(&self, in_flight: &InFlight, status: u16) {
        if self.print_trace {
            let Request { verb, name, .. } = &in_flight.request;
            let (at, sent_at, host) = (self.now / MS, in_flight.sent_at / MS, in_flight.host);
            let lease = self.store.lease(name).map(|lease| &***lease);
            let line = lease
                .and_then(|lease| lease["metadata"]["annotations"]["leasehold.dev/queue"].as_str());
            let line = line.unwrap_or_default();
            println!(
                "{at:>10} ms  host {host}: {verb} {name}, sent at {sent_at} ms: {status} {line}"
            );
        }
    }

    /// A stale response, as from a replica that lags. A real API server never gives one to a read without a version.
    fn stale_answer(&mut self, request: &Request) -> Option<Answer> {
        if self.scenario.broken != BrokenAssumption::StaleReads || self.faults_stopped_at.is_some()
        {
            return None;
        }
        if request.verb == "list" && self.scenario.sessions.is_some() {
            let lags = self.rng.chance(200).then(|| self.rng.between(1, 20))?;
            self.report.faults.count(Fault::StaleList);
            return Some(api::list(&self.store.before_the_last(lags), request));
        }
        if request.verb != "get" {
            return None;
        }
        let commit = self.store.last_commit(&request.name).filter(|_| self.rng.chance(60))?;
        let answer = match &commit.before {
            Some(before) => Answer::object(200, before),
            None => Answer::failure(404, "NotFound", &request.name),
        };
        self.report.faults.count(Fault::StaleRead);
        Some(answer)
    }

    /// The names of all Leases. The names are shared, so they stay valid after a compaction of the log.
    pub(crate) fn lease_names(&self) -> Vec<Arc<str>> {
        self.store.leases().map(|(name, _)| Arc::clone(name)).collect()
    }
}
