//! C4: a write changes what is its own business, and leaves the rest of the object as it was.

use serde_json::{Map, Value};

use super::Violation;

/// What a contender writes in the spec.
const OWN: [&str; 5] =
    ["holderIdentity", "leaseDurationSeconds", "leaseTransitions", "acquireTime", "renewTime"];
/// What its labels and annotations begin with.
const PREFIX: &str = "leasehold.dev/";

/// Looks at an object before and after a write of ours.
pub(crate) fn check(before: &Value, after: &Value) -> Option<Violation> {
    let (was, is) = (of_others(before), of_others(after));
    let what = || format!("changes what is not its own: {was} became {is}");
    (was != is).then(|| Violation::new("C4", what()))
}

fn of_others(lease: &Value) -> Value {
    let mut lease = lease.clone();
    lease["metadata"]["resourceVersion"].take();
    for place in ["labels", "annotations"] {
        if let Value::Object(entries) = &mut lease["metadata"][place] {
            entries.retain(|key, _| !key.starts_with(PREFIX));
        }
        if lease["metadata"][place] == Value::Object(Map::new()) {
            lease["metadata"][place].take();
        }
    }
    if let Value::Object(spec) = &mut lease["spec"] {
        spec.retain(|field, _| !OWN.contains(&field.as_str()));
    }
    lease
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &str, note: &str) -> Value {
        json!({
            "metadata": { "resourceVersion": holder, "annotations": { "leasehold.dev/tenure": holder, "note": note } },
            "spec": { "holderIdentity": holder, "preferredHolder": note },
        })
    }

    #[test]
    fn a_change_of_its_own_fields_is_no_violation() {
        assert_eq!(check(&lease("a", "n"), &lease("b", "n")), None);
    }

    #[test]
    fn a_lost_or_changed_field_of_others_is_found() {
        assert_eq!(check(&lease("a", "n"), &lease("a", "m")).unwrap().check, "C4");
        let mut lost = lease("a", "n");
        lost["spec"].as_object_mut().unwrap().remove("preferredHolder");
        assert!(check(&lease("a", "n"), &lost).is_some());
    }
}
