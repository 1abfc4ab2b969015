//! The callers of one lock of a session.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use super::meter::Held;
use crate::{
    api::{error::Result, guard::Guard, tenure::Tenure, token::Token},
    protocol::queue::{candidate::Candidate as Described, claim::Mode, machine::AtLeast},
    util::clock::Moment,
};

/// Callers, by the nonce of their claim.
///
/// Nearly every lock has one caller, and a node of a B-tree would take 700 bytes for it.
#[derive(Debug, Default)]
pub(super) struct Callers {
    one: Option<(u64, Caller)>,
    others: BTreeMap<u64, Caller>,
}

impl Callers {
    pub(super) fn get(&self, nonce: u64) -> Option<&Caller> {
        match &self.one {
            Some((one, caller)) if *one == nonce => Some(caller),
            _ => self.others.get(&nonce),
        }
    }

    /// Adds a caller, or replaces the one with this nonce.
    pub(super) fn insert(&mut self, nonce: u64, caller: Caller) {
        match &mut self.one {
            Some((one, present)) if *one == nonce => *present = caller,
            None if !self.others.contains_key(&nonce) => self.one = Some((nonce, caller)),
            _ => drop(self.others.insert(nonce, caller)),
        }
    }

    pub(super) fn remove(&mut self, nonce: u64) -> Option<Caller> {
        match self.one.take_if(|(one, _)| *one == nonce) {
            Some((_, caller)) => Some(caller),
            None => self.others.remove(&nonce),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.others.is_empty()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Caller> {
        self.one.iter().map(|(_, caller)| caller).chain(self.others.values())
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Caller> {
        self.one.iter_mut().map(|(_, caller)| caller).chain(self.others.values_mut())
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = Caller> {
        self.one.into_iter().map(|(_, caller)| caller).chain(self.others.into_values())
    }

    /// The nonces, so that callers can be changed meanwhile.
    pub(super) fn nonces(&self) -> Vec<u64> {
        self.one.iter().map(|(one, _)| one).chain(self.others.keys()).copied().collect()
    }
}

/// A caller of `lock`, and then its guard.
#[derive(Debug)]
pub(super) enum Caller {
    Waiting(Waiting),
    /// The grant was seen after the session's last confirmed heartbeat had ended: the next heartbeat decides.
    Granted(Waiting, Token, u16),
    Held {
        tenure: Tenure,
        since: Moment,
        mode: Mode,
        at_least: Option<AtLeast>,
        _metered: Held,
    },
    Leaving(Vec<oneshot::Sender<Result<()>>>),
}

#[derive(Debug)]
pub(super) struct Waiting {
    /// The nonce that the caller knows. A later session claims with another one.
    pub(super) asked: u64,
    /// When the caller began to wait.
    pub(super) since: Moment,
    pub(super) mode: Mode,
    pub(super) try_once: bool,
    /// For how long after the start of the tenure no other one may begin.
    pub(super) at_least: Option<AtLeast>,
    pub(super) answer: oneshot::Sender<Result<Guard>>,
    /// The candidate that waits, if it is one.
    pub(super) candidate: Option<Arc<Described>>,
}

pub(super) fn answer_all(
    done: impl IntoIterator<Item = oneshot::Sender<Result<()>>>,
    result: &Result<()>,
) {
    for done in done {
        let _ = done.send(result.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller::Leaving(Vec::new())
    }

    #[test]
    fn each_nonce_has_one_caller() {
        let mut callers = Callers::default();
        for nonce in [7, 2, 9] {
            callers.insert(nonce, caller());
        }
        assert!(callers.remove(7).is_some() && callers.remove(7).is_none());
        for nonce in [9, 5, 9, 5] {
            callers.insert(nonce, caller());
        }

        assert_eq!((callers.nonces(), callers.values().count()), (vec![5, 2, 9], 3));
        assert!(callers.get(2).is_some() && callers.get(7).is_none());
        assert!([2, 5, 9].into_iter().all(|nonce| callers.remove(nonce).is_some()));
        assert!(callers.is_empty() && callers.into_values().next().is_none());
    }
}
