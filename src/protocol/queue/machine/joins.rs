//! Claims that are added without a condition on the rest of the record.

use std::sync::Arc;

use super::{
    Flight, LockMachine, Step, StoredLock, Wanted,
    unresolved::{Basis, Unresolved},
};
use crate::{
    protocol::{
        queue::{claim::Claim, record::Join},
        record::Nonce,
    },
    util::clock::Moment,
};

/// What the machine knows of joins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Joins {
    /// The record has another turn than the one that is known: a join shows it as well as a read does.
    pub(super) turned: bool,
    /// A write of this session let a claim wait that fits next to the holders: it joined meanwhile, and saw the lock held.
    pub(super) owed: bool,
    /// Others wrote the line between the last two claims of this session, so it is probably in use again.
    pub(super) contended: bool,
    /// The backend refuses requests that change parts of the record. They are tried again after this moment.
    pub(super) refused_until: Moment,
    /// The joined claims, in the order in which they were seen to come.
    arrivals: Vec<Nonce>,
}

impl Joins {
    pub(super) const NONE: Self = Self {
        turned: false,
        owed: false,
        contended: false,
        refused_until: Moment::from_nanos(0),
        arrivals: Vec::new(),
    };

    /// The backend refuses requests that change parts of the record.
    pub(super) fn are_refused(&self, now: Moment) -> bool {
        now < self.refused_until
    }
}

impl LockMachine {
    /// The backend refuses requests that change parts of a record: until then each write replaces the whole record.
    pub(crate) fn refuse_patches(&mut self, until: Moment) {
        self.joins.refused_until = until.max(self.joins.refused_until);
    }

    /// The request under way was such a request, and was refused: nothing of it was stored.
    pub(crate) fn patch_refused(&mut self, until: Moment) {
        self.refuse_patches(until);
        if self.is_patching() {
            self.flight = None;
        }
        // A leader states its token with the write that follows.
        for claim in self.claims.iter_mut().filter(|claim| claim.candidate.is_some()) {
            claim.state_at = Moment::from_nanos(0);
        }
    }

    /// The request under way changes parts of the record.
    pub(crate) const fn is_patching(&self) -> bool {
        matches!(self.flight, Some(Flight::Join(_) | Flight::Write { patch: true, .. }))
    }

    /// Joins a record that was changed since it was known: the answer shows it, so no read is necessary.
    pub(super) fn join_turned(&mut self, now: Moment) -> Option<Step> {
        if !std::mem::take(&mut self.joins.turned) || self.joins.are_refused(now) {
            return None;
        }
        let base = self.record().filter(|found| found.record.turn.is_some()).cloned()?;
        let waiting = self.claims.iter().filter(|claim| !claim.is_held() && claim.may_join());
        let first = base.record.line.first();
        let mixes = |claim: &&Wanted| first.is_none_or(|first| first.mode.mixes(claim.mode));
        let claims = waiting.filter(mixes).map(|claim| claim.of(&self.me));
        let claims: Vec<_> = claims.take(self.room(&base.record.line)).collect();
        (!claims.is_empty()).then(|| self.send_join(&base, claims))
    }

    pub(super) fn send_join(&mut self, base: &Arc<StoredLock>, claims: Vec<Claim>) -> Step {
        let nonces: Vec<_> = claims.iter().map(|claim| claim.nonce).collect();
        for claim in self.claims.iter_mut().filter(|claim| nonces.contains(&claim.nonce)) {
            claim.sent = true;
        }
        let epoch = base.record.turn.unwrap_or_default().epoch;
        let basis = Basis::Epoch { uid: Arc::clone(&base.version.uid), epoch };
        self.flight = Some(Flight::Join(Unresolved { basis, nonces }));
        Step::Join(Join { base: Arc::clone(base), epoch, claims })
    }

    /// Puts the joined claims into the order in which they were seen to come.
    pub(super) fn order_joined(&mut self, state: &mut Arc<StoredLock>) {
        let joined: Vec<_> = state.record.line.joined.iter().map(|claim| claim.nonce).collect();
        self.joins.arrivals.retain(|nonce| joined.contains(nonce));
        let new = joined.into_iter().filter(|nonce| !self.joins.arrivals.contains(nonce));
        let new: Vec<_> = new.collect();
        self.joins.arrivals.extend(new);
        if self.joins.arrivals.len() > 1 {
            Arc::make_mut(state).record.line.order_joined(&self.joins.arrivals);
        }
    }
}
