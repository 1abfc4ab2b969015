//! The locks that a session holds: as they are listed and watched, and their copies in the index.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    super::messages::KeyValue, Decoded, Encoded, FORMAT, Text, created, decode, record_name,
    skip_invalid, version,
};
use crate::{
    protocol::{record::Version, session::SessionId},
    store::{Kind, sessions::HeldLock},
};

/// A copy of a record, in the index of held locks.
#[derive(Deserialize)]
struct Copied {
    /// The revision at which the record was created; zero if the copy has the same one.
    created: i64,
    /// How often the record was written.
    writes: i64,
    record: Text,
}

impl Encoded {
    /// The copy of the record, of which `value` is the value.
    pub(in super::super) fn copy(&self, base: Option<&Version>, value: &[u8]) -> Vec<u8> {
        let (created, writes) = (base.map_or(0, created), self.writes);
        let begin = format!("{{\"created\":{created},\"writes\":{writes},\"record\":");
        [begin.as_bytes(), value, b"}"].concat()
    }
}

impl Decoded {
    /// The lock whose name is at the end of the key `kv`.
    fn held(&self, kv: &KeyValue) -> HeldLock {
        let kind = if self.text.kind == "election" { Kind::Election } else { Kind::Lock };
        let (record, name) = (record_name(kv), self.text.name.clone());
        HeldLock { record, name, kind, found: Arc::new(self.lock()) }
    }
}

/// A listed or watched lock, if it can be read.
pub(in super::super) fn decode_held(kv: &KeyValue) -> Option<HeldLock> {
    Some(skip_invalid(decode(kv))?.held(kv))
}

/// A listed or watched lock, if `session` is a holder of it.
pub(in super::super) fn decode_held_by(kv: &KeyValue, session: &SessionId) -> Option<HeldLock> {
    decode_held(kv).filter(|held| is_holder(held, session))
}

/// The record of which a key of the index has a copy, if it has one and `session` is a holder.
pub(in super::super) fn decode_copy(kv: &KeyValue, session: &SessionId) -> Option<HeldLock> {
    let copied = serde_json::from_slice(&kv.value).ok();
    let Copied { created, writes, record } =
        copied.filter(|copied: &Copied| copied.record.v == FORMAT)?;
    let created = if created == 0 { kv.mod_revision } else { created };
    let version = version(created, kv.mod_revision)?;
    let held = Decoded { version, text: record, writes }.held(kv);
    Some(held).filter(|held| is_holder(held, session))
}

fn is_holder(held: &HeldLock, session: &SessionId) -> bool {
    held.found.record.line.held_by().contains(session)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{super::stored, *};

    #[test]
    fn only_the_holders_of_a_lock_count_as_holding_it() {
        let id = |text| SessionId::parse(text).unwrap();
        let (one, two) = (id("s15-k2j5q7w3x4y6z2a3b4c5"), id("s15-aaaaaaaaaaaaaaaaaaaa"));
        let kv = |holder: &str| {
            let (holders, waiters) =
                ([format!("{one}/00000000000000ff")], [format!("{two}/00000000000000fe")]);
            let value = json!({
                "v": 1, "kind": "lock", "name": "x", "holder": holder, "ttl": 60,
                "queue": { "v": 1, "holders": holders, "queue": waiters },
            });
            KeyValue::example("/p/shop/x", value.to_string())
        };

        let held = kv(one.as_str());
        assert!(decode_held_by(&held, &one).is_some() && decode_held_by(&held, &two).is_none());
        assert!(decode_held_by(&kv("other"), &one).is_none(), "another program took it over");
        assert_eq!(decode(&held).unwrap().text.held_by(), [one.clone()].into());
        assert_eq!(decode(&kv("other")).unwrap().text.held_by(), BTreeSet::new());
    }

    #[test]
    fn a_copy_in_the_index_is_the_record_with_its_revisions() {
        let id = SessionId::parse("s15-k2j5q7w3x4y6z2a3b4c5").unwrap();
        let text = Text { v: FORMAT, kind: "lock".into(), name: "a/x".into(), ..Text::default() };
        let line = json!({ "v": 1, "holders": [format!("{id}/00000000000000ff")] });
        let holder = Some(id.to_string());
        let encoded = Encoded::of(Text { queue: Some(line), holder, ..text }, 3);
        for (base, created) in [(version(7, 8), "7"), (None, "9")] {
            let copy = encoded.copy(base.as_ref(), &encoded.value());
            let kv = KeyValue::example(&format!("/p/shop/~held/{id}/x"), copy);
            // That of the key, which is not that of the record.
            let kv = KeyValue { create_revision: 2, ..kv };

            let held = decode_copy(&kv, &id).unwrap();

            assert_eq!((held.record.as_str(), &*held.name), ("x", "a/x"));
            let version = &held.found.version;
            assert_eq!((version.number.get(), &*version.uid), (9, created));
            assert_eq!(stored(&held.found.whole).1, 3);
            let newer = String::from_utf8(kv.value.clone()).unwrap().replace("\"v\":1", "\"v\":2");
            for value in [newer.into_bytes(), Vec::new()] {
                assert!(decode_copy(&KeyValue { value, ..kv.clone() }, &id).is_none());
            }
        }
    }
}
