//! Tests of decoding and encoding with single Leases.

use std::time::{Duration, SystemTime};

use super::{
    check::{claim, key},
    *,
};
use crate::{
    api::{name::Name, record::NotBefore},
    backends::kubernetes::names::LeaseNames,
};

pub(super) fn stored(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = "42".into();
    object["metadata"]["uid"] = "u-1".into();
    object
}

#[test]
fn a_record_is_decoded_as_it_was_encoded() {
    let write = claim(None);
    let found =
        decode(&stored(encode(&key(Kind::Lock, "orders"), &write, &Extras::default()))).unwrap();
    assert_eq!(found.record, write.record);
    assert_eq!(found.token(), None, "a claim does not state its version, and may have been edited");
}

#[test]
fn the_token_is_the_one_that_a_renewal_states() {
    let mut write = claim(None);
    write.record.token = NonZeroU64::new(17);
    let found =
        decode(&stored(encode(&key(Kind::Lock, "orders"), &write, &Extras::default()))).unwrap();
    assert_eq!(found.token().map(NonZeroU64::get), Some(17));
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
    let base = decode(&theirs).unwrap();
    let mut ours = encode(&key(Kind::Election, "orders"), &claim(Some(base)), &Extras::default());
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
    let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
    object["spec"]["holderIdentity"] = "another holder".into();
    let found = decode(&object).unwrap();
    assert_eq!((found.record.nonce, found.token()), (None, None));
}

#[test]
fn the_mark_is_ignored_after_another_program_renews_under_the_same_name() {
    let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
    object["spec"]["renewTime"] = "2031-01-01T00:00:00.000000Z".into();
    assert_eq!(decode(&object).unwrap().record.nonce, None);
}

#[test]
fn a_ttl_beyond_the_largest_of_a_lease_counts_as_the_largest() {
    let largest = Duration::from_secs(2_147_483_647);
    for secs in [2_147_483_647, 2_147_483_648, i64::MAX as u64, u64::MAX] {
        let mut object =
            stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
        object["spec"]["leaseDurationSeconds"] = secs.into();
        assert_eq!(decode(&object).unwrap().record.ttl, Some(largest), "{secs}");
    }
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
        let mut object =
            stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
        object["spec"][field] = value;
        assert_eq!(decode(&object).unwrap().record.ttl, None);
    }
    let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
    object["spec"]["renewTime"] = "yesterday".into();
    assert_eq!(decode(&object).unwrap().age, None);
    object["spec"]["renewTime"] = "9999-01-01T00:00:00.000000Z".into();
    assert_eq!(
        decode(&object).unwrap().age,
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
        let mut object =
            stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
        object["metadata"]["resourceVersion"] = version;
        assert!(matches!(decode(&object), Err(Error::InvalidRecord { .. })));
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
    let candidate =
        election.candidate(&LeaseNames::default(), &Name::parse("id", "web-1").unwrap());
    let owned = |key: &RecordKey, pod: &Pod| {
        encode(key, &claim(None), &Extras { pod: Some(pod.clone()), ..Extras::default() })["metadata"]["ownerReferences"][0]["uid"].clone()
    };
    assert_eq!(owned(&candidate, &pod("shop")), "u-9");
    assert_eq!(owned(&candidate, &pod("other")), Value::Null);
    assert_eq!(owned(&election, &pod("shop")), Value::Null, "an election outlives its pods");
}

#[test]
fn a_candidate_is_decoded_with_its_election() {
    let election = key(Kind::Election, "jobs/nightly");
    let candidate =
        election.candidate(&LeaseNames::default(), &Name::parse("id", "web-1").unwrap());
    let object = stored(encode(&candidate, &claim(None), &Extras::default()));
    let entry = decode_entry(&object).unwrap();
    assert_eq!(entry.kind, Some(candidate.kind));
    assert_eq!(entry.name, "jobs/nightly");
}

#[test]
fn the_write_after_a_create_ends_the_tracking_of_field_managers() {
    let (key, create) = (key(Kind::Lock, "orders"), claim(None));
    let mut created = stored(encode(&key, &create, &Extras::default()));
    created["metadata"]["managedFields"] = json!([{ "manager": "us", "operation": "Update" }]);
    untrack_created(&mut created);

    let write = Write { base: Some(Arc::new(decode(&created).unwrap())), ..create };

    assert_eq!(encode(&key, &write, &Extras::default())["metadata"]["managedFields"], json!([{}]));
}

#[test]
fn an_answer_without_field_managers_stays_as_it_is() {
    for object in [
        json!("text"),
        json!({}),
        json!({ "metadata": [] }),
        json!({ "metadata": { "managedFields": null } }),
    ] {
        let mut same = object.clone();
        untrack_created(&mut same);
        assert_eq!(same, object);
    }
}

/// The time before which no tenure may begin, of a Lease with this annotation.
fn not_before_of(annotation: Value) -> Option<Arc<NotBefore>> {
    let mut object = stored(encode(&key(Kind::Lock, "orders"), &claim(None), &Extras::default()));
    object["metadata"]["annotations"][not_before::NOT_BEFORE] = annotation;
    decode(&object).unwrap().record.not_before
}

#[test]
fn a_not_before_time_that_cannot_be_read_or_is_too_long_is_ignored() {
    let stated = |time: &str, length: &str| {
        json!({ "time": time, "length": length, "holder": "host-a" }).to_string().into()
    };
    let known = not_before_of(stated("2026-11-29T02:10:00.25Z", "10m")).unwrap();
    let seconds = known.time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!((seconds, known.length), (1_795_918_200_250, Duration::from_secs(600)));
    assert_eq!(known.holder, "host-a");

    for (time, length) in [
        ("2026-11-29T02:10:00Z", "0s"),
        ("2026-11-29T02:10:00Z", "-10m"),
        ("2026-11-29T02:10:00Z", "8785h"),
        ("2026-11-29T02:10:00Z", "soon"),
        ("1969-12-31T23:59:59Z", "10m"),
        ("tomorrow", "10m"),
        ("", ""),
    ] {
        assert_eq!(not_before_of(stated(time, length)), None, "{time} {length}");
    }
    for annotation in [json!(7), json!("10m"), json!("{}"), json!({}), Value::Null] {
        assert_eq!(not_before_of(annotation.clone()), None, "{annotation}");
    }
}

#[test]
fn each_write_sets_the_not_before_time_of_its_record_and_removes_an_older_one() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let not_before =
        NotBefore { time, length: Duration::from_secs(600), holder: "host-a".to_owned() };
    let mut write = claim(None);
    write.record.not_before = Some(Arc::new(not_before.clone()));
    let (lock, extras) = (key(Kind::Lock, "orders"), Extras::default());

    let object = encode(&lock, &write, &extras);
    let base = decode(&stored(object)).unwrap();
    let forced = released(&base.whole);
    let next = encode(&lock, &claim(Some(base.clone())), &extras);

    assert_eq!(base.record.not_before.as_deref(), Some(&not_before));
    for (object, by) in [(&forced, "a release by an operator"), (&next, "the next claim")] {
        let annotations = object["metadata"]["annotations"].as_object().unwrap();
        assert!(
            !annotations.contains_key(not_before::NOT_BEFORE) && annotations.len() == 1,
            "{by}"
        );
    }
}
