//! Converts the Leases of sessions and of their locks to records and back.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    super::codec::{
        Extras, KIND, decode, field, map, new_object,
        not_before::{self, NOT_BEFORE},
        object_of, set_labels_and_annotations, stored_name, wall_clock, whole,
    },
    joined, lease_name,
};
use crate::{
    api::{error::Result, name::Namespace, session::SessionInfo},
    protocol::{
        queue::record::{FENCE, LockRecord, LockWrite, StoredLock, Turn},
        record::{Record, Versioned},
        session::{SessionId, SessionRecord, Stored},
    },
    store::{
        Kind, ListedSession, RecordKey,
        sessions::{HeldLock, NamedSession},
    },
};

/// The prefix of the labels that name the sessions which hold a lock.
pub(super) const HELD: &str = "held.leasehold.dev/";
/// The annotation of a lock with its holders and its queue: see `protocol::queue::line`.
pub(super) const QUEUE: &str = "leasehold.dev/queue";
/// The annotations with the counters of a lock: see `protocol::queue::record::Turn`.
pub(super) const TURN: &str = "leasehold.dev/turn";
pub(super) const EPOCH: &str = "leasehold.dev/epoch";
/// The annotation of a session with the identity of its process.
const IDENTITY: &str = "leasehold.dev/identity";

/// The name of this crate as a manager of fields: the part of its `User-Agent` before the slash.
const MANAGER: &str = "leasehold";

/// The label of the records that `session` holds.
pub(super) fn held_label(session: &str) -> String {
    format!("{HELD}{session}")
}

/// Decodes the response to a request about a session.
///
/// # Errors
///
/// [`Error::Unavailable`](crate::Error::Unavailable) if the response is about another object.
pub(super) fn decode_session(id: &SessionId, object: &Value) -> Result<Stored<SessionRecord>> {
    super::super::codec::check_object(id.as_str(), None, object)?;
    let Versioned { version, record, whole, .. } = decode(object)?;
    let identity = object["metadata"]["annotations"][IDENTITY].as_str().unwrap_or_default();
    let record = SessionRecord {
        holder: record.holder,
        mark: record.transitions,
        identity: identity.into(),
    };
    Ok(Stored { version, record, whole })
}

/// The selector of all sessions.
pub(in crate::backends::kubernetes) fn session_label() -> String {
    format!("{KIND}=session")
}

/// A listed session, if it was not renewed for this long.
pub(super) fn decode_stale(object: &Value, age: Duration) -> Option<NamedSession> {
    let id = SessionId::parse(object["metadata"]["name"].as_str()?)?;
    let stale = decode(object).ok()?.age.is_none_or(|renewed| renewed >= age);
    let found = stale.then(|| decode_session(&id, object))?.ok()?;
    Some((id, Arc::new(found)))
}

/// A session in a list for people. One that cannot be decoded is skipped.
pub(super) fn listed_session(object: &Value) -> Option<ListedSession> {
    let id = SessionId::parse(object["metadata"]["name"].as_str()?)?;
    let Versioned { version, record, age, .. } = decode(object).ok()?;
    Some(ListedSession { id, version: version.number, is_over: record.is_free(), age })
}

/// The object to send: `base` with the values of `record`.
pub(super) fn encode_session(
    namespace: &Namespace,
    id: &SessionId,
    base: Option<&Stored<SessionRecord>>,
    record: &SessionRecord,
    extras: &Extras,
) -> Value {
    let mut object = base.map_or_else(
        || {
            let mut object = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "name": id.as_str(), "namespace": namespace.as_str() },
            });
            extras.set(&mut object);
            object
        },
        |base| object_of(&base.whole),
    );
    let metadata = map(&mut object, "metadata");
    set_base(metadata, base.map(|base| &base.version));
    field(metadata, "labels").insert(KIND.into(), "session".into());
    field(metadata, "annotations").insert(IDENTITY.into(), (*record.identity).into());
    let spec = map(&mut object, "spec");
    spec.insert("holderIdentity".into(), record.holder.as_deref().unwrap_or_default().into());
    spec.insert("leaseDurationSeconds".into(), id.ttl().as_secs().into());
    spec.insert("leaseTransitions".into(), record.mark.into());
    spec.insert("renewTime".into(), format!("{:.6}", wall_clock()).into());
    object
}

/// Decodes the response to a request about a lock.
///
/// # Errors
///
/// [`Error::Unavailable`](crate::Error::Unavailable) if the response is about another object.
pub(super) fn decode_lock(key: &RecordKey, object: Value) -> Result<StoredLock> {
    super::super::codec::check_object(key.record.as_str(), Some(&key.namespace), &object)?;
    decode_any_lock(object)
}

fn decode_any_lock(mut object: Value) -> Result<StoredLock> {
    let Versioned { version, record, .. } = decode(&object)?;
    let record = judge(&record, &object);
    strip(&mut object);
    Ok(Stored { version, record, whole: whole(&object) })
}

/// Removes what each write of a lock replaces: a session remembers the objects of thousands of locks.
fn strip(object: &mut Value) {
    untrack(object);
    if let Some(annotations) =
        object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        for key in [QUEUE, TURN, EPOCH, NOT_BEFORE] {
            annotations.remove(key);
        }
    }
}

/// The claims of sessions in an object, and its holder if that is no session.
fn judge(record: &Record, object: &Value) -> LockRecord {
    let line = object["metadata"]["annotations"][QUEUE].as_str();
    let spec = || Arc::from(object["spec"].to_string());
    let (holder, joined, turn) = (record.holder.as_deref(), joined::claims(object), turn(object));
    let judged = LockRecord::judge(holder, line, joined, turn, record.lives(), spec);
    LockRecord { not_before: record.not_before.clone(), ..judged }
}

/// The counters of a record, if a patch may change it: all that a patch tests or adds to is there, and the next write
/// need not end the tracking of field managers.
fn turn(object: &Value) -> Option<Turn> {
    let metadata = &object["metadata"];
    // As a patch tests it, and no larger than the version, which each write moves.
    let version = metadata["resourceVersion"].as_str()?.parse().ok()?;
    let number = |key: &str| {
        let text = metadata["annotations"][key].as_str()?;
        let number: u64 = text.parse().ok()?;
        (number <= version && number.to_string() == text).then_some(number)
    };
    let turn = Turn { number: number(TURN)?, epoch: number(EPOCH)? };
    let spec = &object["spec"];
    let complete = metadata["labels"].is_object()
        && spec["holderIdentity"].is_string()
        && spec["leaseTransitions"].is_number();
    let repairs = is_tracked(metadata) || metadata["managedFields"] == json!([{}]);
    (complete && !repairs).then_some(turn)
}

/// The claims of sessions in a listed or watched object, if there is or was one.
pub(in crate::backends::kubernetes) fn claims(
    record: &Record,
    object: &Value,
) -> Option<Arc<LockRecord>> {
    object["metadata"]["annotations"][QUEUE].is_string().then(|| Arc::new(judge(record, object)))
}

/// The claims of sessions that a record states; `None` if it is no lock of sessions.
pub(in crate::backends::kubernetes) fn queue(found: &Versioned) -> Option<LockRecord> {
    let object = object_of(&found.whole);
    object["metadata"]["annotations"][QUEUE].as_str()?;
    Some(decode_any_lock(object).ok()?.record)
}

/// A session in a list for people, with what only they read. One that cannot be decoded is skipped.
pub(in crate::backends::kubernetes) fn session_info(object: &Value) -> Option<SessionInfo> {
    let id = SessionId::parse(object["metadata"]["name"].as_str()?)?;
    let found = decode_session(&id, object).ok()?;
    Some(SessionInfo {
        id: id.to_string(),
        namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().into(),
        identity: found.record.identity.to_string(),
        ttl: id.ttl(),
        renewed_ago: decode(object).ok()?.age.filter(|_| !found.record.is_placeholder()),
        is_over: found.record.is_over(),
    })
}

/// Decodes a listed or watched lock. One that cannot be decoded is skipped, so that it does not hide the others.
pub(super) fn decode_held(object: Value) -> Option<HeldLock> {
    let (record, name) = (lease_name(&object), stored_name(&object).to_owned());
    let kind =
        if object["metadata"]["labels"][KIND] == "election" { Kind::Election } else { Kind::Lock };
    let found = decode_any_lock(object)
        .inspect_err(|error| tracing::warn!(%error, "skipping a Lease that cannot be read"));
    Some(HeldLock { record, name, kind, found: Arc::new(found.ok()?) })
}

/// The object to send: the base of `write` with its holders and its queue.
pub(super) fn encode_lock(key: &RecordKey, write: &LockWrite, extras: &Extras) -> Value {
    let mut object = match &write.base {
        Some(base) => object_of(&base.whole),
        None => new_object(key, extras),
    };
    let metadata = map(&mut object, "metadata");
    set_base(metadata, write.base.as_ref().map(|base| &base.version));
    set_labels_and_annotations(metadata, key);
    let annotations = field(metadata, "annotations");
    annotations.insert(QUEUE.into(), write.line.to_text().into());
    annotations.insert(TURN.into(), write.turn.number.to_string().into());
    annotations.insert(EPOCH.into(), write.turn.epoch.to_string().into());
    not_before::set(annotations, write.not_before.as_deref());
    for claim in write.taken() {
        annotations.remove(&joined::key(claim));
    }
    if write.changes_holders {
        let labels = field(metadata, "labels");
        labels.retain(|label, _| !label.starts_with(HELD));
        for session in write.line.held_by() {
            labels.insert(held_label(session.as_str()), "".into());
        }
        let fields = holder_fields(&object["spec"], write);
        let spec = map(&mut object, "spec");
        for (field, value) in fields {
            spec.insert(field.into(), value);
        }
    } else {
        map(&mut object, "spec");
    }
    object
}

/// Ends the tracking of field managers if all fields are those of this crate: each later write costs the server less.
/// The process that created a contended lock may not be the next to write it, so any of them does that.
fn untrack(object: &mut Value) {
    if is_tracked(&object["metadata"]) {
        map(object, "metadata").insert("managedFields".into(), json!([{}]));
    }
}

/// The server tracks managers of fields, and all fields are those of this crate.
fn is_tracked(metadata: &Value) -> bool {
    let managers = metadata["managedFields"].as_array();
    let own = |entry: &Value| entry["manager"] == MANAGER && entry["operation"] == "Update";
    managers.is_some_and(|managers| !managers.is_empty() && managers.iter().all(own))
}

/// The fields of `spec` that name the holder.
pub(super) fn holder_fields(spec: &Value, write: &LockWrite) -> [(&'static str, Value); 5] {
    let now = Value::from(format!("{:.6}", wall_clock()));
    let holder = write.line.holder().map_or("", |session| session.as_str());
    let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
    // For people; never a token, because it starts again after a deletion.
    let transitions = i32::try_from(transitions + 1).ok().filter(|&n| n > 0).unwrap_or(0);
    [
        ("holderIdentity", holder.into()),
        ("leaseDurationSeconds", lives(FENCE).into()),
        ("leaseTransitions", transitions.into()),
        ("acquireTime", now.clone()),
        ("renewTime", now),
    ]
}

const fn lives(fence: Duration) -> u64 {
    fence.as_secs()
}

fn set_base(metadata: &mut Map<String, Value>, base: Option<&crate::protocol::record::Version>) {
    if let Some(version) = base {
        metadata.insert("resourceVersion".into(), version.number.to_string().into());
        metadata.insert("uid".into(), (*version.uid).into());
    }
}
