//! What only people read of a record or a session, and what only an operator writes.

use super::{
    super::messages::KeyValue, Decoded, Encoded, Text, decode, elapsed_since, skip_invalid, stored,
};
use crate::{
    api::{name::Namespace, session::SessionInfo},
    protocol::{
        record::{Versioned, Whole},
        session::SessionId,
    },
    store::{ListedSession, inspect::Description},
};

/// What a record says to people only.
pub(in super::super) fn describe(found: &Versioned) -> Description {
    let (text, writes) = stored(&found.whole);
    let acquired_ago = text.acquired.map(elapsed_since);
    let decoded = Decoded { version: found.version.clone(), text, writes };
    let queue = decoded.text.queue.is_some().then(|| decoded.lock().record);
    Description { acquired_ago, queue }
}

/// The value of the record without its holder, and without the time before which no other tenure may begin. Everything
/// else stays as it is.
pub(in super::super) fn encode_released(whole: &Whole) -> Encoded {
    let (text, writes) = stored(whole);
    let before = text.held_by();
    let free =
        Text { holder: None, write: None, claim: None, token: None, not_before: None, ..text };
    Encoded { before, ..Encoded::of(free, writes + 1) }
}

/// A session, with what only people read.
pub(in super::super) fn decode_session_info(
    namespace: &Namespace,
    id: &SessionId,
    kv: &KeyValue,
) -> Option<SessionInfo> {
    let decoded = skip_invalid(decode(kv))?;
    let record = decoded.session().record;
    let renewed = decoded.text.renewed.filter(|_| !record.is_placeholder());
    Some(SessionInfo {
        id: id.to_string(),
        namespace: namespace.to_string(),
        identity: record.identity.to_string(),
        ttl: id.ttl(),
        renewed_ago: renewed.map(elapsed_since),
        is_over: record.is_over(),
    })
}

/// A session, as it is listed for people.
pub(in super::super) fn decode_session_entry(
    id: &SessionId,
    kv: &KeyValue,
) -> Option<ListedSession> {
    let found = skip_invalid(decode(kv))?.record();
    let is_over = found.record.holder.is_none();
    Some(ListedSession { id: id.clone(), version: found.version.number, is_over, age: found.age })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(value: &Value) -> Versioned {
        decode(&KeyValue::example("/p/shop/x", value.to_string())).unwrap().record()
    }

    #[test]
    fn a_release_by_force_frees_the_record_and_keeps_the_fields_of_others() {
        let value = json!({
            "v": 1, "kind": "lock", "name": "x", "holder": "a", "ttl": 15, "transitions": 4,
            "write": "00000000000000ff", "token": 8, "team": "shop",
            "not_before": { "time": "2100-01-01T00:00:00Z", "length": "PT1H", "holder": "a" },
        });
        let before = found(&value);
        assert!(before.token().is_some() && before.record.not_before.is_some(), "{before:?}");

        let text: Value = serde_json::from_slice(&encode_released(&before.whole).value()).unwrap();

        let after = found(&text).record;
        assert!(after.is_free() && after.not_before.is_none(), "{after:?}");
        assert_eq!((after.nonce, after.token), (None, None), "no tenure");
        assert_eq!((&text["team"], &text["transitions"]), (&json!("shop"), &json!(4)));
    }
}
