//! What a state of the record means, whether an answer, a watch or a list shows it.

use std::{num::NonZeroU64, sync::Arc};

use super::{Event, Known, LockMachine, Phase, Proof, StoredLock, stated};
use crate::{api::error::Loss, protocol::record::Nonce, util::clock::Moment};

impl LockMachine {
    /// A state from a watch or a list.
    pub(crate) fn seen(&mut self, now: Moment, mut state: Arc<StoredLock>) {
        let version = state.version.number.get();
        let filled = version == self.mark && matches!(self.known, Known::Nothing);
        if version < self.mark || version == self.mark && !filled {
            return;
        }
        let replaced = self.record().is_some_and(|known| known.version.uid != state.version.uid);
        self.mark = version;
        (self.outdated, self.unlabelled) = (false, false);
        (self.joins.owed, self.joins.turned) = (false, false);
        self.order_joined(&mut state);
        self.sights += 1;
        self.known_at = now;
        self.poll_at = None;
        self.unresolved.retain(|request| !request.basis.is_past(&state));
        let foreign = |state: &StoredLock| state.record.foreign.as_ref().map(|f| f.spec.clone());
        let before = self.record().and_then(|known| foreign(known));
        if foreign(&state) != before {
            self.foreign_since = now;
        }
        self.note_not_before(now, &state.record);
        let waits = self.spacing.is_some() && now < self.opens_at(&state.record);
        let proof = if waits { Proof::Later } else { Proof::None };
        let mut begun = Vec::new();
        for claim in &mut self.claims {
            let held = state.record.line.held(&self.me, claim.nonce);
            match (claim.phase, held) {
                (Phase::Waiting, Some(holder)) => {
                    claim.phase = Phase::Reserved { slot: holder.slot, proof };
                    // Without a time there is nothing to wait for.
                    if self.spacing.is_none() {
                        begun.push(claim.nonce);
                    }
                }
                (Phase::Reserved { .. } | Phase::Held { .. }, None) => {
                    let loss = match state.record.names(&self.me) {
                        _ if replaced => Loss::Deleted,
                        true => Loss::Altered,
                        false => Loss::Taken,
                    };
                    self.events.push(Event::Lost { nonce: claim.nonce, loss });
                }
                (Phase::Reserved { .. } | Phase::Held { .. }, Some(_)) if replaced => {
                    self.events.push(Event::Lost { nonce: claim.nonce, loss: Loss::Deleted });
                }
                _ => {}
            }
        }
        for nonce in begun {
            self.begin_tenure(now, nonce, state.version.number);
        }
        self.forget_lost();
        self.known = Known::Present(state);
    }

    /// The tenure of a reservation begins.
    pub(super) fn begin_tenure(&mut self, now: Moment, nonce: Nonce, token: NonZeroU64) {
        let Some(claim) = self.claims.iter_mut().find(|claim| claim.nonce == nonce) else { return };
        if let Phase::Reserved { slot, .. } = claim.phase {
            claim.phase = Phase::Held { token };
            claim.state_at = stated::first(now, &self.me, claim);
            self.events.push(Event::Granted { nonce, token, slot });
        }
    }

    /// An event says that no claim of this session holds the lock since this version: its label is gone, or the whole
    /// object. It shows the content before that, so the content is not known now.
    pub(crate) fn unlabelled(&mut self, version: NonZeroU64) {
        if version.get() <= self.mark {
            return;
        }
        self.mark = version.get();
        self.known = Known::Nothing;
        // Usually another session holds the record now. But a person may have removed the label alone, and then no other
        // event or list would show the claim that no caller wants (L6).
        self.unlabelled |= self.is_held();
        self.lose_held(Loss::Taken);
    }

    pub(super) fn lose_held(&mut self, loss: Loss) {
        for claim in self.claims.iter().filter(|claim| claim.is_held()) {
            self.events.push(Event::Lost { nonce: claim.nonce, loss });
        }
        self.forget_lost();
    }

    /// A lost tenure is never held again. If its claim is still in the record, the next write removes it.
    fn forget_lost(&mut self) {
        let lost: Vec<_> = self.events.iter().filter_map(Event::lost).collect();
        self.claims.retain(|claim| !lost.contains(&claim.nonce));
    }
}
