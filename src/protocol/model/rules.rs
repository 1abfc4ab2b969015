//! What must be true of each belief that begins and of each write that is stored.

use super::world::{Request, World};
use crate::protocol::record::{Record, Versioned, Write, WriteKind};

/// A law that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Violation {
    /// A tenure begins with a token that is not the version of a claim of its own, or has begun before, or is
    /// smaller than one before.
    Token,
    /// A record that another holds is freed, or taken before it was unchanged for its own time to live.
    Takeover,
    /// Whoever knew that another held the record makes a new one sooner than that one's time to live after its deletion.
    Create,
    /// A tenure begins that nobody wants.
    Unwanted,
}

impl World {
    /// What this contender holds with has changed.
    pub(super) fn check_begin(&mut self, at: usize) {
        let contender = &mut self.contenders[at];
        let Some(token) = contender.held_token else { return };
        let claim =
            contender.claim_versions.iter().position(|&claim_versions| claim_versions == token);
        let grows = token > self.last_token || self.deleted;
        self.last_token = self.last_token.max(token);
        match claim {
            Some(claim) if grows => _ = contender.claim_versions.remove(claim),
            _ => self.violation = Some(Violation::Token),
        }
        if !self.contenders[at].wanted {
            self.violation = Some(Violation::Unwanted);
        }
    }

    /// This contender is about to learn what the record is, or was.
    pub(super) fn note_observed(&mut self, at: usize, found: &Versioned) {
        let now = self.now(at);
        let contender = &mut self.contenders[at];
        if found.version.number.get() < contender.machine.status(now).highest {
            return;
        }
        contender.foreign_ttl =
            is_anothers(contender.seed, &found.record).then(|| found.record.lives());
    }

    /// This write is about to be stored.
    pub(super) fn check_commit(&mut self, request: &Request, write: &Write) {
        let waited =
            self.time_at(request.from, request.sent) - self.time_at(request.from, self.since);
        let claims = write.kind == WriteKind::Claim;
        let violation = match &self.record {
            Some(found) if is_anothers(request.seed, &found.record) => {
                (!claims || waited < found.record.lives()).then_some(Violation::Takeover)
            }
            Some(_) => None,
            None => request
                .foreign_ttl
                .filter(|&lives| claims && self.deleted && waited < lives)
                .map(|_| Violation::Create),
        };
        self.violation = self.violation.or(violation);
        let contender = &mut self.contenders[request.from];
        if claims && contender.seed == request.seed {
            contender.claim_versions.push(self.version + 1);
        }
    }
}

/// Held, and not by a write of this life of this process.
fn is_anothers(seed: u64, record: &Record) -> bool {
    !record.is_free() && record.nonce.is_none_or(|nonce| nonce.machine != seed)
}
