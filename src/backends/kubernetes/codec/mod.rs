//! Converts Lease objects, as JSON, to records and back.
//!
//! A write starts from the whole object as the server sent it, and replaces only what this crate owns. Labels,
//! annotations and fields of other programs are preserved, including fields that this crate does not know.

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    api::{
        error::{Error, Result},
        name::{Namespace, RecordName},
    },
    protocol::record::{Nonce, Record, Version, Versioned, Whole, Write, WriteKind},
    store::{Entry, Kind, RecordKey},
    util::environment,
};

use super::{BACKEND, names::label};

/// The label with the purpose of the record: `lock`, `election` or `candidate`.
pub(super) const KIND: &str = "leasehold.dev/kind";
/// The label of an election's record and of its candidates' records: the name of the election's Lease, shortened to the
/// length of a label.
pub(super) const ELECTION: &str = "leasehold.dev/election";
/// The annotation with the name of the lock or election, if the name of the Lease differs.
const NAME: &str = "leasehold.dev/name";
/// The annotation of a candidate's record: the name of the election's Lease.
const CANDIDATE_OF: &str = "leasehold.dev/candidate-of";
/// The annotation that identifies the write, as JSON: see [`Mark`].
const MARK: &str = "leasehold.dev/tenure";

/// The values for which a Lease has no field.
///
/// A mark is ignored unless `holder` is `spec.holderIdentity` and `renewed` is `spec.renewTime`, because other electors
/// keep the annotations when they take a Lease over, or renew it under the same name.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    holder: String,
    renewed: String,
    /// The identifier of the write: see [`Nonce`].
    write: String,
    /// The fencing token of the tenure. Absent in the write that acquires the tenure, because the token is the version
    /// which that write gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<NonZeroU64>,
    /// The text that a candidate was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// What a new Lease gets besides its record. A Lease that exists keeps what it has.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// The owner of candidate records.
    pub(super) pod: Option<Pod>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// The pod that owns candidate records, so that the garbage collector removes them with the pod.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// Decodes the response to a request about `key`.
///
/// # Errors
///
/// [`Error::Unavailable`] if the response is about another object. The version of that object must not be used, because
/// if it is higher, every correct response after it would look outdated.
pub(super) fn decode_response(key: &RecordKey, object: &Value) -> Result<Versioned> {
    check_object(key.record.as_str(), Some(&key.namespace), object)?;
    decode(object)
}

/// Checks that a response is about the object with this name.
///
/// # Errors
///
/// As [`decode_response`].
pub(super) fn check_object(
    lease: &str,
    namespace: Option<&Namespace>,
    object: &Value,
) -> Result<()> {
    let metadata = &object["metadata"];
    let other = |field: &str, own: &str| metadata[field].as_str().filter(|found| *found != own);
    let named = metadata["name"].is_string() && other("name", lease).is_none();
    let elsewhere =
        namespace.is_some_and(|namespace| other("namespace", namespace.as_str()).is_some());
    if named && !elsewhere { Ok(()) } else { Err(malformed(WrongObject)) }
}

/// Makes the next write to a Lease that this crate has just created end the tracking of field managers.
///
/// `object` is the answer to the create, and the next write is conditional on its version, so no other program has
/// written to the Lease. The server takes this value as the request to remove the field. It then tracks no managers
/// of the object until a program uses server-side apply, so each later write costs the server less.
pub(super) fn untrack_created(object: &mut Value) {
    if let Some(managers) = object.pointer_mut("/metadata/managedFields").filter(|m| m.is_array()) {
        *managers = json!([{}]);
    }
}

/// A proxy or a server mixed up two responses.
#[derive(Debug, thiserror::Error)]
#[error(
    "the response is about another object: a proxy in front of the API server may mix up responses"
)]
struct WrongObject;

/// Decodes an object.
///
/// # Errors
///
/// [`Error::InvalidRecord`] if the object has no version that could serve as a fencing token.
pub(super) fn decode(object: &Value) -> Result<Versioned> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    let number = version.parse().map_err(|_| Error::InvalidRecord {
        name: name.into(),
        reason: format!(
            "resourceVersion {version:?} is not a positive whole number below 2^64. Check that the URL is that of a \
             Kubernetes API server"
        ),
    })?;
    let Some(uid) = metadata["uid"].as_str().filter(|uid| !uid.is_empty()) else {
        return Err(Error::InvalidRecord {
            name: name.into(),
            reason: "the object has no uid. Check that the URL is that of a Kubernetes API server"
                .into(),
        });
    };
    let version = Version { number, uid: uid.into() };
    let spec = &object["spec"];
    let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
    let mark = metadata["annotations"][MARK]
        .as_str()
        .and_then(|mark| serde_json::from_str::<Mark>(mark).ok());
    let renewed = spec["renewTime"].as_str().and_then(time);
    let mark = mark
        .filter(|mark| mark.holder == holder.unwrap_or_default() && time(&mark.renewed) == renewed);
    let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
    let record = Record {
        holder: holder.map(Into::into),
        nonce: mark.as_ref().and_then(|mark| mark.write.parse().ok()),
        ttl: Record::stated_ttl(spec["leaseDurationSeconds"].as_u64()),
        transitions: i32::try_from(transitions).unwrap_or(if transitions < 0 {
            i32::MIN
        } else {
            i32::MAX
        }),
        preferred: spec["preferredHolder"]
            .as_str()
            .filter(|holder| !holder.is_empty())
            .map(Into::into),
        token: mark.as_ref().and_then(|mark| mark.token),
        not_before: not_before::read(&metadata["annotations"]),
        payload: mark.and_then(|mark| mark.payload).map(Into::into),
    };
    let age = renewed.map(elapsed_since);
    Ok(Versioned { version, record, age, whole: whole(object) })
}

pub(super) fn whole(object: &Value) -> Whole {
    Whole::new(serde_json::to_string(object).unwrap_or_default())
}

/// The object of which a record keeps the text.
pub(super) fn object_of(whole: &Whole) -> Value {
    serde_json::from_str(whole.as_str()).unwrap_or_default()
}

/// Decodes a listed or watched object, with its purpose from its labels and annotations.
///
/// # Errors
///
/// As [`decode`].
pub(super) fn decode_entry(object: &Value) -> Result<Entry> {
    let found = decode(object)?;
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let annotation = |key: &str| metadata["annotations"][key].as_str();
    let namespace = Namespace::stored(metadata["namespace"].as_str().unwrap_or_default());
    let record = RecordName::stored(name);
    let kind = match metadata["labels"][KIND].as_str() {
        Some("lock") => Some(Kind::Lock),
        Some("election") => Some(Kind::Election),
        Some("candidate") => {
            annotation(CANDIDATE_OF).map(|election| Kind::Candidate(RecordName::stored(election)))
        }
        _ => None,
    };
    let name = stored_name(object).to_owned();
    let queue = super::sessions::codec::claims(&found.record, object);
    Ok(Entry { namespace, record, kind, name, found: Arc::new(found), queue, succession: None })
}

/// The name of a lock or election, as its caller wrote it.
pub(super) fn stored_name(object: &Value) -> &str {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    metadata["annotations"][NAME].as_str().unwrap_or(name)
}

/// The object to send: the base of `write`, with the values of its record.
pub(super) fn encode(key: &RecordKey, write: &Write, extras: &Extras) -> Value {
    let now = format!("{:.6}", wall_clock());
    let mut object = match &write.base {
        Some(base) => object_of(&base.whole),
        None => new_object(key, extras),
    };
    let record = &write.record;
    let metadata = map(&mut object, "metadata");
    if let Some(base) = &write.base {
        metadata.insert("resourceVersion".into(), base.version.number.to_string().into());
        metadata.insert("uid".into(), (*base.version.uid).into());
    }
    set_labels_and_annotations(metadata, key);
    let mark = Mark {
        holder: record.holder.as_deref().unwrap_or_default().into(),
        renewed: now.clone(),
        write: record.nonce.as_ref().map(Nonce::to_string).unwrap_or_default(),
        token: record.token,
        payload: record.payload.as_deref().map(Into::into),
    };
    let mark = serde_json::to_string(&mark).unwrap_or_default();
    let annotations = field(metadata, "annotations");
    annotations.insert(MARK.into(), mark.into());
    not_before::set(annotations, record.not_before.as_deref());
    let spec = map(&mut object, "spec");
    spec.insert("holderIdentity".into(), record.holder.as_deref().unwrap_or_default().into());
    if let Some(ttl) = record.ttl {
        spec.insert("leaseDurationSeconds".into(), ttl.as_secs().into());
    }
    spec.insert("leaseTransitions".into(), record.transitions.into());
    if write.kind == WriteKind::Claim {
        spec.insert("acquireTime".into(), now.clone().into());
    }
    spec.insert("renewTime".into(), now.into());
    object
}

/// The object to send so that it has no holder and another tenure may begin at once. Everything else stays as it is.
pub(super) fn released(whole: &Whole) -> Value {
    let mut object = object_of(whole);
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        not_before::set(annotations, None);
    }
    map(&mut object, "spec").insert("holderIdentity".into(), "".into());
    object
}

pub(super) fn new_object(key: &RecordKey, extras: &Extras) -> Value {
    let mut object = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": key.record.as_str(), "namespace": key.namespace.as_str() },
    });
    extras.set(&mut object);
    // The garbage collector regards an owner in another namespace as missing, and would delete the record at once.
    let owner = extras.pod.as_ref().filter(|pod| {
        matches!(key.kind, Kind::Candidate(_)) && pod.namespace == key.namespace.as_str()
    });
    if let Some(pod) = owner {
        object["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid }]);
    }
    object
}

impl Extras {
    /// Sets the caller's labels and annotations.
    pub(super) fn set(&self, object: &mut Value) {
        let metadata = map(object, "metadata");
        for (name, pairs) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !pairs.is_empty() {
                field(metadata, name)
                    .extend(pairs.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
            }
        }
    }
}

/// Sets the labels for selectors, and the names that the name of the Lease cannot hold.
pub(super) fn set_labels_and_annotations(metadata: &mut Map<String, Value>, key: &RecordKey) {
    let (kind, election) = match &key.kind {
        Kind::Lock => ("lock", None),
        Kind::Election => ("election", Some(&key.record)),
        Kind::Candidate(election) => ("candidate", Some(election)),
    };
    let labels = field(metadata, "labels");
    labels.insert(KIND.into(), kind.into());
    if let Some(election) = election {
        labels.insert(ELECTION.into(), label(election).into());
    }
    let annotations = field(metadata, "annotations");
    if let Kind::Candidate(election) = &key.kind {
        annotations.insert(CANDIDATE_OF.into(), election.as_str().into());
    }
    if key.name.as_str() != key.record.as_str() {
        annotations.insert(NAME.into(), key.name.as_str().into());
    }
}

/// The map `name` in `object`. Creates it if there is none.
pub(super) fn map<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    field(object.as_object_mut().expect("created above if missing"), name)
}

pub(super) fn field<'a>(
    object: &'a mut Map<String, Value>,
    name: &str,
) -> &'a mut Map<String, Value> {
    let value = object.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("created above if missing")
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// The time since the tenure began, as its holder wrote it.
pub(super) fn acquired_ago(found: &Versioned) -> Option<Duration> {
    object_of(&found.whole)["spec"]["acquireTime"].as_str().and_then(time).map(elapsed_since)
}

/// The time since `then`. Zero if `then` is in the future.
fn elapsed_since(then: Timestamp) -> Duration {
    Duration::try_from(wall_clock().duration_since(then)).unwrap_or_default()
}

/// Wall time, for people and other programs to read. No decision depends on it.
pub(super) fn wall_clock() -> Timestamp {
    Timestamp::try_from(environment::wall_clock()).unwrap_or_default()
}

/// The error for a response that cannot be used.
pub(super) fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable(BACKEND, error)
}

#[cfg(any(test, fuzzing))]
pub(super) mod check;
pub(super) mod not_before;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
