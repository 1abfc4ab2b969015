//! Lease objects as JSON, and records: what is read from one, and what is written over one.
//!
//! The whole object is kept as it came, and only what this crate owns is written over it: labels,
//! annotations and fields of others survive, also those that this crate has never heard of.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    engine::record::{Change, Nonce, Record, Version, Versioned, Write},
    error::{Error, Result},
    name::LeaseName,
    store::{Entry, Key, Kind},
};

use super::BACKEND;

/// Says what the record is for: `lock`, `election` or `candidate`.
pub(super) const KIND: &str = "leasehold.dev/kind";
/// On the records of an election and of its candidates: the election's record, cut to a label's length.
pub(super) const ELECTION: &str = "leasehold.dev/election";
/// The name as its user says it, where the Lease's own name differs.
const TITLE: &str = "leasehold.dev/name";
/// The name of the election's record, on a candidate's.
const CANDIDATE_OF: &str = "leasehold.dev/candidate-of";
/// Which write this is, as JSON: see [`Mark`].
const MARK: &str = "leasehold.dev/tenure";

/// What the Lease itself has no field for. Void where `holder` is not `spec.holderIdentity` or `renewed` not
/// `spec.renewTime`: other electors keep annotations when they take a Lease over, or renew it under the same name.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    holder: String,
    renewed: String,
    /// The write: see [`Nonce`].
    write: String,
    /// The fencing token of the tenure; absent in the write that acquires it, whose own version it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<NonZeroU64>,
}

/// The pod to which candidate records belong, so that the garbage collector removes what it leaves.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// Reads what a server answered.
///
/// # Errors
///
/// [`Error::Version`] if the object has no version that could serve as a fencing token.
pub(super) fn decode(whole: Value) -> Result<Versioned> {
    let metadata = &whole["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    let number = version.parse().map_err(|_| Error::Version {
        name: name.into(),
        reason: format!("resourceVersion {version:?} is not a positive whole number below 2^64"),
    })?;
    let Some(uid) = metadata["uid"].as_str().filter(|uid| !uid.is_empty()) else {
        return Err(Error::Version { name: name.into(), reason: "the object has no uid".into() });
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
    let age = renewed.map(|renewed| {
        Duration::try_from(wall_clock().duration_since(renewed)).unwrap_or_default()
    });
    Ok(Versioned { version, record, age, whole: Arc::new(whole) })
}

/// What a record that was listed or watched is for.
pub(super) fn entry(found: Versioned) -> Entry {
    let metadata = &found.whole["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let annotation = |key: &str| metadata["annotations"][key].as_str();
    let lease = LeaseName::stored(name);
    let kind = match metadata["labels"][KIND].as_str() {
        Some("lock") => Some(Kind::Lock),
        Some("election") => Some(Kind::Election),
        Some("candidate") => {
            annotation(CANDIDATE_OF).map(|election| Kind::Candidate(LeaseName::stored(election)))
        }
        _ => None,
    };
    let title = annotation(TITLE).unwrap_or(name).to_owned();
    Entry { lease, kind, title, found: Arc::new(found) }
}

/// The object to send: `write` over what it is conditional on.
pub(super) fn encode(key: &Key, write: &Write, pod: Option<&Pod>) -> Value {
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
    describe(metadata, key);
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
    if write.change == Change::Claim {
        spec.insert("acquireTime".into(), now.clone().into());
    }
    spec.insert("renewTime".into(), now.into());
    object
}

fn new_object(key: &Key, pod: Option<&Pod>) -> Value {
    let mut object = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": key.lease.as_str(), "namespace": key.namespace.as_str() },
    });
    // An owner in another namespace would count as missing, and the record be collected at once.
    let owner = pod.filter(|pod| {
        matches!(key.kind, Kind::Candidate(_)) && pod.namespace == key.namespace.as_str()
    });
    if let Some(pod) = owner {
        object["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid }]);
    }
    object
}

/// Labels to select by, and the names that do not fit into the Lease's own.
fn describe(metadata: &mut Map<String, Value>, key: &Key) {
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
    if key.title.as_str() != key.lease.as_str() {
        annotations.insert(TITLE.into(), key.title.as_str().into());
    }
}

/// The object under `name` in `object`, made if there is none.
fn map<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    field(object.as_object_mut().expect("made above"), name)
}

fn field<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = object.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made above")
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Wall time, for people and foreign tools to read: nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "written for people")]
fn wall_clock() -> Timestamp {
    #[cfg(feature = "simulation")]
    if let Some(wall) = crate::chance::scene::wall().and_then(|wall| Timestamp::try_from(wall).ok())
    {
        return wall;
    }
    Timestamp::now()
}

/// The names that an unusable answer is told under.
pub(super) fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable(BACKEND, error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::{Name, Namespace};

    fn key(kind: Kind, name: &str) -> Key {
        let title = Name::parse("name", name).unwrap();
        Key {
            namespace: Namespace::parse("shop").unwrap(),
            lease: LeaseName::of("", &title),
            kind,
            title,
        }
    }

    fn claim(base: Option<Versioned>) -> Write {
        let record = Record {
            holder: Some("me".into()),
            nonce: Some(Nonce { machine: 7, write: 1 }),
            ttl: Some(Duration::from_secs(15)),
            transitions: 3,
            ..Record::default()
        };
        Write { base: base.map(Arc::new), change: Change::Claim, record }
    }

    fn stored(mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = "42".into();
        object["metadata"]["uid"] = "u-1".into();
        object
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let write = claim(None);
        let found = decode(stored(encode(&key(Kind::Lock, "orders"), &write, None))).unwrap();
        assert_eq!(found.record, write.record);
        assert_eq!(found.token().map(NonZeroU64::get), Some(42));
    }

    #[test]
    fn what_others_wrote_is_preserved_field_by_field() {
        let theirs = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "news": { "of": "the future" },
            "metadata": {
                "name": "orders", "namespace": "shop", "resourceVersion": "41", "uid": "u-1", "generation": 7,
                "labels": { "app": "theirs" }, "annotations": { "note": "keep me" }, "finalizers": ["x/y"], "later": [1],
            },
            "spec": {
                "holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 2, "strategy": "OldestEmulationVersion",
                "preferredHolder": "pod-b", "soon": true,
            },
        });
        let base = decode(theirs.clone()).unwrap();
        let mut ours = encode(&key(Kind::Election, "orders"), &claim(Some(base)), None);
        for key in [
            "holderIdentity",
            "leaseDurationSeconds",
            "leaseTransitions",
            "acquireTime",
            "renewTime",
        ] {
            ours["spec"].as_object_mut().unwrap().remove(key).unwrap();
        }
        for key in [KIND, ELECTION] {
            ours["metadata"]["labels"].as_object_mut().unwrap().remove(key).unwrap();
        }
        ours["metadata"]["annotations"].as_object_mut().unwrap().remove(MARK).unwrap();
        let mut theirs = theirs;
        for key in ["holderIdentity", "leaseDurationSeconds", "leaseTransitions"] {
            theirs["spec"].as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(ours, theirs);
    }

    #[test]
    fn the_mark_is_void_under_another_holder() {
        let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
        object["spec"]["holderIdentity"] = "somebody else".into();
        let found = decode(object).unwrap();
        assert_eq!((found.record.nonce, found.token()), (None, None));
    }

    #[test]
    fn the_mark_is_void_once_another_program_renews_under_the_same_name() {
        let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
        object["spec"]["renewTime"] = "2031-01-01T00:00:00.000000Z".into();
        assert_eq!(decode(object).unwrap().record.nonce, None);
    }

    #[test]
    fn bad_field_values_are_read_as_unsaid() {
        for (field, value) in [
            ("leaseDurationSeconds", json!(0)),
            ("leaseDurationSeconds", json!(-5)),
            ("leaseDurationSeconds", json!("15")),
            ("leaseDurationSeconds", Value::Null),
            ("leaseDurationSeconds", json!(1.5)),
        ] {
            let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
            object["spec"][field] = value;
            assert_eq!(decode(object).unwrap().record.ttl, None);
        }
        let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
        object["spec"]["renewTime"] = "yesterday".into();
        assert_eq!(decode(object.clone()).unwrap().age, None);
        object["spec"]["renewTime"] = "9999-01-01T00:00:00.000000Z".into();
        assert_eq!(decode(object).unwrap().age, Some(Duration::ZERO), "the future is now");
    }

    #[test]
    fn a_version_that_is_no_number_is_an_error_and_never_token_zero() {
        for version in [
            json!("0"),
            json!("x17"),
            json!(""),
            json!(17),
            Value::Null,
            json!("-1"),
            json!("18446744073709551616"),
        ] {
            let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
            object["metadata"]["resourceVersion"] = version;
            assert!(matches!(decode(object), Err(Error::Version { .. })));
        }
    }

    #[test]
    fn a_candidate_belongs_to_its_pod_only_in_its_own_namespace() {
        let pod = |namespace: &str| Pod {
            namespace: namespace.into(),
            name: "web-1".into(),
            uid: "u-9".into(),
        };
        let election = key(Kind::Election, "billing");
        let candidate = election.candidate(&Name::parse("id", "web-1").unwrap());
        let owned = |key: &Key, pod: &Pod| {
            encode(key, &claim(None), Some(pod))["metadata"]["ownerReferences"][0]["uid"].clone()
        };
        assert_eq!(owned(&candidate, &pod("shop")), "u-9");
        assert_eq!(owned(&candidate, &pod("other")), Value::Null);
        assert_eq!(owned(&election, &pod("shop")), Value::Null, "an election outlives its pods");
    }

    #[test]
    fn a_candidate_is_recognised_with_its_election() {
        let election = key(Kind::Election, "jobs/nightly");
        let candidate = election.candidate(&Name::parse("id", "web-1").unwrap());
        let found = decode(stored(encode(&candidate, &claim(None), None))).unwrap();
        let entry = entry(found);
        assert_eq!(entry.kind, Some(candidate.kind));
        assert_eq!(entry.title, "jobs/nightly");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_object_makes_it_panic(
            spec in any_json(), labels in any_json(), annotations in any_json(), version in "[0-9]{1,20}",
            holder in any_json(), ttl in any_json(),
        ) {
            let mut whole = json!({ "metadata": {
                "name": "orders", "resourceVersion": version, "uid": "u", "labels": labels, "annotations": annotations,
            }, "spec": spec });
            if whole["spec"].is_object() {
                whole["spec"]["holderIdentity"] = holder;
                whole["spec"]["leaseDurationSeconds"] = ttl;
            }
            if let Ok(found) = decode(whole) {
                let written = encode(&key(Kind::Election, "orders"), &claim(Some(found)), None);
                let record = decode(written).unwrap().record;
                prop_assert_eq!(record.holder.as_deref(), Some("me"));
            }
        }
    }
}
