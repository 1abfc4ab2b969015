//! What becomes of a request on its way, and of its answer.

use std::sync::Arc;

use crate::{
    api::{self, Answer, Request},
    checks::{
        Violation, foreign_fields,
        recreation::Creation,
        takeover::{PreviousRecord, Write},
    },
    faults::Fault,
    scenario::{BrokenAssumption, ELECTION, LOCKS, MS, SEC},
    store::Commit,
    wire::{self, Reply},
    world::{Event, InFlight, World},
};

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum ReplyKind {
    FromServer,
    None,
    Reset,
    Truncated,
    Replaced(Answer),
}

/// How long a request or an answer is on its way, at most, where nothing goes wrong.
const USUAL_DELAY: u64 = 20 * MS;
/// For how long somebody waits for an answer, at the very most.
const MAX_WAIT: u64 = 5 * SEC;

/// What is to become of one request.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    request_delay: u64,
    carried_out: bool,
    reply: ReplyKind,
    reply_delay: u64,
}

impl Delivery {
    fn is_faulty(&self) -> bool {
        let answer = self.carried_out && matches!(self.reply, ReplyKind::FromServer);
        !answer || self.request_delay > USUAL_DELAY || self.reply_delay > USUAL_DELAY
    }
}

impl World {
    /// A request leaves its host.
    pub(crate) fn send_request(&mut self, at: u64, in_flight: InFlight) {
        let delivery = self.plan_delivery(at, &in_flight);
        let arrives = at + delivery.request_delay;
        if delivery.is_faulty() && !matches!(in_flight.request.verb, "list" | "watch") {
            let until = arrives + delivery.reply_delay + MAX_WAIT;
            self.causes.request_failed(in_flight.host, &in_flight.request.name, until);
        }
        self.schedule(arrives, Event::RequestArrives(Box::new(in_flight), delivery));
    }

    fn plan_delivery(&mut self, at: u64, in_flight: &InFlight) -> Delivery {
        let mut delivery = Delivery {
            request_delay: self.rng.between(MS, USUAL_DELAY),
            carried_out: true,
            reply: ReplyKind::FromServer,
            reply_delay: self.rng.between(MS, USUAL_DELAY),
        };
        if self.faults_stopped_at.is_some() {
            return delivery;
        }
        let host = &self.hosts[in_flight.host];
        if at < host.cut_from {
            delivery.reply_delay = self.rng.between(200 * MS, 1600 * MS);
            self.report.faults.count(Fault::SlowReply);
        } else if host.is_cut(at) || at < self.server_down_until {
            // No connection, or one that is half open.
            delivery.carried_out = false;
            delivery.reply = if self.rng.chance(500) { ReplyKind::None } else { ReplyKind::Reset };
        } else if self.rng.chance(self.scenario.request_fault_rate) {
            self.inject_request_fault(&mut delivery, &in_flight.request);
        } else if in_flight.request.is_renewal()
            && self.rng.chance(self.scenario.request_fault_rate / 4)
        {
            self.report.faults.count(Fault::Severed);
            delivery.reply_delay = self.rng.between(400 * MS, 1500 * MS);
            self.sever(in_flight.host, at + delivery.request_delay + delivery.reply_delay);
        }
        delivery
    }

    fn inject_request_fault(&mut self, delivery: &mut Delivery, request: &Request) {
        let name = request.name.as_str();
        let status = |status, reason| ReplyKind::Replaced(Answer::failure(status, reason, name));
        let (fault, carried_out, reply) = match self.rng.below(20) {
            0 | 1 => (Fault::RequestLost, false, ReplyKind::None),
            2..5 => (Fault::ReplyLost, true, ReplyKind::None),
            5 => (Fault::ResetBefore, false, ReplyKind::Reset),
            6 | 7 => (Fault::ResetAfter, true, ReplyKind::Reset),
            8 => (Fault::Unauthorized, false, status(401, "Unauthorized")),
            9 => (Fault::Forbidden, false, status(403, "Forbidden")),
            10 if request.verb == "update" => {
                (Fault::SpuriousConflict, false, status(409, "Conflict"))
            }
            10 | 11 => {
                let mut answer = Answer::failure(429, "TooManyRequests", name);
                answer.retry_after = Some(self.rng.between(1, 4));
                (Fault::TooMany, false, ReplyKind::Replaced(answer))
            }
            12 => (Fault::LeaderChanged, self.rng.chance(500), status(500, "InternalError")),
            13 => (Fault::Unavailable, false, status(503, "ServiceUnavailable")),
            14 => (Fault::TimedOut, false, status(504, "Timeout")),
            15 => (Fault::TimedOutAfterCommit, true, status(504, "Timeout")),
            16 => {
                delivery.request_delay = self.rng.between(100 * MS, 2 * SEC);
                (Fault::SlowRequest, true, ReplyKind::FromServer)
            }
            17 => {
                delivery.request_delay = self.rng.between(2 * SEC, 40 * SEC);
                (Fault::Zombie, true, ReplyKind::FromServer)
            }
            18 => {
                delivery.reply_delay = self.rng.between(100 * MS, 3 * SEC);
                (Fault::SlowReply, true, ReplyKind::FromServer)
            }
            _ => (Fault::Garbled, true, ReplyKind::Truncated),
        };
        self.report.faults.count(fault);
        delivery.carried_out = carried_out;
        delivery.reply = reply;
    }

    /// A request arrives at the server, whoever still waits for it.
    pub(crate) fn deliver(&mut self, mut in_flight: InFlight, delivery: Delivery) {
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
        let replied = match (delivery.reply, answer) {
            (ReplyKind::None, _) => {
                self.unanswered.push(in_flight.reply);
                return;
            }
            (ReplyKind::FromServer, Some(answer)) => wire::complete(answer),
            (ReplyKind::Truncated, Some(mut answer)) => {
                answer.body.truncate(answer.body.len() / 2);
                wire::complete(answer)
            }
            (ReplyKind::Replaced(answer), _) => wire::complete(answer),
            _ => Err(wire::reset()),
        };
        self.send_reply(in_flight, replied, delivery.reply_delay, shown);
    }

    /// An answer is on its way.
    pub(crate) fn send_reply(
        &mut self,
        in_flight: InFlight,
        replied: Reply,
        reply_delay: u64,
        shown: Option<u64>,
    ) {
        self.schedule(
            self.now + reply_delay,
            Event::ReplyArrives(Box::new(in_flight), Box::new(replied), shown),
        );
    }

    /// The version that a read is told of, where Leases are deleted and no replica lags.
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
                // It is told as somebody else's deletion.
                self.causes.written(&in_flight.request.name, None, self.now);
            }
            return stale;
        }
        let before = self.store.version;
        let conditional = in_flight.request.is_conditional();
        let answer = api::carry_out(&mut self.store, self.now, &mut in_flight.request);
        if self.store.version > before {
            let commit = self.store.log.back().expect("just stored").clone();
            self.check_commit(&commit, in_flight, conditional);
        }
        answer
    }

    /// What a replica says that lags behind: no real server does, to a read that names no version.
    fn stale_answer(&mut self, request: &Request) -> Option<Answer> {
        if self.scenario.broken != BrokenAssumption::StaleReads
            || self.faults_stopped_at.is_some()
            || request.verb != "get"
        {
            return None;
        }
        let former = self.store.last_commit(&request.name).filter(|_| self.rng.chance(60))?;
        let answer = match &former.before {
            Some(before) => Answer::object(200, before),
            None => Answer::failure(404, "NotFound", &request.name),
        };
        self.report.faults.count(Fault::StaleRead);
        Some(answer)
    }

    /// Checks one of our own writes.
    fn check_commit(&mut self, commit: &Commit, in_flight: &InFlight, conditional: bool) {
        self.trace(commit.version);
        let holder = |lease: &serde_json::Value| {
            lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
        };
        let after = commit.after.as_ref().map(|after| holder(after)).unwrap_or_default();
        let before = commit.before.as_ref().map(|before| PreviousRecord {
            holder: holder(before),
            ttl: before["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(15),
            since: commit.since,
        });
        let acquires = !after.is_empty()
            && commit.after.as_ref().is_some_and(|after| {
                let annotation = after["metadata"]["annotations"]["leasehold.dev/tenure"].as_str();
                annotation.is_some_and(|annotation| !annotation.contains("\"token\""))
            });
        if acquires {
            self.tokens.acquired(
                (in_flight.host, in_flight.incarnation),
                &commit.name,
                commit.version,
            );
            self.causes.acquired(commit.version, self.now);
        }
        let write = Write {
            identity: &in_flight.identity,
            rate: in_flight.rate,
            sent_at: in_flight.sent_at,
            conditional,
            before,
            holder: &after,
        };
        let found: Option<Violation> = write.check();
        let altered = commit.before.as_ref().zip(commit.after.as_ref());
        let altered = altered.and_then(|(before, after)| foreign_fields::check(before, after));
        self.causes.written(&commit.name, Some((in_flight.host, in_flight.incarnation)), self.now);
        self.report_violation(found.or(altered));
        self.check_creation(commit, in_flight);
    }

    fn check_creation(&mut self, commit: &Commit, in_flight: &InFlight) {
        // A candidate's own record excludes nobody: what was known of it is not kept.
        let excludes = LOCKS.contains(&&*commit.name) || *commit.name == *ELECTION;
        if commit.before.is_none() && excludes {
            let found = self.recreation.created(&Creation {
                name: &commit.name,
                by: (in_flight.host, in_flight.incarnation),
                identity: &in_flight.identity,
                rate: in_flight.rate,
                sent_at: in_flight.sent_at,
            });
            self.report_violation(found);
        }
        self.record_stored(commit);
    }

    pub(crate) fn record_stored(&mut self, commit: &Commit) {
        let Some(spec) = commit.after.as_ref().map(|after| &after["spec"]) else { return };
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let ttl = spec["leaseDurationSeconds"].as_u64().unwrap_or(15);
        self.recreation.stored(&commit.name, commit.version, holder, ttl);
    }

    /// Takes a name that may outlive the log.
    pub(crate) fn lease_names(&self) -> Vec<Arc<str>> {
        self.store.leases().map(|(name, _)| Arc::clone(name)).collect()
    }
}
