//! What is sent for a session and for a lock with a queue.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::codec::{decode_held, decode_lock, decode_session, encode_lock, encode_session};
use crate::{
    api::name::{LeaseName, Name, Namespace},
    backends::kubernetes::codec::Extras,
    protocol::{
        queue::{
            claim::{Claim, Mode},
            line::Line,
            record::LockWrite,
        },
        record::Nonce,
        session::{SessionId, SessionRecord},
    },
    store::{Kind, RecordKey},
};

fn session(letter: char) -> SessionId {
    let random: String = std::iter::repeat_n(letter, 20).collect();
    SessionId::parse(&format!("s15-{random}")).unwrap()
}

fn namespace() -> Namespace {
    Namespace::parse("shop").unwrap()
}

fn key() -> RecordKey {
    let name = Name::parse("lock name", "Orders").unwrap();
    RecordKey { namespace: namespace(), lease: LeaseName::of("", &name), kind: Kind::Lock, name }
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
    let base = base.map(|base| Arc::new(decode_lock(&key(), base).unwrap()));
    encode_lock(&key(), &LockWrite { base, line, changes_holders }, &Extras::default())
}

#[test]
fn what_is_written_is_read() {
    let object = as_stored(write(None, line(&['a', 'b']), true), "5");
    let found = decode_lock(&key(), &object).unwrap();
    assert_eq!((&found.record.line, &found.record.foreign), (&line(&['a', 'b']), &None));
    let held = decode_held(&object).unwrap();
    assert_eq!((held.name.as_str(), held.lease), ("Orders", key().lease));

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
            "name": key().lease.as_str(), "namespace": "shop", "resourceVersion": "5", "uid": "u",
            "labels": { "team": "shop" },
        },
        "spec": { "holderIdentity": "other", "leaseDurationSeconds": 15, "strategy": "x" },
    });
    let found = decode_lock(&key(), &foreign).unwrap();
    let holder = found.record.foreign.unwrap();
    assert_eq!((&*holder.holder, holder.lives), ("other", Duration::from_secs(15)));

    let mut queue = Line::default();
    let claim = Claim { session: session('a'), nonce: Nonce(1), mode: Mode::Exclusive };
    queue.enqueue(claim);
    let sent = write(Some(&foreign), queue, false);
    assert_eq!(sent["spec"], foreign["spec"]);
    assert_eq!(sent["metadata"]["labels"]["team"], "shop");
    let found = decode_lock(&key(), &as_stored(sent, "6")).unwrap();
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
    assert!(decode_lock(&key(), &stored).is_ok() && decode_lock(&key(), &other).is_err());
    assert!(decode_session(&session('a'), &stored).is_err());
}
