//! The plan for one request: how long it travels, whether the server carries it out, and which reply comes back.

use crate::{
    api::{Answer, Request},
    faults::Fault,
    scenario::{MS, SEC},
    world::{InFlight, World},
};

/// Which reply reaches the client.
#[derive(Clone, Debug)]
pub(crate) enum ReplyKind {
    FromServer,
    None,
    Reset,
    Truncated,
    Replaced(Answer),
}

/// The longest delay of a request or a reply without a fault.
const USUAL_DELAY: u64 = 20 * MS;

/// How one request travels.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) request_delay: u64,
    pub(crate) carried_out: bool,
    pub(crate) reply: ReplyKind,
    pub(crate) reply_delay: u64,
    /// An admission webhook has passed the write, or need not.
    pub(crate) admitted: bool,
}

impl Delivery {
    pub(crate) fn is_faulty(&self) -> bool {
        let as_usual = self.carried_out && matches!(self.reply, ReplyKind::FromServer);
        !as_usual || self.request_delay > USUAL_DELAY || self.reply_delay > USUAL_DELAY
    }
}

impl World {
    pub(crate) fn plan_delivery(&mut self, at: u64, in_flight: &InFlight) -> Delivery {
        let mut delivery = Delivery {
            request_delay: self.rng.between(MS, USUAL_DELAY),
            carried_out: true,
            reply: ReplyKind::FromServer,
            reply_delay: self.rng.between(MS, USUAL_DELAY),
            admitted: false,
        };
        if self.faults_stopped_at.is_some() {
            return delivery;
        }
        let host = &self.hosts[in_flight.host];
        if at < host.cut_from {
            delivery.reply_delay = self.rng.between(200 * MS, 1600 * MS);
            self.report.faults.count(Fault::SlowReply);
        } else if host.is_cut(at) || at < self.server_down_until {
            // There is no connection, or a half-open one.
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
}
