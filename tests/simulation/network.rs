//! What becomes of a request on its way, and of its answer.

use std::sync::Arc;

use crate::{
    api::{self, Answer, Request},
    checks::{
        Violation, foreign_fields,
        recreation::Creation,
        takeover::{Before, Change},
    },
    faults::Fault,
    scenario::{Broken, ELECTION, LOCKS, MS, SEC},
    store::Commit,
    wire::{self, Replied},
    world::{Event, Parcel, World},
};

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Back {
    Own,
    Never,
    Reset,
    Garbled,
    Is(Answer),
}

/// How long a request or an answer is on its way, at most, where nothing goes wrong.
const USUAL: u64 = 20 * MS;
/// For how long somebody waits for an answer, at the very most.
const UNANSWERED: u64 = 5 * SEC;

/// What is to become of one request.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    delay: u64,
    carried_out: bool,
    back: Back,
    late: u64,
}

impl Fate {
    fn is_trouble(&self) -> bool {
        let own = self.carried_out && matches!(self.back, Back::Own);
        !own || self.delay > USUAL || self.late > USUAL
    }
}

impl World {
    /// A request leaves its host.
    pub(crate) fn leave(&mut self, at: u64, parcel: Parcel) {
        let fate = self.fate(at, &parcel);
        let arrives = at + fate.delay;
        if fate.is_trouble() && !matches!(parcel.request.verb, "list" | "watch") {
            let until = arrives + fate.late + UNANSWERED;
            self.causes.request_failed(parcel.host, &parcel.request.name, until);
        }
        self.at(arrives, Event::Arrive(Box::new(parcel), fate));
    }

    fn fate(&mut self, at: u64, parcel: &Parcel) -> Fate {
        let mut fate = Fate {
            delay: self.rng.between(MS, USUAL),
            carried_out: true,
            back: Back::Own,
            late: self.rng.between(MS, USUAL),
        };
        if self.calm.is_some() {
            return fate;
        }
        let host = &self.hosts[parcel.host];
        if at < host.cut_from {
            fate.late = self.rng.between(200 * MS, 1600 * MS);
            self.report.faults.hit(Fault::SlowReply);
        } else if host.is_cut(at) || at < self.down_until {
            // No connection, or one that is half open.
            fate.carried_out = false;
            fate.back = if self.rng.chance(500) { Back::Never } else { Back::Reset };
        } else if self.rng.chance(self.scene.faulty) {
            self.meet(&mut fate, &parcel.request);
        } else if parcel.request.renews() && self.rng.chance(self.scene.faulty / 4) {
            self.report.faults.hit(Fault::Severed);
            fate.late = self.rng.between(400 * MS, 1500 * MS);
            self.sever(parcel.host, at + fate.delay + fate.late);
        }
        fate
    }

    fn meet(&mut self, fate: &mut Fate, request: &Request) {
        let name = request.name.as_str();
        let status = |status, reason| Back::Is(Answer::failure(status, reason, name));
        let (fault, carried_out, back) = match self.rng.below(20) {
            0 | 1 => (Fault::RequestLost, false, Back::Never),
            2..5 => (Fault::ReplyLost, true, Back::Never),
            5 => (Fault::ResetBefore, false, Back::Reset),
            6 | 7 => (Fault::ResetAfter, true, Back::Reset),
            8 => (Fault::Unauthorized, false, status(401, "Unauthorized")),
            9 => (Fault::Forbidden, false, status(403, "Forbidden")),
            10 if request.verb == "update" => {
                (Fault::SpuriousConflict, false, status(409, "Conflict"))
            }
            10 | 11 => {
                let mut answer = Answer::failure(429, "TooManyRequests", name);
                answer.retry_after = Some(self.rng.between(1, 4));
                (Fault::TooMany, false, Back::Is(answer))
            }
            12 => (Fault::LeaderChanged, self.rng.chance(500), status(500, "InternalError")),
            13 => (Fault::Unavailable, false, status(503, "ServiceUnavailable")),
            14 => (Fault::TimedOut, false, status(504, "Timeout")),
            15 => (Fault::TimedOutAfterCommit, true, status(504, "Timeout")),
            16 => {
                fate.delay = self.rng.between(100 * MS, 2 * SEC);
                (Fault::SlowRequest, true, Back::Own)
            }
            17 => {
                fate.delay = self.rng.between(2 * SEC, 40 * SEC);
                (Fault::Zombie, true, Back::Own)
            }
            18 => {
                fate.late = self.rng.between(100 * MS, 3 * SEC);
                (Fault::SlowReply, true, Back::Own)
            }
            _ => (Fault::Garbled, true, Back::Garbled),
        };
        self.report.faults.hit(fault);
        fate.carried_out = carried_out;
        fate.back = back;
    }

    /// A request arrives at the server, whoever still waits for it.
    pub(crate) fn arrive(&mut self, mut parcel: Parcel, fate: Fate) {
        self.note(parcel.request.verb.len() as u64 ^ (parcel.host as u64) << 8);
        let outdated = self.is_outdated(&parcel);
        self.found(outdated);
        if parcel.request.verb == "watch" && matches!(fate.back, Back::Own) && fate.carried_out {
            return self.begin_watch(parcel, fate.late);
        }
        let carried_out = fate.carried_out && parcel.request.verb != "watch";
        let own = carried_out.then(|| self.serve(&mut parcel));
        let told = self.told(&parcel.request).filter(|_| matches!(fate.back, Back::Own));
        let replied = match (fate.back, own) {
            (Back::Never, _) => {
                self.hung.push(parcel.reply);
                return;
            }
            (Back::Own, Some(own)) => wire::whole(own),
            (Back::Garbled, Some(mut own)) => {
                own.body.truncate(own.body.len() / 2);
                wire::whole(own)
            }
            (Back::Is(answer), _) => wire::whole(answer),
            _ => Err(wire::reset()),
        };
        self.back(parcel, replied, fate.late, told);
    }

    /// An answer is on its way.
    pub(crate) fn back(&mut self, parcel: Parcel, replied: Replied, late: u64, told: Option<u64>) {
        self.at(self.now + late, Event::Answer(Box::new(parcel), Box::new(replied), told));
    }

    /// The version that a read is told of, where Leases are deleted and no replica lags.
    fn told(&self, request: &Request) -> Option<u64> {
        if self.scene.broken != Broken::ByHand || request.verb != "get" {
            return None;
        }
        let lease = self.store.lease(&request.name)?;
        lease["metadata"]["resourceVersion"].as_str()?.parse().ok()
    }

    fn serve(&mut self, parcel: &mut Parcel) -> Answer {
        if let Some(stale) = self.stale(&parcel.request) {
            self.causes.request_failed(parcel.host, &parcel.request.name, self.now);
            if stale.status == 404 {
                // It is told as somebody else's deletion.
                self.causes.written(&parcel.request.name, None, self.now);
            }
            return stale;
        }
        let before = self.store.version;
        let conditional = parcel.request.is_conditional();
        let answer = api::carry_out(&mut self.store, self.now, &mut parcel.request);
        if self.store.version > before {
            let commit = self.store.log.back().expect("just stored").clone();
            self.look_at(&commit, parcel, conditional);
        }
        answer
    }

    /// What a replica says that lags behind: no real server does, to a read that names no version.
    fn stale(&mut self, request: &Request) -> Option<Answer> {
        if self.scene.broken != Broken::Reads || self.calm.is_some() || request.verb != "get" {
            return None;
        }
        let former = self.store.former(&request.name).filter(|_| self.rng.chance(60))?;
        let answer = match &former.before {
            Some(before) => Answer::object(200, before),
            None => Answer::failure(404, "NotFound", &request.name),
        };
        self.report.faults.hit(Fault::StaleRead);
        Some(answer)
    }

    /// Checks one of our own writes.
    fn look_at(&mut self, commit: &Commit, parcel: &Parcel, conditional: bool) {
        self.note(commit.version);
        let holder = |lease: &serde_json::Value| {
            lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
        };
        let after = commit.after.as_ref().map(|after| holder(after)).unwrap_or_default();
        let before = commit.before.as_ref().map(|before| Before {
            holder: holder(before),
            lives: before["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(15),
            since: commit.since,
        });
        let acquires = !after.is_empty()
            && commit.after.as_ref().is_some_and(|after| {
                let mark = after["metadata"]["annotations"]["leasehold.dev/tenure"].as_str();
                mark.is_some_and(|mark| !mark.contains("\"token\""))
            });
        if acquires {
            self.tokens.claimed((parcel.host, parcel.life), &commit.name, commit.version);
            self.causes.claimed(commit.version, self.now);
        }
        let change = Change {
            me: &parcel.identity,
            rate: parcel.rate,
            sent: parcel.sent,
            conditional,
            before,
            holder: &after,
        };
        let found: Option<Violation> = change.check();
        let altered = commit.before.as_ref().zip(commit.after.as_ref());
        let altered = altered.and_then(|(before, after)| foreign_fields::check(before, after));
        self.causes.written(&commit.name, Some((parcel.host, parcel.life)), self.now);
        self.found(found.or(altered));
        self.created_anew(commit, parcel);
    }

    fn created_anew(&mut self, commit: &Commit, parcel: &Parcel) {
        // A candidate's own record excludes nobody: what was known of it is not kept.
        let excludes = LOCKS.contains(&&*commit.name) || *commit.name == *ELECTION;
        if commit.before.is_none() && excludes {
            let found = self.recreation.created(&Creation {
                name: &commit.name,
                by: (parcel.host, parcel.life),
                me: &parcel.identity,
                rate: parcel.rate,
                sent: parcel.sent,
            });
            self.found(found);
        }
        self.stored_anew(commit);
    }

    pub(crate) fn stored_anew(&mut self, commit: &Commit) {
        let Some(spec) = commit.after.as_ref().map(|after| &after["spec"]) else { return };
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let lives = spec["leaseDurationSeconds"].as_u64().unwrap_or(15);
        self.recreation.stored(&commit.name, commit.version, holder, lives);
    }

    /// Takes a name that may outlive the log.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.store.leases().map(|(name, _)| Arc::clone(name)).collect()
    }
}
