//! Converts Lease objects, as JSON, to records and back.
//!
//! A write starts from the whole object as the server sent it, and replaces only what this crate owns. Labels,
//! annotations and fields of other programs are preserved, including fields that this crate does not know.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    api::{
        error::{Error, Result},
        name::{LeaseName, Namespace},
    },
    protocol::record::{Nonce, Record, Version, Versioned, Write, WriteKind},
    store::{Entry, Kind, RecordKey},
    util::environment,
};

use super::BACKEND;

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
pub(super) fn decode_response(key: &RecordKey, whole: Value) -> Result<Versioned> {
    let metadata = &whole["metadata"];
    let other = |field: &str, own: &str| metadata[field].as_str().filter(|found| *found != own);
    let named = metadata["name"].is_string() && other("name", key.lease.as_str()).is_none();
    if !named || other("namespace", key.namespace.as_str()).is_some() {
        return Err(malformed(WrongObject));
    }
    decode(whole)
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
pub(super) fn decode(whole: Value) -> Result<Versioned> {
    let metadata = &whole["metadata"];
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
    let spec = &whole["spec"];
    let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
    let mark = metadata["annotations"][MARK]
        .as_str()
        .and_then(|mark| serde_json::from_str::<Mark>(mark).ok());
    let renewed = spec["renewTime"].as_str().and_then(time);
    let mark = mark
        .filter(|mark| mark.holder == holder.unwrap_or_default() && time(&mark.renewed) == renewed);
    let ttl = spec["leaseDurationSeconds"].as_i64().and_then(|secs| u64::try_from(secs).ok());
    let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
    let record = Record {
        holder: holder.map(Into::into),
        nonce: mark.as_ref().and_then(|mark| mark.write.parse().ok()),
        ttl: ttl.filter(|&secs| secs > 0).map(Duration::from_secs),
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
    };
    let age = renewed.map(elapsed_since);
    Ok(Versioned { version, record, age, whole: Arc::new(whole) })
}

/// Adds the purpose of a listed or watched record, from its labels and annotations.
pub(super) fn entry(found: Versioned) -> Entry {
    let metadata = &found.whole["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let annotation = |key: &str| metadata["annotations"][key].as_str();
    let namespace = Namespace::stored(metadata["namespace"].as_str().unwrap_or_default());
    let lease = LeaseName::stored(name);
    let kind = match metadata["labels"][KIND].as_str() {
        Some("lock") => Some(Kind::Lock),
        Some("election") => Some(Kind::Election),
        Some("candidate") => {
            annotation(CANDIDATE_OF).map(|election| Kind::Candidate(LeaseName::stored(election)))
        }
        _ => None,
    };
    let name = annotation(NAME).unwrap_or(name).to_owned();
    Entry { namespace, lease, kind, name, found: Arc::new(found) }
}

/// The object to send: the base of `write`, with the values of its record.
pub(super) fn encode(key: &RecordKey, write: &Write, pod: Option<&Pod>) -> Value {
    let now = format!("{:.6}", wall_clock());
    let mut object = match &write.base {
        Some(base) => (*base.whole).clone(),
        None => new_object(key, pod),
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
    };
    let mark = serde_json::to_string(&mark).unwrap_or_default();
    field(metadata, "annotations").insert(MARK.into(), mark.into());
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

/// The object to send so that it has no holder. Everything else stays as it is.
pub(super) fn released(whole: &Value) -> Value {
    let mut object = whole.clone();
    map(&mut object, "spec").insert("holderIdentity".into(), "".into());
    object
}

fn new_object(key: &RecordKey, pod: Option<&Pod>) -> Value {
    let mut object = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": key.lease.as_str(), "namespace": key.namespace.as_str() },
    });
    // The garbage collector regards an owner in another namespace as missing, and would delete the record at once.
    let owner = pod.filter(|pod| {
        matches!(key.kind, Kind::Candidate(_)) && pod.namespace == key.namespace.as_str()
    });
    if let Some(pod) = owner {
        object["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid }]);
    }
    object
}

/// Sets the labels for selectors, and the names that the name of the Lease cannot hold.
fn set_labels_and_annotations(metadata: &mut Map<String, Value>, key: &RecordKey) {
    let (kind, election) = match &key.kind {
        Kind::Lock => ("lock", None),
        Kind::Election => ("election", Some(&key.lease)),
        Kind::Candidate(election) => ("candidate", Some(election)),
    };
    let labels = field(metadata, "labels");
    labels.insert(KIND.into(), kind.into());
    if let Some(election) = election {
        labels.insert(ELECTION.into(), election.label().into());
    }
    let annotations = field(metadata, "annotations");
    if let Kind::Candidate(election) = &key.kind {
        annotations.insert(CANDIDATE_OF.into(), election.as_str().into());
    }
    if key.name.as_str() != key.lease.as_str() {
        annotations.insert(NAME.into(), key.name.as_str().into());
    }
}

/// The map `name` in `object`. Creates it if there is none.
fn map<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    field(object.as_object_mut().expect("created above if missing"), name)
}

fn field<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
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
    found.whole["spec"]["acquireTime"].as_str().and_then(time).map(elapsed_since)
}

/// The time since `then`. Zero if `then` is in the future.
fn elapsed_since(then: Timestamp) -> Duration {
    Duration::try_from(wall_clock().duration_since(then)).unwrap_or_default()
}

/// Wall time, for people and other programs to read. No decision depends on it.
fn wall_clock() -> Timestamp {
    Timestamp::try_from(environment::wall_clock()).unwrap_or_default()
}

/// The error for a response that cannot be used.
pub(super) fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable(BACKEND, error)
}

#[cfg(any(test, fuzzing))]
pub(super) mod check;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
