//! The rules that each tenure that begins and each write that is stored must follow.

use super::{
    process::{Caller, Process, Tenure},
    store::{LockChange, SessionWrite, StoredSession},
    world::World,
};
use crate::protocol::{
    queue::{
        claim::{Claim, Holder, Mode},
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
    /// A claim overtook another one that its writer knew, or was removed by another session than its own, although its session is alive.
    Order,
    /// Two holders in the record exclude each other, or one has a slot that the lock has not.
    Capacity,
    /// A session was ended by another process while its owner counted on it.
    Ended,
    /// A session that was over, or missing, was written again by its owner.
    Revived,
}

/// A claim that became a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    nonce: Nonce,
    share: Share,
    version: u64,
}

/// What a holder has of the lock: its mode, and its slot.
type Share = (Mode, u16);

impl World {
    /// Two processes believe to hold the lock and exclude each other, each by its own clock.
    pub(super) fn has_two_holders(&self) -> bool {
        let believes = |process: &Process| Some((process.mode, process.believes()?.slot));
        !fit_together(self.processes.iter().filter_map(believes))
    }

    /// Each process that believes to hold the lock is a holder in the record, in the same slot.
    pub(super) fn believers_are_holders(&self) -> bool {
        self.processes.iter().all(|process| {
            process.believes().is_none_or(|tenure| {
                // Compared here, not by the code that is checked.
                let session = process.heartbeat.id();
                let is_own = |holder: &Holder| {
                    let Holder { claim, slot } = holder;
                    claim.session == *session && claim.nonce == tenure.nonce && *slot == tenure.slot
                };
                let lock = self.store.lock.as_ref();
                lock.is_some_and(|stored| stored.record.line.holders.iter().any(is_own))
            })
        })
    }

    fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// Checks the tenures that began in the last step of this process.
    pub(super) fn check_begun(&mut self, at: usize) {
        let begun = std::mem::take(&mut self.processes[at].begun);
        for tenure in begun {
            self.check_begin(tenure);
        }
        if self.processes[at].outdated {
            self.violated(Violation::Token);
        }
    }

    /// A tenure begins: its token lies between its own grant and the next one that excludes it.
    fn check_begin(&mut self, tenure: Tenure) {
        let token = tenure.token.get();
        // After a deletion of the lock, a claim may be granted again.
        let is_own = |grant: &Grant| grant.nonce == tenure.nonce && grant.version <= token;
        let own = self.grants.iter().rposition(is_own);
        let fits = own.is_some_and(|own| {
            let (grant, later) = (self.grants[own], &self.grants[own + 1..]);
            let next = later.iter().find(|one| excludes(one.share, grant.share));
            next.is_none_or(|next| token < next.version)
        });
        if !fits {
            self.violated(Violation::Token);
        }
    }

    /// The grants before the first one that a caller still waits for have no consequences.
    pub(super) fn forget_grants(&mut self) {
        let waits = |nonce: Nonce| {
            self.processes.iter().any(|process| match process.caller {
                Caller::Waiting(own) | Caller::Granted(Tenure { nonce: own, .. }) => own == nonce,
                Caller::Absent | Caller::Held(_) => false,
            })
        };
        let first = self.grants.iter().position(|grant| waits(grant.nonce));
        self.grants.drain(..first.unwrap_or(self.grants.len()));
    }

    /// This write of the lock was stored.
    pub(super) fn check_lock(
        &mut self,
        writer: &SessionId,
        change: &LockChange,
        before: Option<&StoredLock>,
        after: &StoredLock,
    ) {
        if !self.keeps_order(writer, change, before, after) {
            self.violated(Violation::Order);
        }
        if !fit_together(after.record.line.holders.iter().map(share)) {
            self.violated(Violation::Capacity);
        }
        let held_before = |nonce: Nonce| {
            before.is_some_and(|stored| {
                stored.record.line.holders.iter().any(|holder| holder.claim.nonce == nonce)
            })
        };
        let version = after.version.number.get();
        for holder in &after.record.line.holders {
            let nonce = holder.claim.nonce;
            if !held_before(nonce) {
                self.grants.push(Grant { nonce, share: share(holder), version });
            }
        }
    }

    /// The claims that the writer knew come first, in the order that they had, and then its own. Claims that joined since
    /// the state that it knew come last: each is overtaken once at most, because the next write knows it.
    fn keeps_order(
        &self,
        writer: &SessionId,
        change: &LockChange,
        before: Option<&StoredLock>,
        after: &StoredLock,
    ) -> bool {
        let known = match change {
            LockChange::Write(write) => write.base.as_deref().map(claims).unwrap_or_default(),
            LockChange::Join(_) => before.map(claims).unwrap_or_default(),
        };
        let (old, new) = (before.map(claims).unwrap_or_default(), claims(after));
        let may_remove =
            |claim: &Claim| claim.session == *writer || self.over.contains(&claim.session);
        let (kept, removed): (Vec<_>, Vec<_>) = old.iter().partition(|claim| new.contains(claim));
        let (seen, missed): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|claim| known.contains(claim));
        let own = new.iter().filter(|claim| claim.session == *writer && !seen.contains(claim));
        let missed = missed.iter().filter(|claim| claim.session != *writer).copied();
        let expected: Vec<_> = seen.iter().copied().chain(own).chain(missed).collect();
        removed.into_iter().all(may_remove) && new.iter().collect::<Vec<_>>() == expected
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

/// All claims of a lock, in their order.
fn claims(stored: &StoredLock) -> Vec<Claim> {
    let line = &stored.record.line;
    let holders = line.holders.iter().map(|holder| &holder.claim);
    holders.chain(line.waiting()).cloned().collect()
}

const fn share(holder: &Holder) -> Share {
    (holder.claim.mode, holder.slot)
}

/// No two of these exclude each other, and each slot is one of the lock. So there are no more holders than slots.
fn fit_together(shares: impl Iterator<Item = Share>) -> bool {
    let shares: Vec<_> = shares.collect();
    let in_range = |&(mode, slot): &Share| match mode {
        Mode::Slots(slots) => slot < slots.get(),
        Mode::Exclusive | Mode::Shared => slot == 0,
    };
    let alone = |(at, one): (usize, &Share)| !shares[..at].iter().any(|two| excludes(*one, *two));
    shares.iter().all(in_range) && shares.iter().enumerate().all(alone)
}

/// Two claims with these modes and slots cannot both hold the lock.
fn excludes(one: Share, two: Share) -> bool {
    match (one.0, two.0) {
        (Mode::Shared, Mode::Shared) => false,
        (Mode::Slots(_), Mode::Slots(_)) => one.1 == two.1,
        _ => true,
    }
}
