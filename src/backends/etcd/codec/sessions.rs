//! The records of sessions.

use std::{sync::Arc, time::Duration};

use super::{
    super::messages::KeyValue, Decoded, Encoded, Text, begin, decode, elapsed_since, version,
    wall_clock,
};
use crate::{
    api::error::Result,
    protocol::session::{SessionId, SessionRecord, Stored},
    store::sessions::NamedSession,
};

/// The holder and the identity of a session whose value cannot be read. It is the name of no session.
const UNREADABLE: &str = "unreadable";

/// Reads the value of a session. One that cannot be read belongs to no process, and is not over yet.
///
/// So its owner loses the session at the next heartbeat, and other processes end it as any other that is not renewed.
/// No two processes hold a lock of the session meanwhile:
///
/// - Every confirmed heartbeat of the owner is older than this value, because a heartbeat is conditional on the revision
///   of the one before. The owner counts nine tenths of the ttl from before that heartbeat was sent.
/// - Another process counts the whole ttl from the moment at which it received this revision, which is later, and then
///   ends the session with a write that is conditional on this revision.
///
/// A value without a holder would be over at once, before its owner knows. The format of the value makes no difference:
/// the name states the ttl, also of a session whose key is missing.
pub(in super::super) fn decode_session(kv: &KeyValue) -> Result<Decoded> {
    decode(kv).or_else(|error| {
        let Some(version) = version(kv.create_revision, kv.mod_revision) else { return Err(error) };
        tracing::warn!(%error, "the key of a session cannot be read, so the session ends");
        let text = Text {
            holder: Some(UNREADABLE.into()),
            identity: Some(UNREADABLE.into()),
            // One of a newer format says it perhaps in the same way.
            renewed: serde_json::from_slice(&kv.value).ok().and_then(|text: Text| text.renewed),
            ..Text::default()
        };
        Ok(Decoded { version, text, writes: kv.version })
    })
}

impl Decoded {
    /// The record of a session.
    pub(in super::super) fn session(&self) -> Stored<SessionRecord> {
        let record = SessionRecord {
            holder: self.text.holder().map(Into::into),
            mark: self.text.transitions,
            identity: self.text.identity.as_deref().unwrap_or_default().into(),
        };
        Stored { version: self.version.clone(), record, whole: self.whole() }
    }
}

/// A listed session, if it was not renewed for this long. One that cannot be read is too, because nothing else would
/// ever delete it, unless the value says when it was renewed.
pub(in super::super) fn decode_stale(
    id: &SessionId,
    kv: &KeyValue,
    age: Duration,
) -> Option<NamedSession> {
    let decoded = decode_session(kv).ok()?;
    let stale = decoded.text.renewed.is_none_or(|renewed| elapsed_since(renewed) >= age);
    stale.then(|| (id.clone(), Arc::new(decoded.session())))
}

/// The value of a session.
pub(in super::super) fn encode_session(
    id: &SessionId,
    stored: Option<&Stored<SessionRecord>>,
    record: &SessionRecord,
) -> Encoded {
    let (mut text, writes) = begin(stored.map(|stored| &stored.whole), "session", id.as_str());
    text.holder = record.holder.as_deref().map(Into::into);
    text.ttl = Some(id.ttl().as_secs());
    text.transitions = record.mark;
    text.identity = Some(record.identity.to_string());
    text.renewed = Some(wall_clock());
    Encoded::of(text, writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_cannot_be_read_is_of_no_process_and_not_over_and_its_end_can_be_read() {
        let id = SessionId::parse("s15-k2j5q7w3x4y6z2a3b4c5").unwrap();
        let kv = |value: &[u8]| KeyValue::example(&format!("/p/shop/~sessions/{id}"), value);
        for value in [&b""[..], b"garbage", b"{}", b"[1]", b"\xff", br#"{"v":2}"#] {
            let found = decode_session(&kv(value)).unwrap().session();

            let holder = found.record.holder.as_deref();
            assert!(!found.record.is_over() && holder != Some(id.as_str()), "{found:?}");
            assert!(SessionId::parse(holder.unwrap()).is_none(), "{found:?}");
            assert_eq!((found.version.number.get(), &*found.version.uid), (9, "7"));
            let end = encode_session(&id, Some(&found), &found.record.ended()).value();
            assert!(decode_session(&kv(&end)).unwrap().session().record.is_over(), "{end:?}");
        }
    }

    #[test]
    fn a_session_that_cannot_be_read_is_stale_unless_it_says_when_it_was_renewed() {
        let stale = |value: &str| {
            let id = SessionId::parse("s15-k2j5q7w3x4y6z2a3b4c5").unwrap();
            let kv = KeyValue::example(&format!("/p/shop/~sessions/{id}"), value);
            decode_stale(&id, &kv, Duration::from_secs(60)).is_some()
        };
        let newer = |renewed| format!(r#"{{"v":2,"renewed":"{renewed}"}}"#);

        assert!(stale("") && stale("garbage") && stale(&newer("2020-01-01T00:00:00Z")));
        assert!(!stale(&newer(wall_clock().to_string().as_str())));
    }
}
