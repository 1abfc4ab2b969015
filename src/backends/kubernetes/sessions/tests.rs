//! What is sent for a session and for a lock with a queue.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    codec::{decode_held, decode_lock, decode_session, encode_lock, encode_session},
    joined, patch,
};
use crate::{
    api::{
        name::{Name, Namespace},
        record::NotBefore,
    },
    backends::kubernetes::{
        codec::{Extras, object_of},
        names::LeaseNames,
    },
    protocol::{
        queue::{
            claim::{Claim, Mode},
            line::Line,
            record::{Condition, Join, LockWrite, Turn},
        },
        record::Nonce,
        session::{SessionId, SessionRecord},
    },
    store::{Kind, RecordKey, names::Names as _},
};

fn session(letter: char) -> SessionId {
    let random: String = std::iter::repeat_n(letter, 20).collect();
    SessionId::parse(&format!("s15-{random}")).unwrap()
}

fn namespace() -> Namespace {
    Namespace::stored("shop")
}

fn key() -> RecordKey {
    let name = Name::parse("lock name", "Orders").unwrap();
    RecordKey {
        namespace: namespace(),
        record: LeaseNames::default().of(&name),
        kind: Kind::Lock,
        name,
    }
}

fn line(letters: &[char]) -> Line {
    let mut line = Line::default();
    for (nonce, letter) in (1..).zip(letters) {
        let (session, nonce) = (session(*letter), Nonce(nonce));
        line.enqueue(Claim { session, nonce, mode: Mode::Exclusive });
    }
    line.promote();
    line
}

/// The object as a server stores it.
fn as_stored(mut object: Value, version: &str) -> Value {
    object["metadata"]["resourceVersion"] = version.into();
    object["metadata"]["uid"] = "u".into();
    object
}

fn write(base: Option<&Value>, line: Line, changes_holders: bool) -> Value {
    let base = base.map(|base| Arc::new(decode_lock(&key(), base.clone()).unwrap()));
    let (condition, turn) = (Condition::Version, Turn::default());
    let not_before = None;
    let write = LockWrite { base, condition, line, turn, changes_holders, not_before };
    encode_lock(&key(), &write, &Extras::default())
}

#[test]
fn what_is_written_is_read() {
    let object = as_stored(write(None, line(&['a', 'b']), true), "5");
    let found = decode_lock(&key(), object.clone()).unwrap();
    assert_eq!((&found.record.line, &found.record.foreign), (&line(&['a', 'b']), &None));
    let held = decode_held(object.clone()).unwrap();
    assert_eq!((held.name.as_str(), held.record), ("Orders", key().record));

    let id = session('a');
    let record = SessionRecord::new(&id, "web-1".into());
    let object = encode_session(&namespace(), &id, None, &record, &Extras::default());
    assert_eq!(decode_session(&id, &as_stored(object, "5")).unwrap().record, record);
}

#[test]
fn a_write_to_an_object_is_conditional_on_its_version_and_its_uid() {
    let stored = as_stored(write(None, line(&['a']), true), "5");
    let sent = write(Some(&stored), Line::default(), true);
    let metadata = &sent["metadata"];
    assert_eq!((&metadata["resourceVersion"], &metadata["uid"]), (&json!("5"), &json!("u")));

    let id = session('a');
    let record = SessionRecord::new(&id, "web-1".into());
    let object = encode_session(&namespace(), &id, None, &record, &Extras::default());
    let base = decode_session(&id, &as_stored(object, "6")).unwrap();
    let sent = encode_session(&namespace(), &id, Some(&base), &record, &Extras::default());
    let metadata = &sent["metadata"];
    assert_eq!((&metadata["resourceVersion"], &metadata["uid"]), (&json!("6"), &json!("u")));
}

#[test]
fn only_the_sessions_that_hold_the_lock_have_a_label() {
    let labels = |object: &Value| {
        let labels = object["metadata"]["labels"].as_object().unwrap();
        labels.keys().filter(|label| label.starts_with("held.")).cloned().collect::<Vec<_>>()
    };
    let stored = as_stored(write(None, line(&['a', 'b']), true), "5");
    assert_eq!(labels(&stored), ["held.leasehold.dev/s15-aaaaaaaaaaaaaaaaaaaa"]);
    let sent = write(Some(&stored), line(&['b']), true);
    assert_eq!(labels(&sent), ["held.leasehold.dev/s15-bbbbbbbbbbbbbbbbbbbb"]);
    assert_eq!(labels(&write(Some(&stored), Line::default(), true)), [""; 0]);
}

#[test]
fn a_claim_behind_a_foreign_holder_leaves_its_fields_alone() {
    let foreign = json!({
        "metadata": {
            "name": key().record.as_str(), "namespace": "shop", "resourceVersion": "5", "uid": "u",
            "labels": { "team": "shop" },
        },
        "spec": { "holderIdentity": "other", "leaseDurationSeconds": 15, "strategy": "x" },
    });
    let found = decode_lock(&key(), foreign.clone()).unwrap();
    let holder = found.record.foreign.unwrap();
    assert_eq!((&*holder.holder, holder.lives), ("other", Duration::from_secs(15)));

    let mut queue = Line::default();
    let claim = Claim { session: session('a'), nonce: Nonce(1), mode: Mode::Exclusive };
    queue.enqueue(claim);
    let sent = write(Some(&foreign), queue, false);
    assert_eq!(sent["spec"], foreign["spec"]);
    assert_eq!(sent["metadata"]["labels"]["team"], "shop");
    let found = decode_lock(&key(), as_stored(sent, "6")).unwrap();
    assert_eq!(found.record.line.queue.len(), 1);
}

#[test]
fn field_managers_are_cleared_only_if_all_fields_are_those_of_this_crate() {
    let managed = |manager: &str| {
        let mut stored = as_stored(write(None, line(&['a']), true), "5");
        let own = json!({ "manager": "leasehold", "operation": "Update" });
        let other = json!({ "manager": manager, "operation": "Update" });
        stored["metadata"]["managedFields"] = json!([own, other]);
        write(Some(&stored), Line::default(), true)["metadata"]["managedFields"].clone()
    };
    assert_eq!(managed("leasehold"), json!([{}]));
    assert_eq!(managed("kubectl").as_array().unwrap().len(), 2);
}

#[test]
fn a_response_about_another_object_is_refused() {
    let stored = as_stored(write(None, line(&['a']), true), "5");
    let mut other = stored.clone();
    other["metadata"]["name"] = "other".into();
    assert!(
        decode_lock(&key(), stored.clone()).is_ok() && decode_lock(&key(), other.clone()).is_err()
    );
    assert!(decode_session(&session('a'), &stored).is_err());
}

/// The object with what a patch needs, in turn 3.
fn patchable() -> Value {
    let mut object = as_stored(write(None, line(&['a']), true), "5");
    object["metadata"]["annotations"]["leasehold.dev/turn"] = "3".into();
    object["metadata"]["annotations"]["leasehold.dev/epoch"] = "1".into();
    object
}

#[test]
fn a_record_is_patched_only_if_all_is_there_that_a_patch_tests_and_the_field_managers_are_settled()
{
    let turn = |object: &Value| decode_lock(&key(), object.clone()).unwrap().record.turn;
    assert_eq!(turn(&patchable()), Some(Turn { number: 3, epoch: 1 }));
    let without = |path: &str| {
        let mut object = patchable();
        *object.pointer_mut(path).unwrap() = Value::Null;
        turn(&object)
    };
    for path in [
        "/metadata/annotations/leasehold.dev~1turn",
        "/metadata/annotations/leasehold.dev~1epoch",
        "/metadata/labels",
        "/spec/holderIdentity",
    ] {
        assert_eq!(without(path), None, "{path}");
    }
    for text in ["+3", "03", "18446744073709551615", "x"] {
        let mut object = patchable();
        object["metadata"]["annotations"]["leasehold.dev/turn"] = text.into();
        assert_eq!(turn(&object), None, "{text}");
    }
    let managed = |managers: Value| {
        let mut object = patchable();
        object["metadata"]["managedFields"] = managers;
        turn(&object).is_some()
    };
    let by = |manager: &str| json!({ "manager": manager, "operation": "Update" });
    assert!(!managed(json!([by("leasehold")])), "the next write ends the tracking");
    assert!(!managed(json!([{}])), "it was created just now");
    assert!(managed(json!([by("leasehold"), by("kubectl")])), "others' fields stay tracked");
}

#[test]
fn a_remembered_object_lacks_only_what_each_write_replaces() {
    let by = |manager: &str| json!({ "manager": manager, "operation": "Update" });
    let mut object = patchable();
    object["metadata"]["annotations"]["team"] = "shop".into();
    object["metadata"]["managedFields"] = json!([by("leasehold")]);
    let remembered =
        |object: &Value| object_of(&decode_lock(&key(), object.clone()).unwrap().whole);

    let mut expected = object.clone();
    let annotations = expected["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.retain(|key, _| key == "team" || key == "leasehold.dev/name");
    expected["metadata"]["managedFields"] = json!([{}]);
    assert_eq!(remembered(&object), expected);

    let shared = json!([by("leasehold"), by("kubectl")]);
    object["metadata"]["managedFields"] = shared.clone();
    assert_eq!(remembered(&object)["metadata"]["managedFields"], shared);
    let sent = write(Some(&object), line(&['b']), true);
    assert_eq!(sent["metadata"]["annotations"]["team"], "shop");
    assert_eq!(sent["metadata"]["managedFields"], shared);
}

#[test]
fn a_patch_tests_the_object_its_holder_and_its_turn_and_adds_the_line_and_the_labels() {
    let mut object = patchable();
    let joined = Claim { session: session('c'), nonce: Nonce(3), mode: Mode::Shared };
    object["metadata"]["annotations"]["queue.leasehold.dev/0000000000000003"] =
        joined.to_string().into();
    object["metadata"]["annotations"]["queue.leasehold.dev/0000000000000004"] = "broken".into();
    let base = Arc::new(decode_lock(&key(), object.clone()).unwrap());
    assert_eq!(base.record.line.joined, std::slice::from_ref(&joined));

    let (condition, turn) = (Condition::Turn, Turn { number: 4, epoch: 1 });
    let base = Some(base);
    let (line, not_before) = (line(&['b']), None);
    let write = LockWrite { base, condition, line, turn, changes_holders: true, not_before };
    let operations = patch::line(write.base.as_ref().unwrap(), &write);
    let operation = |op: &str, path: &str| {
        let found = operations.iter().find(|one| one["op"] == op && one["path"] == path);
        found.unwrap_or_else(|| panic!("no {op} of {path}: {operations:?}"))["value"].clone()
    };
    assert_eq!(operation("test", "/metadata/uid"), "u");
    assert_eq!(operation("test", "/spec/holderIdentity"), session('a').as_str());
    assert_eq!(operation("test", "/metadata/annotations/leasehold.dev~1turn"), "3");
    assert_eq!(operation("add", "/metadata/annotations/leasehold.dev~1turn"), "4");
    assert_eq!(operation("add", "/spec/holderIdentity"), session('b').as_str());
    operation("remove", "/metadata/annotations/queue.leasehold.dev~10000000000000003");
    operation("remove", &format!("/metadata/labels/held.leasehold.dev~1{}", session('a').as_str()));
    operation("add", &format!("/metadata/labels/held.leasehold.dev~1{}", session('b').as_str()));
    let text = operation("add", "/metadata/annotations/leasehold.dev~1queue");
    assert_eq!(text, write.line.to_text());
    let epochs = operations.iter().filter(|one| one["path"].as_str().unwrap().ends_with("epoch"));
    assert_eq!(epochs.count(), 0, "the same epoch");

    let join = Join { base: write.base.unwrap(), epoch: 1, claims: vec![joined] };
    let added = "/metadata/annotations/queue.leasehold.dev~10000000000000003";
    let claim = format!("{}/0000000000000003/shared", session('c').as_str());
    let (at, text) = (Timestamp::UNIX_EPOCH, "1970-01-01T00:00:00.000000Z");
    assert_eq!(
        patch::join(&join, at),
        [
            json!({ "op": "test", "path": "/metadata/uid", "value": "u" }),
            json!({ "op": "test", "path": "/metadata/annotations/leasehold.dev~1epoch", "value": "1" }),
            json!({ "op": "add", "path": added, "value": format!("{claim} {text}") }),
        ]
    );
}

#[test]
fn claims_that_joined_are_in_the_order_of_their_times() {
    let claim = |nonce| Claim { session: session('c'), nonce: Nonce(nonce), mode: Mode::Exclusive };
    let at = |second| Timestamp::from_second(second).unwrap();
    let annotations = [
        (claim(1), joined::value(&claim(1), at(7), 0)),
        (claim(2), joined::value(&claim(2), at(5), 1)),
        (claim(3), joined::value(&claim(3), at(5), 0)),
        (claim(4), claim(4).to_string()),
        (claim(5), format!("{} yesterday", claim(5))),
        (claim(6), joined::value(&claim(7), at(1), 0)),
    ];
    let annotations: Map<_, _> =
        annotations.map(|(claim, text)| (joined::key(&claim), text.into())).into_iter().collect();
    let object = json!({ "metadata": { "annotations": annotations } });

    assert_eq!(joined::claims(&object), [claim(4), claim(5), claim(3), claim(2), claim(1)]);
}

#[test]
fn a_write_sets_keeps_and_removes_the_time_before_which_no_tenure_may_begin() {
    const PATH: &str = "/metadata/annotations/leasehold.dev~1not-before";
    let text = r#"{"time":"2100-01-01T00:00:00Z","length":"10m","holder":"a"}"#;
    let mut object = patchable();
    object["metadata"]["annotations"]["leasehold.dev/not-before"] = text.into();
    let base = Arc::new(decode_lock(&key(), object).unwrap());
    assert!(!base.whole.as_str().contains("not-before"), "each write sets it");
    let stated = base.record.not_before.clone().unwrap();
    let later =
        Arc::new(NotBefore { time: stated.time + Duration::from_secs(1), ..(*stated).clone() });
    let later_text = text.replace("00Z", "01Z");

    for (not_before, whole, operations) in [
        (Some(stated), Some(text), json!([])),
        (
            Some(later),
            Some(&*later_text),
            json!([{ "op": "add", "path": PATH, "value": later_text }]),
        ),
        // Nothing can be removed that is not there, and an operator may have removed it.
        (
            None,
            None,
            json!([{ "op": "add", "path": PATH, "value": "" }, { "op": "remove", "path": PATH }]),
        ),
    ] {
        let (condition, turn, line) = (Condition::Turn, Turn { number: 4, epoch: 1 }, line(&['b']));
        let write = LockWrite {
            base: Some(Arc::clone(&base)),
            condition,
            line,
            turn,
            changes_holders: false,
            not_before,
        };
        let sent = patch::line(&base, &write);
        let sent: Vec<_> = sent.into_iter().filter(|one| one["path"] == PATH).collect();
        assert_eq!(Value::from(sent), operations);
        let object = encode_lock(&key(), &write, &Extras::default());
        assert_eq!(object.pointer(PATH).and_then(Value::as_str), whole);
    }
}
