//! The rules that each tenure that begins and each write that is stored must follow.

use super::{
    requests::Request,
    world::{World, writer},
};
use crate::protocol::record::{Record, Versioned, Write, WriteKind};

/// A violated rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Violation {
    /// A tenure began with a token that is not the version of its own claim, is not new, or is smaller than an earlier
    /// one.
    Token,
    /// The record of another holder was freed, or claimed before it was unchanged for its own ttl.
    Takeover,
    /// A contender that knew the record of another holder created it sooner than the ttl of that record after its
    /// deletion.
    Create,
    /// A tenure began for a contender that does not want one.
    Unwanted,
    /// A tenure began with a claim although the contender has found no record since it sent that claim, and at or after
    /// the version of that claim.
    Gone,
}

impl World {
    /// The token of this contender has changed: checks the tenure that began, if any.
    pub(super) fn check_begin(&mut self, at: usize) {
        let contender = &mut self.contenders[at];
        let Some(token) = contender.held_token else { return };
        let claim = contender.claim_versions.iter().position(|&version| version == token);
        let grows = token > self.last_token || self.deleted;
        self.last_token = self.last_token.max(token);
        match claim {
            Some(claim) if grows => _ = contender.claim_versions.remove(claim),
            _ => self.violation = Some(Violation::Token),
        }
        if !self.contenders[at].wanted {
            self.violation = Some(Violation::Unwanted);
        }
        if token <= self.contenders[at].absent_at {
            self.violation = Some(Violation::Gone);
        }
    }

    /// This contender is about to see a state of the record: notes the ttl if another process holds it.
    pub(super) fn note_observed(&mut self, at: usize, found: &Versioned) {
        let now = self.now(at);
        let contender = &mut self.contenders[at];
        if found.version.number.get() < contender.machine.status(now).highest {
            return;
        }
        contender.foreign_ttl =
            is_foreign(contender.seed, &found.record).then(|| found.record.lives());
    }

    /// This write is about to be stored: checks that it may be.
    pub(super) fn check_commit(&mut self, request: &Request, write: &Write) {
        let waited =
            self.time_at(request.from, request.sent) - self.time_at(request.from, self.since);
        let claims = write.kind == WriteKind::Claim;
        let violation = match &self.record {
            Some(found) if is_foreign(request.seed, &found.record) => {
                (!claims || waited < found.record.lives()).then_some(Violation::Takeover)
            }
            Some(_) => None,
            None => request
                .foreign_ttl
                .filter(|&ttl| claims && self.deleted && waited < ttl)
                .map(|_| Violation::Create),
        };
        self.violation = self.violation.or(violation);
        let contender = &mut self.contenders[request.from];
        if claims && contender.seed == request.seed {
            contender.claim_versions.push(self.version + 1);
        }
    }
}

/// The record is held, and no machine with this seed wrote it.
fn is_foreign(seed: u64, record: &Record) -> bool {
    !record.is_free() && record.nonce.is_none_or(|nonce| writer(nonce) != seed)
}
