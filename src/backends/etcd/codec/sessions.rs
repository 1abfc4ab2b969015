//! The records of sessions.

use std::{sync::Arc, time::Duration};

use super::{
    super::{keys, messages::KeyValue},
    Decoded, Encoded, FORMAT, base, decode, elapsed_since, wall_clock,
};
use crate::protocol::session::{SessionId, SessionRecord, Stored};

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

/// A listed session, if it was not renewed for this long.
pub(in super::super) fn decode_stale(
    kv: &KeyValue,
    age: Duration,
) -> Option<(SessionId, Arc<Stored<SessionRecord>>)> {
    let id = SessionId::parse(keys::name(&kv.key))?;
    let decoded = decode(kv).ok()?;
    let stale = decoded.text.renewed.is_none_or(|renewed| elapsed_since(renewed) >= age);
    stale.then(|| (id, Arc::new(decoded.session())))
}

/// The value of a session.
pub(in super::super) fn encode_session(
    id: &SessionId,
    stored: Option<&Stored<SessionRecord>>,
    record: &SessionRecord,
) -> Encoded {
    let (mut text, writes) = base(stored.map(|stored| &stored.whole));
    (text.v, text.kind, text.name) = (FORMAT, "session".into(), id.to_string());
    text.holder = record.holder.as_deref().map(Into::into);
    text.ttl = Some(id.ttl().as_secs());
    text.transitions = record.mark;
    text.identity = Some(record.identity.to_string());
    text.renewed = Some(wall_clock());
    Encoded::of(text, writes)
}
