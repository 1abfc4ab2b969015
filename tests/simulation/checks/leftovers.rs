//! C6: who wants a record no more writes no tenure into it, and leaves none there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Violation, causes::Causes, tokens::Life};
use crate::{api::Request, scenario::SEC};

/// How long it may take to give back a record where nothing goes wrong.
const GIVEN_BACK: u64 = 3 * SEC;

/// The records that processes have ceased to want, and when.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(BTreeMap<(Life, &'static str), u64>);

impl Leftovers {
    /// Looks at a request of `who`, sent at `at`, whose tasks want these records. Clocks are read in whole milliseconds:
    /// what was on its way out in the one in which it ceased to be wanted is no violation.
    pub(crate) fn check(
        &self,
        request: &Request,
        (who, identity, at): (Life, &str, u64),
        wants: &[&str],
        names: &[&'static str],
    ) -> Option<Violation> {
        let holds = request.body["spec"]["holderIdentity"] == identity;
        let name = *names.iter().find(|name| **name == request.name)?;
        let just_ceased = self.0.get(&(who, name)) == Some(&at);
        let nobody = holds && !wants.contains(&name) && !just_ceased;
        let what = || format!("{identity} sends a tenure of `{name}`, which nobody there wants");
        nobody.then(|| Violation::new("C6", what()))
    }

    pub(crate) fn wants(&mut self, who: Life, name: &'static str, ceased: Option<u64>) {
        match ceased {
            Some(at) => self.0.insert((who, name), at),
            None => self.0.remove(&(who, name)),
        };
    }

    /// `lives` says whether a process is there; `span` is how long what went wrong before may still keep it busy.
    pub(crate) fn look<'a>(
        &mut self,
        now: u64,
        span: u64,
        causes: &Causes,
        lives: impl Fn(Life) -> bool,
        lease: impl Fn(&str) -> Option<&'a Value>,
    ) -> Option<Violation> {
        let mut found = None;
        self.0.retain(|&(who, name), &mut at| {
            if now < at + GIVEN_BACK {
                return true;
            }
            let held = lease(name)
                .and_then(|lease| lease["spec"]["holderIdentity"].as_str())
                .is_some_and(|holder| !holder.is_empty());
            let left = held && causes.author(name) == Some(who);
            if left && lives(who) && !causes.had_trouble(who.0, name, at.saturating_sub(span)) {
                let what = format!(
                    "{who:?} wants `{name}` no more since {at} us, and it is still its own"
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

    const ME: Life = (0, 1);

    fn look(causes: &Causes, now: u64, holder: &str) -> Option<Violation> {
        let mut left = Leftovers::default();
        left.wants(ME, "a", Some(SEC));
        let lease = json!({ "spec": { "holderIdentity": holder } });
        left.look(now, SEC, causes, |_| true, |_| Some(&lease))
    }

    #[test]
    fn a_record_left_behind_is_found_unless_something_went_wrong() {
        let mut causes = Causes::default();
        causes.written("a", Some(ME), SEC);
        assert_eq!(look(&causes, 2 * SEC, "me"), None, "it has time for that");
        assert_eq!(look(&causes, 5 * SEC, ""), None, "given back");
        assert_eq!(look(&causes, 5 * SEC, "me").unwrap().check, "C6");
        causes.request_failed(0, "a", SEC);
        assert_eq!(look(&causes, 5 * SEC, "me"), None, "its request was lost");
    }

    #[test]
    fn a_write_for_nobody_is_found() {
        let body = json!({ "spec": { "holderIdentity": "me" } });
        let request = Request { verb: "update", name: "a".into(), query: BTreeMap::new(), body };
        let mut left = Leftovers::default();
        left.wants(ME, "b", Some(SEC));
        let check = |request: &Request, at, wants: &[&str]| {
            left.check(request, (ME, "me", at), wants, &["a", "b"])
        };
        assert_eq!(check(&request, SEC, &["a"]), None);
        assert_eq!(check(&request, SEC, &["b"]).unwrap().check, "C6");
        let free = Request { body: json!({ "spec": { "holderIdentity": "" } }), ..request.clone() };
        assert_eq!(check(&free, SEC, &[]), None);
        let other = Request { name: "b".into(), ..request };
        assert_eq!(check(&other, SEC, &[]), None, "it ceased to be wanted in this millisecond");
        assert!(check(&other, SEC + 1000, &[]).is_some());
    }
}
