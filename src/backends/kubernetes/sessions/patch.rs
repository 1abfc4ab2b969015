//! JSON patches (RFC 6902) of the Lease of a lock: they change parts of it, whatever the rest is by now.
//!
//! An operation that fails, as a test does whose value differs, refuses the whole patch.

use std::collections::BTreeSet;

use http::{HeaderValue, Method, header::CONTENT_TYPE};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    super::{
        codec::{
            not_before::{NOT_BEFORE, written},
            object_of,
        },
        http::{BuiltRequest, leases},
    },
    codec::{EPOCH, HELD, QUEUE, TURN, held_label, holder_fields},
    joined,
};
use crate::{
    api::name::Namespace,
    protocol::{
        queue::{
            claim::Claim,
            record::{Join, LockWrite, StoredLock},
        },
        session::SessionId,
    },
};

/// The request for a patch.
pub(super) fn request(namespace: &Namespace, lease: &str, operations: &[Value]) -> BuiltRequest {
    // A merge patch has the same path and query.
    let any = Patch::Merge(());
    let mut request = leases(Some(namespace)).patch(lease, &PatchParams::default(), &any)?;
    debug_assert_eq!(request.method(), Method::PATCH);
    let json_patch = HeaderValue::from_static("application/json-patch+json");
    request.headers_mut().insert(CONTENT_TYPE, json_patch);
    *request.body_mut() = Value::from(operations).to_string().into_bytes();
    Ok(request)
}

/// Adds claims, if this is the object in its epoch. They join at this time.
pub(super) fn join(join: &Join, at: Timestamp) -> Vec<Value> {
    let mut operations =
        vec![same_object(&join.base), test(&annotation(EPOCH), &join.epoch.to_string().into())];
    operations.extend(
        join.claims
            .iter()
            .enumerate()
            .map(|(index, claim)| add(&path_of(claim), &joined::value(claim, at, index).into())),
    );
    operations
}

/// Writes the line, if the object, its holder, its turn and its transitions are those of the base. Without the last, a
/// whole tenure of another elector could lie between, because electors keep our annotations.
pub(super) fn line(base: &StoredLock, write: &LockWrite) -> Vec<Value> {
    let holder = base.record.line.holder().map_or("", |session| session.as_str());
    let turn = base.record.turn.unwrap_or_default();
    let object = object_of(&base.whole);
    let mut operations = vec![
        same_object(base),
        test("/spec/holderIdentity", &holder.into()),
        test("/spec/leaseTransitions", &object["spec"]["leaseTransitions"]),
        test(&annotation(TURN), &turn.number.to_string().into()),
        add(&annotation(TURN), &write.turn.number.to_string().into()),
        add(&annotation(QUEUE), &write.line.to_text().into()),
    ];
    if write.turn.epoch != turn.epoch {
        operations.push(add(&annotation(EPOCH), &write.turn.epoch.to_string().into()));
    }
    operations.extend(write.taken().map(|claim| remove(&path_of(claim))));
    operations.extend(not_before(base, write));
    if write.changes_holders {
        let labels = object["metadata"]["labels"].as_object();
        let labels = labels.into_iter().flatten().map(|(label, _)| label.as_str());
        let before: BTreeSet<_> = labels.filter_map(|label| label.strip_prefix(HELD)).collect();
        let after: BTreeSet<_> = write.line.held_by().into_iter().map(SessionId::as_str).collect();
        operations.extend(before.difference(&after).map(|session| remove(&label(session))));
        operations
            .extend(after.difference(&before).map(|session| add(&label(session), &"".into())));
        let fields = holder_fields(&object["spec"], write);
        operations.extend(
            fields.into_iter().map(|(field, value)| add(&format!("/spec/{field}"), &value)),
        );
    }
    operations
}

/// Sets the time before which no other tenure may begin, or removes it. One that stays is left alone.
fn not_before(base: &StoredLock, write: &LockWrite) -> Vec<Value> {
    if base.record.not_before == write.not_before {
        return Vec::new();
    }
    let path = annotation(NOT_BEFORE);
    let text = write.not_before.as_deref().and_then(written);
    match text {
        Some(text) => vec![add(&path, &text.into())],
        // Another program may have removed it meanwhile, and what is not there cannot be removed.
        None => vec![add(&path, &"".into()), remove(&path)],
    }
}

fn same_object(base: &StoredLock) -> Value {
    test("/metadata/uid", &(*base.version.uid).into())
}

fn annotation(key: &str) -> String {
    format!("/metadata/annotations/{}", escaped(key))
}

fn path_of(claim: &Claim) -> String {
    annotation(&joined::key(claim))
}

fn label(session: &str) -> String {
    format!("/metadata/labels/{}", escaped(&held_label(session)))
}

/// A part of a JSON pointer (RFC 6901).
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

fn test(path: &str, value: &Value) -> Value {
    json!({ "op": "test", "path": path, "value": value })
}

/// Adds a value, or replaces the one that is there.
fn add(path: &str, value: &Value) -> Value {
    json!({ "op": "add", "path": path, "value": value })
}

fn remove(path: &str) -> Value {
    json!({ "op": "remove", "path": path })
}
