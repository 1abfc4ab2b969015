//! The rules that each tenure that begins and each write that is stored must follow.

use std::num::NonZeroU64;

use super::{
    process::Caller,
    store::{SessionWrite, StoredSession},
    world::World,
};
use crate::protocol::{
    queue::{
        claim::{Claim, Mode},
        record::StoredLock,
    },
    record::Nonce,
    session::SessionId,
};

/// A violated rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Violation {
    /// A tenure began with a token that is older than its own grant, or not older than a later grant, or older than a
    /// state that its process had seen.
    Token,
    /// A claim overtook another one, or was removed by another session than its own, although its session is alive; or
    /// two holders exclude each other.
    Order,
    /// A session was ended by another process while its owner counted on it.
    Ended,
    /// A session that was over, or missing, was written again by its owner.
    Revived,
}

/// A claim that became a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    nonce: Nonce,
    mode: Mode,
    version: u64,
}

impl World {
    /// How many of the two processes believe to hold the lock and exclude each other, each by its own clock.
    pub(super) fn has_two_holders(&self) -> bool {
        let [one, two] = &self.processes;
        let both = one.believes().is_some() && two.believes().is_some();
        both && excludes(one.mode, two.mode)
    }

    /// Each process that believes to hold the lock is a holder in the record.
    pub(super) fn believers_are_holders(&self) -> bool {
        self.processes.iter().all(|process| {
            process.believes().is_none_or(|nonce| {
                let line = self.store.lock.as_ref().map(|stored| &stored.record.line);
                line.is_some_and(|line| line.held(process.heartbeat.id(), nonce).is_some())
            })
        })
    }

    fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// Checks the tenures that began in the last step of this process.
    pub(super) fn check_begun(&mut self, at: usize) {
        let begun = std::mem::take(&mut self.processes[at].begun);
        for (nonce, token) in begun {
            self.check_begin(nonce, token);
        }
        if self.processes[at].outdated {
            self.violated(Violation::Token);
        }
    }

    /// A tenure begins: its token lies between its own grant and the next one that excludes it.
    fn check_begin(&mut self, nonce: Nonce, token: NonZeroU64) {
        let token = token.get();
        // After a deletion of the lock, a claim may be granted again.
        let is_own = |grant: &Grant| grant.nonce == nonce && grant.version <= token;
        let own = self.grants.iter().rposition(is_own);
        let fits = own.is_some_and(|own| {
            let (grant, later) = (self.grants[own], &self.grants[own + 1..]);
            let next = later.iter().find(|one| excludes(one.mode, grant.mode));
            next.is_none_or(|next| token < next.version)
        });
        if !fits {
            self.violated(Violation::Token);
        }
    }

    /// The grants before the first one that a caller still waits for have no consequences.
    pub(super) fn forget_grants(&mut self) {
        let waits = |nonce: Nonce| {
            let waits = |caller| matches!(caller, Caller::Waiting(own) | Caller::Granted(own, _) if own == nonce);
            self.processes.iter().any(|process| waits(process.caller))
        };
        let first = self.grants.iter().position(|grant| waits(grant.nonce));
        self.grants.drain(..first.unwrap_or(self.grants.len()));
    }

    /// This write of the lock was stored.
    pub(super) fn check_lock(
        &mut self,
        writer: &SessionId,
        before: Option<&StoredLock>,
        after: &StoredLock,
    ) {
        let claims = |stored: &StoredLock| -> Vec<Claim> {
            let line = &stored.record.line;
            let holders = line.holders.iter().map(|holder| holder.claim.clone());
            holders.chain(line.waiting().cloned()).collect()
        };
        let (old, new) = (before.map(claims).unwrap_or_default(), claims(after));
        let may_remove =
            |claim: &Claim| claim.session == *writer || self.over.contains(&claim.session);
        let (kept, removed): (Vec<_>, Vec<_>) = old.iter().partition(|claim| new.contains(claim));
        let added = new.iter().filter(|claim| !old.contains(claim));
        let expected: Vec<_> = kept.into_iter().chain(added.clone()).collect();
        let line = &after.record.line;
        let alone = line.holders.len() == 1
            || line.holders.iter().all(|holder| holder.claim.mode != Mode::Exclusive);
        let fits = new.iter().collect::<Vec<_>>() == expected
            && removed.into_iter().all(may_remove)
            && added.into_iter().all(|claim| claim.session == *writer)
            && alone;
        let held_before = |nonce: Nonce| {
            before.is_some_and(|stored| {
                stored.record.line.holders.iter().any(|holder| holder.claim.nonce == nonce)
            })
        };
        let version = after.version.number.get();
        for holder in &line.holders {
            let Claim { nonce, mode, .. } = holder.claim;
            if !held_before(nonce) {
                self.grants.push(Grant { nonce, mode, version });
            }
        }
        if !fits {
            self.violated(Violation::Order);
        }
    }

    /// This write of a session's record was stored.
    pub(super) fn check_session(
        &mut self,
        before: Option<&StoredSession>,
        write: &SessionWrite,
        owner: bool,
    ) {
        let ended = before.is_some_and(|before| before.record.is_over());
        let created = self.created.get(&write.id);
        // Created for the second time, or another object than the one that was created.
        let again = created
            .is_some_and(|uid| write.base.as_ref().is_none_or(|base| base.version.uid != *uid));
        let owners = self.processes.iter().filter(|one| *one.heartbeat.id() == write.id);
        let counted = owners
            .into_iter()
            .any(|one| one.heartbeat.is_created() && one.clock < one.heartbeat.validity());
        if owner && (ended || again) {
            self.violated(Violation::Revived);
        }
        if !owner && write.record.is_over() && counted {
            self.violated(Violation::Ended);
        }
    }
}

/// Claims of the two modes cannot both hold the lock.
fn excludes(one: Mode, two: Mode) -> bool {
    one == Mode::Exclusive || two == Mode::Exclusive
}
