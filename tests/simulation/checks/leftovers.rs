//! C6: who wants a record no more writes no tenure into it, and leaves none there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Violation, causes::Causes, tokens::Life};
use crate::{api::Request, scene::SEC};

/// How long it may take to give back a record where nothing goes wrong.
const GIVEN_BACK: u64 = 3 * SEC;

/// The records that processes have ceased to want, and when.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(BTreeMap<(Life, &'static str), u64>);

/// Looks at a request of `identity`, whose tasks want these records.
pub(crate) fn check(
    request: &Request,
    identity: &str,
    wants: &[&str],
    names: &[&str],
) -> Option<Violation> {
    let holds = request.body["spec"]["holderIdentity"] == identity;
    let name = request.name.as_str();
    let what = || format!("{identity} sends a tenure of `{name}`, which nobody there wants");
    (holds && names.contains(&name) && !wants.contains(&name)).then(|| Violation::new("C6", what()))
}

impl Leftovers {
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
        assert_eq!(check(&request, "me", &["a"], &["a"]), None);
        assert_eq!(check(&request, "me", &["b"], &["a", "b"]).unwrap().check, "C6");
        let free = Request { body: json!({ "spec": { "holderIdentity": "" } }), ..request };
        assert_eq!(check(&free, "me", &[], &["a"]), None);
    }
}
