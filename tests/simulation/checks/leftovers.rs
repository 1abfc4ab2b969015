//! C6: a process writes no tenure that none of its tasks wants, and keeps no record that they no longer want.

use std::collections::BTreeMap;

use serde_json::Value;

use leasehold_test_support::Violation;

use super::{causes::Causes, tokens::Incarnation};
use crate::{api::Request, scenario::SEC};

/// How long a release may take without a fault.
const RELEASE_TIME: u64 = 3 * SEC;

/// When each process ceased to want each record.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(BTreeMap<(Incarnation, &'static str), u64>);

impl Leftovers {
    /// Checks a request that `owner` sent at `at`, while its tasks wanted the records `wanted`.
    ///
    /// Clocks are read in whole milliseconds, so a request in the same millisecond as the end of the demand is no
    /// violation.
    pub(crate) fn check_request(
        &self,
        request: &Request,
        (owner, identity, at): (Incarnation, &str, u64),
        wanted: &[&str],
        names: impl IntoIterator<Item = &'static str>,
    ) -> Option<Violation> {
        let holds = request.body["spec"]["holderIdentity"] == identity;
        let name = names.into_iter().find(|name| *name == request.name)?;
        let just_ceased = self.0.get(&(owner, name)) == Some(&at);
        let is_unwanted = holds && !wanted.contains(&name) && !just_ceased;
        let what =
            || format!("{identity} writes a tenure of `{name}`, which none of its tasks wants");
        is_unwanted.then(|| Violation::new("C6", what()))
    }

    pub(crate) fn set_wanted(
        &mut self,
        owner: Incarnation,
        name: &'static str,
        ceased: Option<u64>,
    ) {
        match ceased {
            Some(at) => self.0.insert((owner, name), at),
            None => self.0.remove(&(owner, name)),
        };
    }

    /// Checks each record that a process ceased to want.
    ///
    /// `is_running` says whether a process is still there. `slowest` is how much longer requests take than usual, and
    /// `grace` is how long an earlier fault may delay the release.
    pub(crate) fn check_records<'a>(
        &mut self,
        now: u64,
        slowest: u64,
        grace: u64,
        causes: &Causes,
        is_running: impl Fn(Incarnation) -> bool,
        lease: impl Fn(&str) -> Option<&'a Value>,
    ) -> Option<Violation> {
        let mut found = None;
        self.0.retain(|&(owner, name), &mut at| {
            // An unanswered claim may have to be settled before the release, and each attempt may find another obstacle.
            if now < at + RELEASE_TIME + 4 * slowest {
                return true;
            }
            let held = lease(name)
                .and_then(|lease| lease["spec"]["holderIdentity"].as_str())
                .is_some_and(|holder| !holder.is_empty());
            let is_left = held && causes.last_writer(name) == Some(owner);
            if is_left
                && is_running(owner)
                && !causes.had_fault(owner.0, name, at.saturating_sub(grace))
            {
                let what = format!(
                    "{owner:?} still holds `{name}`, which none of its tasks has wanted since {at} us"
                );
                found = Some(Violation::new("C6", what));
            }
            false
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWNER: Incarnation = (0, 1);

    fn check_lease(causes: &Causes, now: u64, holder: &str) -> Option<Violation> {
        let mut leftovers = Leftovers::default();
        leftovers.set_wanted(OWNER, "a", Some(SEC));
        let lease = json!({ "spec": { "holderIdentity": holder } });
        leftovers.check_records(now, 0, SEC, causes, |_| true, |_| Some(&lease))
    }

    #[test]
    fn a_record_left_held_is_a_violation_unless_a_fault_explains_it() {
        let mut causes = Causes::default();
        causes.written("a", Some(OWNER), SEC);
        assert_eq!(
            check_lease(&causes, 2 * SEC, "me"),
            None,
            "the time for a release has not passed"
        );
        assert_eq!(check_lease(&causes, 5 * SEC, ""), None, "released");
        assert_eq!(check_lease(&causes, 5 * SEC, "me").unwrap().check, "C6");
        causes.request_failed(0, "a", SEC);
        assert_eq!(check_lease(&causes, 5 * SEC, "me"), None, "a fault explains it");
    }

    #[test]
    fn a_tenure_that_no_task_wants_is_a_violation() {
        let body = json!({ "spec": { "holderIdentity": "me" } });
        let request = Request { verb: "update", name: "a".into(), query: BTreeMap::new(), body };
        let mut leftovers = Leftovers::default();
        leftovers.set_wanted(OWNER, "b", Some(SEC));
        let check = |request: &Request, at, wanted: &[&str]| {
            leftovers.check_request(request, (OWNER, "me", at), wanted, ["a", "b"])
        };
        assert_eq!(check(&request, SEC, &["a"]), None);
        assert_eq!(check(&request, SEC, &["b"]).unwrap().check, "C6");
        let free = Request { body: json!({ "spec": { "holderIdentity": "" } }), ..request.clone() };
        assert_eq!(check(&free, SEC, &[]), None);
        let other = Request { name: "b".into(), ..request };
        assert_eq!(check(&other, SEC, &[]), None, "the demand ended in the same millisecond");
        assert!(check(&other, SEC + 1000, &[]).is_some_and(|found| found.check == "C6"));
    }
}
