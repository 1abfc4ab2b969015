//! The callers of one lock of a session.

use std::collections::BTreeMap;

use super::lock::Caller;

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

    pub(super) fn into_values(self) -> impl Iterator<Item = Caller> {
        self.one.into_iter().map(|(_, caller)| caller).chain(self.others.into_values())
    }

    /// The nonces, so that callers can be changed meanwhile.
    pub(super) fn nonces(&self) -> Vec<u64> {
        self.one.iter().map(|(one, _)| one).chain(self.others.keys()).copied().collect()
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
