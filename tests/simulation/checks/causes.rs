//! C5: every tenure that its user did not end has a cause: a fault of its host, or another process's write.

use std::collections::BTreeMap;

use leasehold::Loss;

use leasehold_test_support::Violation;

use super::tokens::Incarnation;

/// The events that can end a tenure, and until when each of them can.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// Until when a failed request can affect a host's tenure of a record.
    requests: BTreeMap<(usize, String), u64>,
    /// Until when a fault of a host can affect all its tenures.
    hosts: BTreeMap<usize, u64>,
    /// When each process last wrote a record. `None` stands for people and for electors that are not ours.
    writes: BTreeMap<String, BTreeMap<Option<Incarnation>, u64>>,
    /// When each acquiring write was stored, by version.
    acquired_at: BTreeMap<u64, u64>,
    /// When a process last called `unlock` for a name.
    unlocks: BTreeMap<(usize, &'static str), u64>,
}

/// A tenure that its user did not end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostTenure {
    pub(crate) owner: Incarnation,
    pub(crate) name: &'static str,
    pub(crate) loss: Loss,
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

    pub(crate) fn written(&mut self, name: &str, by: Option<Incarnation>, at: u64) {
        self.writes.entry(name.to_owned()).or_default().insert(by, at);
    }

    pub(crate) fn unlocked(&mut self, host: usize, name: &'static str, at: u64) {
        self.unlocks.insert((host, name), at);
    }

    /// An acquiring write was stored as this version.
    pub(crate) fn acquired(&mut self, version: u64, at: u64) {
        self.acquired_at.insert(version, at);
    }

    /// The process that wrote the record last.
    pub(crate) fn last_writer(&self, name: &str) -> Option<Incarnation> {
        self.writes.get(name)?.iter().max_by_key(|(_, at)| **at).and_then(|(by, _)| *by)
    }

    /// Whether a fault affected this host and record at `since` or later.
    pub(crate) fn had_fault(&self, host: usize, name: &str, since: u64) -> bool {
        let request = self.requests.get(&(host, name.to_owned()));
        let until = self.hosts.get(&host).into_iter().chain(request).max();
        until.is_some_and(|&until| until >= since)
    }

    /// Checks a lost tenure. `grace` is how long after its cause a tenure may end.
    pub(crate) fn check(&self, lost: &LostTenure, grace: u64) -> Option<Violation> {
        let LostTenure { owner, name, loss, token, since, at } = *lost;
        // Usually the token is the version of the acquiring write. After an unrelated edit it is not, and then the
        // time of that write is unknown.
        let from = self.acquired_at.get(&token).copied().unwrap_or(since.saturating_sub(grace));
        let written = self.writes.get(name).is_some_and(|writes| {
            writes.iter().any(|(writer, when)| *writer != Some(owner) && *when >= from)
        });
        let explained = match loss {
            Loss::Deleted | Loss::Taken | Loss::Altered => written,
            Loss::Expired => written || self.had_fault(owner.0, name, at.saturating_sub(grace)),
            Loss::Released => self.unlocks.get(&(owner.0, name)).is_some_and(|when| *when >= since),
            _ => false,
        };
        (!explained)
            .then(|| Violation::new("C5", format!("a tenure was lost without a cause: {lost:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Incarnation = (0, 1);

    fn is_violation(causes: &Causes, loss: Loss) -> bool {
        let tenure = LostTenure { owner: OWNER, name: "a", loss, token: 7, since: 100, at: 200 };
        causes.check(&tenure, 20).is_some_and(|found| found.check == "C5")
    }

    #[test]
    fn a_loss_without_a_cause_is_a_violation() {
        let mut causes = Causes::default();
        causes.acquired(7, 90);
        causes.written("a", Some((1, 1)), 85);
        causes.written("a", Some(OWNER), 150);
        causes.request_failed(0, "b", 190);
        causes.host_failed(1, 190);
        for loss in [
            Loss::Expired,
            Loss::Taken,
            Loss::Altered,
            Loss::Deleted,
            Loss::Released,
            Loss::Abandoned,
        ] {
            assert!(is_violation(&causes, loss), "{loss:?}");
        }
    }

    #[test]
    fn a_loss_with_a_cause_is_no_violation() {
        let mut causes = Causes::default();
        causes.request_failed(0, "a", 190);
        causes.unlocked(0, "a", 190);
        assert!(!is_violation(&causes, Loss::Expired) && !is_violation(&causes, Loss::Released));
        assert!(
            is_violation(&causes, Loss::Taken),
            "a failed request does not explain another holder"
        );
        causes.written("a", Some((1, 1)), 150);
        assert!(!is_violation(&causes, Loss::Taken));
    }
}
