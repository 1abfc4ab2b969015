//! C4: a write changes only our own fields, and preserves the rest of the object.

use serde_json::Value;

use leasehold_test_support::Violation;

/// The fields of the spec that the library writes.
const OWN_SPEC_FIELDS: [&str; 5] =
    ["holderIdentity", "leaseDurationSeconds", "leaseTransitions", "acquireTime", "renewTime"];
/// The prefix of the labels and annotations that the library writes.
const OWN_PREFIX: &str = "leasehold.dev/";
/// The prefix of the labels that name the sessions which hold a lock.
const HELD_PREFIX: &str = "held.leasehold.dev/";

/// The prefix of the annotations with the claims that joined the queue of a lock.
const JOINED_PREFIX: &str = "queue.leasehold.dev/";

/// Compares an object before and after a write by the library.
pub(crate) fn check(before: &Value, after: &Value) -> Option<Violation> {
    let all = |lease| foreign_fields(lease).collect::<Vec<_>>();
    let what = || {
        format!(
            "a write changed fields that are not ours: {:?} became {:?}",
            all(before),
            all(after)
        )
    };
    foreign_fields(before).ne(foreign_fields(after)).then(|| Violation::new("C4", what()))
}

/// All fields that are not ours: section, field, content.
fn foreign_fields(lease: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let metadata = &lease["metadata"];
    let parts = [
        ("", lease),
        ("metadata", metadata),
        ("labels", &metadata["labels"]),
        ("annotations", &metadata["annotations"]),
        ("spec", &lease["spec"]),
    ];
    let fields = parts.into_iter().flat_map(|(part, object)| {
        let fields = object.as_object().into_iter().flatten();
        fields.map(move |(field, content)| (part, field.as_str(), content))
    });
    fields.filter(|&(part, field, _)| match part {
        "" => field != "metadata" && field != "spec",
        "metadata" => !["resourceVersion", "labels", "annotations"].contains(&field),
        "spec" => !OWN_SPEC_FIELDS.contains(&field),
        _ => ![OWN_PREFIX, HELD_PREFIX, JOINED_PREFIX].iter().any(|own| field.starts_with(own)),
    })
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
    fn a_write_to_own_fields_is_no_violation() {
        assert_eq!(check(&lease("a", "n"), &lease("b", "n")), None);
    }

    #[test]
    fn a_lost_or_changed_foreign_field_is_a_violation() {
        assert_eq!(check(&lease("a", "n"), &lease("a", "m")).unwrap().check, "C4");
        let mut lost = lease("a", "n");
        lost["spec"].as_object_mut().unwrap().remove("preferredHolder");
        assert!(check(&lease("a", "n"), &lost).is_some_and(|found| found.check == "C4"));
    }
}
