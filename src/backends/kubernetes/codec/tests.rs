//! Tests of decoding and encoding with single Leases.

use super::{
    check::{claim, key},
    *,
};
use crate::api::name::Name;

pub(super) fn stored(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = "42".into();
    object["metadata"]["uid"] = "u-1".into();
    object
}

#[test]
fn a_record_is_decoded_as_it_was_encoded() {
    let write = claim(None);
    let found = decode(stored(encode(&key(Kind::Lock, "orders"), &write, None))).unwrap();
    assert_eq!(found.record, write.record);
    assert_eq!(found.token().map(NonZeroU64::get), Some(42));
}

#[test]
fn every_field_of_another_program_is_preserved() {
    let theirs = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "news": { "of": "the future" },
        "metadata": {
            "name": "orders", "namespace": "shop", "resourceVersion": "41", "uid": "u-1", "generation": 7,
            "labels": { "app": "theirs" }, "annotations": { "note": "keep me" }, "finalizers": ["x/y"], "later": [1],
        },
        "spec": {
            "holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 2,
            "strategy": "OldestEmulationVersion", "preferredHolder": "pod-b", "soon": true,
        },
    });
    let base = decode(theirs.clone()).unwrap();
    let mut ours = encode(&key(Kind::Election, "orders"), &claim(Some(base)), None);
    for key in
        ["holderIdentity", "leaseDurationSeconds", "leaseTransitions", "acquireTime", "renewTime"]
    {
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
fn the_mark_is_ignored_under_another_holder() {
    let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
    object["spec"]["holderIdentity"] = "another holder".into();
    let found = decode(object).unwrap();
    assert_eq!((found.record.nonce, found.token()), (None, None));
}

#[test]
fn the_mark_is_ignored_after_another_program_renews_under_the_same_name() {
    let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), None));
    object["spec"]["renewTime"] = "2031-01-01T00:00:00.000000Z".into();
    assert_eq!(decode(object).unwrap().record.nonce, None);
}

#[test]
fn invalid_field_values_are_decoded_as_absent() {
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
    assert_eq!(
        decode(object).unwrap().age,
        Some(Duration::ZERO),
        "a renewal in the future has age zero"
    );
}

#[test]
fn a_version_that_is_not_a_number_is_an_error_and_never_token_zero() {
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
        assert!(matches!(decode(object), Err(Error::InvalidRecord { .. })));
    }
}

#[test]
fn a_pod_owns_a_candidate_only_in_its_own_namespace() {
    let pod = |namespace: &str| Pod {
        namespace: namespace.into(),
        name: "web-1".into(),
        uid: "u-9".into(),
    };
    let election = key(Kind::Election, "billing");
    let candidate = election.candidate(&Name::parse("id", "web-1").unwrap());
    let owned = |key: &RecordKey, pod: &Pod| {
        encode(key, &claim(None), Some(pod))["metadata"]["ownerReferences"][0]["uid"].clone()
    };
    assert_eq!(owned(&candidate, &pod("shop")), "u-9");
    assert_eq!(owned(&candidate, &pod("other")), Value::Null);
    assert_eq!(owned(&election, &pod("shop")), Value::Null, "an election outlives its pods");
}

#[test]
fn a_candidate_is_decoded_with_its_election() {
    let election = key(Kind::Election, "jobs/nightly");
    let candidate = election.candidate(&Name::parse("id", "web-1").unwrap());
    let found = decode(stored(encode(&candidate, &claim(None), None))).unwrap();
    let entry = entry(found);
    assert_eq!(entry.kind, Some(candidate.kind));
    assert_eq!(entry.name, "jobs/nightly");
}
