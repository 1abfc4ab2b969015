//! C5: a tenure ends by its user, by a fault that met its holder, or by somebody else's write; never without a cause.

use std::collections::BTreeMap;

use leasehold::Loss;
use leasehold_test_support::Violation;

use super::tokens::Life;

/// What could end a tenure, and until when it could.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// What went wrong between a host and a record.
    requests: BTreeMap<(usize, String), u64>,
    /// What went wrong with all that a host does.
    hosts: BTreeMap<usize, u64>,
    /// Who wrote a record last when; people and programs of another make are nobody.
    writes: BTreeMap<String, BTreeMap<Option<Life>, u64>>,
    /// When the acquiring writes were stored, by version.
    claims: BTreeMap<u64, u64>,
    /// When a process last gave back a record whoever of it held that.
    unlocks: BTreeMap<(usize, &'static str), u64>,
}

/// A tenure that its user did not end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) by: Life,
    pub(crate) name: &'static str,
    pub(crate) why: Loss,
    pub(crate) token: u64,
    pub(crate) since: u64,
    pub(crate) at: u64,
}

impl Causes {
    pub(crate) fn request_failed(&mut self, host: usize, name: &str, until: u64) {
        let known = self.requests.entry((host, name.to_owned())).or_default();
        *known = until.max(*known);
    }

    pub(crate) fn host_failed(&mut self, host: usize, until: u64) {
        let known = self.hosts.entry(host).or_default();
        *known = until.max(*known);
    }

    pub(crate) fn written(&mut self, name: &str, by: Option<Life>, at: u64) {
        self.writes.entry(name.to_owned()).or_default().insert(by, at);
    }

    pub(crate) fn unlocked(&mut self, host: usize, name: &'static str, at: u64) {
        self.unlocks.insert((host, name), at);
    }

    /// A tenure was stored, as this version.
    pub(crate) fn claimed(&mut self, version: u64, at: u64) {
        self.claims.insert(version, at);
    }

    /// Who wrote the record last.
    pub(crate) fn author(&self, name: &str) -> Option<Life> {
        self.writes.get(name)?.iter().max_by_key(|(_, at)| **at).and_then(|(by, _)| *by)
    }

    /// Whether anything went wrong for this host and record since then.
    pub(crate) fn had_trouble(&self, host: usize, name: &str, since: u64) -> bool {
        let request = self.requests.get(&(host, name.to_owned()));
        let until = self.hosts.get(&host).into_iter().chain(request).max();
        until.is_some_and(|&until| until >= since)
    }

    /// `span` is for how long after its cause a tenure may end.
    pub(crate) fn check(&self, ended: &Ended, span: u64) -> Option<Violation> {
        let Ended { by, name, why, token, since, at } = *ended;
        // Unless somebody wrote beside it before its owner had read it.
        let from = self.claims.get(&token).copied().unwrap_or(since.saturating_sub(span));
        let written = self.writes.get(name).is_some_and(|writes| {
            writes.iter().any(|(who, when)| *who != Some(by) && *when >= from)
        });
        let explained = match why {
            Loss::Deleted | Loss::Taken | Loss::Altered => written,
            Loss::Expired => written || self.had_trouble(by.0, name, at.saturating_sub(span)),
            Loss::Released => self.unlocks.get(&(by.0, name)).is_some_and(|when| *when >= since),
            _ => false,
        };
        (!explained).then(|| Violation::new("C5", format!("lost without a cause: {ended:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Life = (0, 1);

    fn found(causes: &Causes, why: Loss) -> bool {
        let ended = Ended { by: ME, name: "a", why, token: 7, since: 100, at: 200 };
        causes.check(&ended, 20).is_some()
    }

    #[test]
    fn every_loss_without_a_cause_is_found() {
        let mut causes = Causes::default();
        causes.claimed(7, 90);
        causes.written("a", Some((1, 1)), 85);
        causes.written("a", Some(ME), 150);
        causes.request_failed(0, "b", 190);
        causes.host_failed(1, 190);
        for why in [
            Loss::Expired,
            Loss::Taken,
            Loss::Altered,
            Loss::Deleted,
            Loss::Released,
            Loss::Abandoned,
        ] {
            assert!(found(&causes, why), "{why:?}");
        }
    }

    #[test]
    fn a_loss_with_its_cause_is_none() {
        let mut causes = Causes::default();
        causes.request_failed(0, "a", 190);
        causes.unlocked(0, "a", 190);
        assert!(!found(&causes, Loss::Expired) && !found(&causes, Loss::Released));
        assert!(found(&causes, Loss::Taken), "a failed request is no reason to believe that");
        causes.written("a", Some((1, 1)), 150);
        assert!(!found(&causes, Loss::Taken));
    }
}
