//! Properties of every object that a server can send, and of every record that is encoded.

use std::time::SystemTime;

use proptest::{option, prelude::*};

use super::{
    check::{SPEC, check_lease, key},
    tests::stored,
    *,
};
use crate::api::{record::NotBefore, timing::MAX_AT_LEAST};

fn any_json() -> impl Strategy<Value = Value> + Clone {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
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

fn a_number() -> impl Strategy<Value = Value> {
    let edges = [0, -1, 1, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN];
    prop_oneof![prop::sample::select(edges.to_vec()).prop_map(Value::from), any_json()]
}

fn a_time() -> impl Strategy<Value = Value> {
    let odd = [
        "1970-01-01T00:00:00Z",
        "-9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "2026-02-30T00:00:00Z",
        "2026-06-30T23:59:60Z",
        "2026-01-01T00:00:00.000000+25:00",
        "yesterday",
        "",
    ];
    prop_oneof![prop::sample::select(odd.to_vec()).prop_map(Value::from), any_json()]
}

fn a_version() -> impl Strategy<Value = Value> {
    prop_oneof!["[0-9]{1,21}", "[-+ ]?[0-9a-fx]{0,4}"].prop_map(Value::from)
}

/// A mark in the format of this crate, with arbitrary values.
fn a_mark() -> impl Strategy<Value = Value> {
    let (text, mark) = (any_json(), (any_json(), any_json(), any_json(), any_json()));
    let mark = mark.prop_map(|(holder, renewed, write, token)| {
        json!({ "holder": holder, "renewed": renewed, "write": write, "token": token })
            .to_string()
            .into()
    });
    prop_oneof![mark, text]
}

/// A not-before time in the format of this crate, with arbitrary values.
fn a_not_before() -> impl Strategy<Value = Value> {
    let length = prop_oneof![
        prop::sample::select(vec!["10m", "PT1S", "-1s", "0s", "367d", "8784h", "8785h"])
            .prop_map(Value::from),
        any_json()
    ];
    let stated = (a_time(), length, any_json()).prop_map(|(time, length, holder)| {
        json!({ "time": time, "length": length, "holder": holder }).to_string().into()
    });
    prop_oneof![stated, any_json()]
}

prop_compose! {
    fn a_lease()(
        metadata in any_json(), labels in any_json(), annotations in any_json(),
        (mark, not_before) in (a_mark(), a_not_before()), kind in any_json(),
        version in a_version(), spec in any_json(), holder in any_json(), ttl in a_number(), changes in a_number(),
        (renewed, acquired) in (a_time(), a_time()), preferred in any_json(), more in any_json(),
    ) -> Value {
        let mut lease = json!({ "kind": kind, "more": more, "metadata": metadata, "spec": spec });
        if !lease["metadata"].is_object() {
            lease["metadata"] = json!({});
        }
        lease["metadata"]["labels"] = labels;
        lease["metadata"]["annotations"] = annotations;
        lease["metadata"]["resourceVersion"] = version;
        lease["metadata"]["uid"] = "u-1".into();
        if lease["metadata"]["annotations"].is_object() {
            lease["metadata"]["annotations"][MARK] = mark;
            lease["metadata"]["annotations"][not_before::NOT_BEFORE] = not_before;
        }
        if lease["spec"].is_object() {
            let fields = [holder, ttl, changes, renewed, acquired, preferred];
            for (name, value) in SPEC.iter().zip(fields) {
                lease["spec"][name] = value;
            }
        }
        lease
    }
}

prop_compose! {
    fn a_stated_not_before()(
        millis in 0..=253_402_200_000_000_u64, length in 1..=MAX_AT_LEAST.as_nanos(), holder in ".{0,40}",
    ) -> Arc<NotBefore> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let length = Duration::from_nanos(u64::try_from(length).unwrap());
        Arc::new(NotBefore { time, length, holder })
    }
}

prop_compose! {
    fn a_record()(
        holder in option::of(".{1,40}"), nonce in any::<u64>(),
        ttl in 1..=u64::try_from(i32::MAX).expect("positive"), transitions in 0..=i32::MAX, token in any::<Option<NonZeroU64>>(),
        not_before in option::of(a_stated_not_before()), payload in option::of(".{1,40}"),
    ) -> Record {
        Record {
            holder: holder.map(Into::into),
            nonce: Some(Nonce(nonce)),
            ttl: Some(Duration::from_secs(ttl)),
            transitions,
            preferred: None,
            token,
            not_before,
            payload: payload.map(Into::into),
        }
    }
}

proptest! {
    #[test]
    fn no_object_makes_the_codec_panic(whole in any_json()) {
        prop_assert!(!check_lease(&whole), "an arbitrary object has no version");
    }

    #[test]
    fn every_lease_with_a_version_is_decoded_and_encoded_without_loss(lease in a_lease()) {
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap().parse::<NonZeroU64>();
        prop_assert_eq!(check_lease(&lease), version.is_ok());
    }

    #[test]
    fn every_record_is_decoded_as_it_was_encoded(record in a_record(), claims in any::<bool>()) {
        let change = if claims { WriteKind::Claim } else { WriteKind::Renew };
        let write = Write { base: None, kind: change, record };
        let found = decode(&stored(encode(&key(Kind::Lock, "orders"), &write, &Extras::default()))).unwrap();
        prop_assert_eq!(found.record, write.record);
    }
}
