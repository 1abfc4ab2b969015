//! What a session states in the record for others to read: its candidates, and the tokens of its tenures.
//!
//! No other session can state a token. A session that saw its grant late has the version of a later state as its token,
//! and a wrong token is worse than none.

use super::{LockMachine, MANY, StoredLock, Wanted, part};
use crate::{
    protocol::{queue::line::Line, session::SessionId},
    util::clock::Moment,
};

/// When the token of a claim that was granted `now` is stated with a write of its own. Within a third of the ttl most
/// locks are released, and cost no write for that; without a session the token is known as late. A leader states it at
/// once, because there is one write for each election. Holders that were granted by one write do not write at one instant.
pub(super) fn first(now: Moment, me: &SessionId, claim: &Wanted) -> Moment {
    let third = me.ttl() / 3;
    if claim.candidate.is_some() { now } else { now + third + part(third, claim.nonce.0 >> 48) }
}

impl LockMachine {
    /// Describes the candidates that made this session's claims.
    pub(super) fn describe_candidates(&self, line: &mut Line) {
        for claim in &self.claims {
            if let Some(candidate) = &claim.candidate {
                line.describe(&self.me, claim.nonce, candidate);
            }
        }
        line.forget_absent();
    }

    /// States the tokens of this session's tenures.
    pub(super) fn state_tokens(&self, line: &mut Line) {
        for claim in &self.claims {
            if let Some(token) = claim.token() {
                line.state_token(&self.me, claim.nonce, token);
            }
        }
    }

    /// When the next token is stated with a write of its own.
    pub(super) fn state_at(&self) -> Moment {
        let Some(found) = self.record() else { return Moment::NEVER };
        let few = self.held <= MANY as usize;
        let unstated = self.claims.iter().filter(|claim| {
            let stated = found.record.line.token(claim.nonce);
            (few || claim.candidate.is_some()) && claim.is_held() && claim.token() != stated
        });
        unstated.map(|claim| claim.state_at).min().unwrap_or(Moment::NEVER)
    }

    /// Whether a write of `line` only states tokens, and those of locks.
    pub(super) fn is_informing(&self, now: Moment, base: Option<&StoredLock>, line: &Line) -> bool {
        let led = self.claims.iter().any(|claim| claim.candidate.is_some());
        self.state_at() <= now
            && !led
            && base.is_some_and(|base| base.record.line.differs_in_tokens_only(line))
    }

    /// The write under way was not stored. A leader states its token with its next write, which has pauses of its own. A
    /// lock does so if another write only came first: `informs` if the write had no other purpose.
    pub(super) fn tokens_not_stored(&mut self, now: Moment, random: u64, informs: bool) {
        let longest = self.me.ttl() / 3 * (1 << self.conflicts.min(6));
        let again = now + longest / 2 + part(longest / 2, random);
        for claim in self.claims.iter_mut().filter(|claim| claim.is_held()) {
            match claim.candidate {
                Some(_) => claim.state_at = now,
                None if informs => claim.state_at = again,
                None => {}
            }
        }
    }

    /// A write that states tokens is on its way. If it fails, that of a lock has time: a held lock costs few requests also
    /// when all writes fail.
    pub(super) fn tokens_sent(&mut self, now: Moment) {
        let (soon, later) = (now + self.me.ttl() / 3, now + self.me.ttl() * 10);
        for claim in self.claims.iter_mut().filter(|claim| claim.is_held()) {
            claim.state_at = if claim.candidate.is_some() { soon } else { later };
        }
    }
}
