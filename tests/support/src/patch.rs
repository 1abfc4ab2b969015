//! PATCH as an API server carries it out: a JSON patch (a list of operations), or a merge patch (an object).

use serde_json::Value;

/// Why a patch is not carried out: the whole request is refused with this status and reason.
pub type Refusal = (u16, &'static str);

/// A test that fails, and an operation on a value that does not exist.
const UNPROCESSABLE: Refusal = (422, "Invalid");
/// A patch that is none.
const MALFORMED: Refusal = (400, "BadRequest");

/// The object after the patch.
///
/// # Errors
///
/// Why the patch is not carried out.
pub fn apply(object: &Value, patch: &Value) -> Result<Value, Refusal> {
    let mut patched = object.clone();
    match patch {
        Value::Array(operations) => {
            for operation in operations {
                carry_out(&mut patched, operation)?;
            }
        }
        Value::Object(_) => merge(&mut patched, patch),
        _ => return Err(MALFORMED),
    }
    Ok(patched)
}

/// A merge patch (RFC 7396): `null` removes a field.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    for (field, value) in fields {
        match value {
            Value::Null => _ = target.as_object_mut().map(|target| target.remove(field)),
            _ => merge(&mut target[field.as_str()], value),
        }
    }
}

/// One operation of a JSON patch (RFC 6902).
fn carry_out(object: &mut Value, operation: &Value) -> Result<(), Refusal> {
    let path = operation["path"].as_str().ok_or(MALFORMED)?;
    let value = || operation.get("value").cloned().ok_or(MALFORMED);
    match operation["op"].as_str() {
        Some("test") => {
            let found = object.pointer(path).unwrap_or(&Value::Null);
            if *found == value()? { Ok(()) } else { Err(UNPROCESSABLE) }
        }
        // A real server also replaces a field that does not exist.
        Some("replace") => match object.pointer_mut(path) {
            Some(found) => {
                *found = value()?;
                Ok(())
            }
            None => set(object, path, value()?),
        },
        Some("add") => set(object, path, value()?),
        Some("remove") => {
            let (parent, field) = parent(object, path)?;
            let removed = match parent {
                Value::Object(fields) => fields.remove(&field).is_some(),
                Value::Array(items) => {
                    let at = field.parse().ok().filter(|at| *at < items.len());
                    at.map(|at: usize| items.remove(at)).is_some()
                }
                _ => false,
            };
            if removed { Ok(()) } else { Err(UNPROCESSABLE) }
        }
        _ => Err(MALFORMED),
    }
}

fn set(object: &mut Value, path: &str, value: Value) -> Result<(), Refusal> {
    let (parent, field) = parent(object, path)?;
    match parent {
        Value::Object(fields) => _ = fields.insert(field, value),
        Value::Array(items) if field == "-" => items.push(value),
        Value::Array(items) => {
            let at = field.parse().ok().filter(|at| *at <= items.len()).ok_or(UNPROCESSABLE)?;
            items.insert(at, value);
        }
        _ => return Err(UNPROCESSABLE),
    }
    Ok(())
}

/// The value that contains what `path` names, and the last part of the path.
fn parent<'a>(object: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Refusal> {
    let (above, last) = path.rsplit_once('/').ok_or(MALFORMED)?;
    let parent = object.pointer_mut(above).ok_or(UNPROCESSABLE)?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lease() -> Value {
        json!({ "metadata": { "annotations": { "leasehold.dev/queue": "q", "n": "1" } }, "spec": { "holderIdentity": "a" } })
    }

    #[test]
    fn a_merge_patch_sets_and_removes_fields() {
        let patch = json!({ "metadata": { "annotations": { "n": null, "m": "2" } }, "spec": { "holderIdentity": "b" } });
        let patched = apply(&lease(), &patch).expect("a patch");
        let annotations = json!({ "leasehold.dev/queue": "q", "m": "2" });
        assert_eq!(patched["metadata"]["annotations"], annotations);
        assert_eq!(patched["spec"], json!({ "holderIdentity": "b" }));
        assert_eq!(apply(&lease(), &json!("text")), Err(MALFORMED));
    }

    #[test]
    fn a_json_patch_is_carried_out_wholly_or_not_at_all() {
        let path = "/metadata/annotations/leasehold.dev~1queue";
        let operation =
            |op: &str, path: &str, value: &str| json!({ "op": op, "path": path, "value": value });
        let patched = apply(
            &lease(),
            &json!([
                operation("test", path, "q"),
                operation("replace", path, "r"),
                operation("add", "/metadata/annotations/new", "x"),
                json!({ "op": "remove", "path": "/metadata/annotations/n" }),
            ]),
        );
        let annotations = json!({ "leasehold.dev/queue": "r", "new": "x" });
        assert_eq!(patched.expect("a patch")["metadata"]["annotations"], annotations);
        let refused =
            |operation: Value| assert_eq!(apply(&lease(), &json!([operation])), Err(UNPROCESSABLE));
        refused(operation("test", path, "other"));
        refused(operation("replace", "/metadata/labels/none", "x"));
        refused(operation("add", "/metadata/labels/none", "x"));
        refused(json!({ "op": "remove", "path": "/metadata/annotations/none" }));
    }
}
