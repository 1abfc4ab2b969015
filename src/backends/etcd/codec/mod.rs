//! Converts values of keys to records and back.
//!
//! A value is JSON that a person can read, with the version of the format. A write starts from the whole value and
//! replaces only what this crate owns. What has the key, the revision of its creation and that of its last write is not
//! repeated in the value: they are the name, the uid and the version.

mod held;
mod people;
mod sessions;

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(super) use self::held::{decode_copy, decode_held, decode_held_by};
pub(super) use self::people::{
    decode_session_entry, decode_session_info, describe, encode_released,
};
pub(super) use self::sessions::{decode_session, decode_stale, encode_session};
use super::{keys, messages::KeyValue};
use crate::{
    api::{
        error::{Error, Result},
        name::{Namespace, RecordName},
        record::NotBefore,
        timing::MAX_AT_LEAST,
    },
    protocol::{
        queue::{
            line::Line,
            record::{FENCE, LockRecord, LockWrite, StoredLock},
        },
        record::{Nonce, Record, Version, Versioned, Whole, Write, WriteKind},
        session::{SessionId, Stored},
    },
    store::{Entry, Kind, RecordKey},
    util::environment,
};

/// The version of the format.
const FORMAT: u32 = 1;

/// The value of a key. All fields but the first may be absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Text {
    v: u32,
    /// `lock`, `election`, `candidate` or `session`.
    kind: String,
    /// The name of the lock or election, as its caller wrote it.
    name: String,
    /// Of a candidate: the name of the election's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_of: Option<String>,
    /// The identity of the holder; absent if the record is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    transitions: i32,
    /// When the tenure began, and when it was renewed: for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    acquired: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<Timestamp>,
    /// The identifier of the write: see [`Nonce`].
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<String>,
    /// In a claim: how often the key is written when the claim is stored. If that is still so, no other write followed,
    /// and the revision of the key is the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<i64>,
    /// The token, after the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<NotBeforeText>,
    /// Holders and queue of a lock of sessions: see `protocol::queue::line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<Value>,
    /// The text that a candidate was started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// Of a session: the identity of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// What this version of the crate does not know.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// A [`NotBefore`] as a person reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NotBeforeText {
    time: Timestamp,
    /// For example `10m`. A longer one than a caller may ask for is not believed.
    length: SignedDuration,
    holder: String,
}

/// A value with the revisions of its key.
pub(super) struct Decoded {
    version: Version,
    text: Text,
    /// How often the key was written.
    writes: i64,
}

/// A value to write.
pub(super) struct Encoded {
    text: Text,
    /// How often the key is then written.
    writes: i64,
    /// The sessions that hold the lock before the write, and after it.
    pub(super) before: BTreeSet<SessionId>,
    pub(super) after: BTreeSet<SessionId>,
}

impl Text {
    fn holder(&self) -> Option<&str> {
        self.holder.as_deref().filter(|holder| !holder.is_empty())
    }

    /// The holders and the queue.
    fn judge(&self, lives: Duration, spec: impl FnOnce() -> Arc<str>) -> LockRecord {
        let line = self.queue.as_ref().map(Value::to_string);
        LockRecord::judge(self.holder(), line.as_deref(), Vec::new(), None, lives, spec)
    }

    /// The sessions that hold the lock.
    fn held_by(&self) -> BTreeSet<SessionId> {
        let LockRecord { line, .. } = self.judge(Duration::ZERO, || "".into());
        line.held_by().into_iter().cloned().collect()
    }
}

impl Encoded {
    /// A write that changes no holders.
    fn of(text: Text, writes: i64) -> Self {
        Self { text, writes, before: BTreeSet::new(), after: BTreeSet::new() }
    }

    pub(super) fn value(&self) -> Vec<u8> {
        serde_json::to_vec(&self.text).unwrap_or_default()
    }

    /// The key as it is stored after the write at `revision`.
    pub(super) fn stored(self, base: Option<&Version>, revision: i64) -> Option<Decoded> {
        let version = version(base.map_or(revision, created), revision)?;
        Some(Decoded { version, text: self.text, writes: self.writes })
    }
}

/// A revision as the number of a version. `None` for one that no key has.
pub(super) fn number(revision: i64) -> Option<NonZeroU64> {
    u64::try_from(revision).ok().and_then(NonZeroU64::new)
}

/// The version of a key. `None` for revisions that no key has.
fn version(created: i64, modified: i64) -> Option<Version> {
    let number = number(modified)?;
    Some(Version { number, uid: created.to_string().into() })
}

/// The revision at which the key was created.
pub(super) fn created(version: &Version) -> i64 {
    version.uid.parse().unwrap_or_default()
}

/// Reads a value.
pub(super) fn decode(kv: &KeyValue) -> Result<Decoded> {
    let invalid = |reason: String| Error::InvalidRecord {
        name: String::from_utf8_lossy(&kv.key).into_owned(),
        reason,
    };
    let text: Text = serde_json::from_slice(&kv.value).map_err(|error| {
        invalid(format!(
            "its value is not a record of this crate ({error}). Choose another prefix, or delete the key"
        ))
    })?;
    if text.v != FORMAT {
        return Err(invalid(format!(
            "its value has format {}, and this version of the crate knows {FORMAT}. Use a newer version",
            text.v
        )));
    }
    let version = version(kv.create_revision, kv.mod_revision);
    let version = version.ok_or_else(|| invalid("etcd gave it no revision".into()))?;
    Ok(Decoded { version, text, writes: kv.version })
}

impl Decoded {
    fn whole(&self) -> Whole {
        Whole::new(serde_json::to_string(&(self.writes, &self.text)).unwrap_or_default())
    }

    fn fields(&self) -> Record {
        let text = &self.text;
        let nonce = text.write.as_ref().and_then(|nonce| nonce.parse().ok());
        let claimed = (text.claim == Some(self.writes)).then_some(self.version.number);
        Record {
            holder: text.holder().map(Into::into),
            nonce,
            ttl: Record::stated_ttl(text.ttl),
            transitions: text.transitions,
            preferred: None,
            token: text.token.or(claimed.filter(|_| text.holder().is_some() && nonce.is_some())),
            not_before: text.not_before.as_ref().and_then(NotBeforeText::read).map(Arc::new),
            payload: text.payload.as_deref().map(Into::into),
        }
    }

    /// The record of a lock or an election, or of a candidate.
    pub(super) fn record(&self) -> Versioned {
        let age = self.text.renewed.map(elapsed_since);
        let (version, record, whole) = (self.version.clone(), self.fields(), self.whole());
        Versioned { version, record, age, whole }
    }

    /// The record of a lock with its holders and its queue.
    pub(super) fn lock(&self) -> StoredLock {
        let lives = self.fields().lives();
        // Our own writes to the queue are none of its holder.
        let spec = || json!(Text { queue: None, ..self.text.clone() }).to_string().into();
        let judged = self.text.judge(lives, spec);
        let record = LockRecord { not_before: self.fields().not_before, ..judged };
        Stored { version: self.version.clone(), record, whole: self.whole() }
    }
}

impl NotBeforeText {
    fn read(&self) -> Option<NotBefore> {
        let length = Duration::try_from(self.length).ok()?;
        let time = SystemTime::from(self.time);
        let possible =
            !length.is_zero() && length <= MAX_AT_LEAST && time >= SystemTime::UNIX_EPOCH;
        possible.then(|| NotBefore { time, length, holder: self.holder.clone() })
    }

    fn written(not_before: &NotBefore) -> Option<Self> {
        let NotBefore { time, length, holder } = not_before;
        let (time, length) = (Timestamp::try_from(*time).ok()?, (*length).try_into().ok()?);
        Some(Self { time, length, holder: holder.clone() })
    }
}

/// A listed or watched record with its purpose. One that cannot be read is skipped, so that it does not hide the others.
pub(super) fn decode_entry(namespace: &Namespace, kv: &KeyValue) -> Option<Entry> {
    let decoded = skip_invalid(decode(kv))?;
    let found = Arc::new(decoded.record());
    let queue = decoded.text.queue.is_some().then(|| Arc::new(decoded.lock().record));
    let Text { kind, name, candidate_of, .. } = decoded.text;
    let kind = match kind.as_str() {
        "lock" => Some(Kind::Lock),
        "election" => Some(Kind::Election),
        "candidate" => candidate_of.map(|election| Kind::Candidate(RecordName::stored(&election))),
        _ => None,
    };
    Some(Entry {
        namespace: namespace.clone(),
        record: record_name(kv),
        kind,
        name,
        found,
        queue,
        succession: None,
    })
}

fn skip_invalid<T>(decoded: Result<T>) -> Option<T> {
    decoded.inspect_err(|error| tracing::warn!(%error, "skipping a key that cannot be read")).ok()
}

/// The value of `write`.
pub(super) fn encode_record(key: &RecordKey, write: &Write) -> Encoded {
    let (mut text, writes) = begin_record(key, write.base.as_ref().map(|base| &base.whole));
    let (record, now, before) = (&write.record, wall_clock(), text.held_by());
    let claims = write.kind == WriteKind::Claim;
    text.holder = record.holder.as_deref().map(Into::into);
    text.ttl = record.ttl.map(|ttl| ttl.as_secs());
    text.transitions = record.transitions;
    text.write = record.nonce.as_ref().map(Nonce::to_string);
    text.claim = claims.then_some(writes);
    text.token = record.token.filter(|_| !claims);
    text.payload = record.payload.as_deref().map(Into::into);
    text.not_before = record.not_before.as_deref().and_then(NotBeforeText::written);
    text.acquired = if claims { Some(now) } else { text.acquired };
    text.renewed = Some(now);
    let after = text.held_by();
    Encoded { before, after, ..Encoded::of(text, writes) }
}

/// As [`begin`], for a record.
fn begin_record(key: &RecordKey, whole: Option<&Whole>) -> (Text, i64) {
    let (kind, election) = match &key.kind {
        Kind::Lock => ("lock", None),
        Kind::Election => ("election", None),
        Kind::Candidate(election) => ("candidate", Some(election.to_string())),
    };
    let (text, writes) = begin(whole, kind, key.name.as_str());
    (Text { candidate_of: election, ..text }, writes)
}

/// The whole value of the base, and how often the key is written after this write.
fn begin(whole: Option<&Whole>, kind: &str, name: &str) -> (Text, i64) {
    let (text, writes) = whole.map(stored).unwrap_or_default();
    (Text { v: FORMAT, kind: kind.into(), name: name.into(), ..text }, writes + 1)
}

/// The value, and how often the key was written.
fn stored(whole: &Whole) -> (Text, i64) {
    let (writes, text): (i64, Text) = serde_json::from_str(whole.as_str()).unwrap_or_default();
    (text, writes)
}

/// The value of `write`.
pub(super) fn encode_lock(key: &RecordKey, write: &LockWrite) -> Encoded {
    let (mut text, writes) = begin_record(key, write.base.as_ref().map(|base| &base.whole));
    text.queue = serde_json::from_str(&write.line.to_text()).ok();
    text.not_before = write.not_before.as_deref().and_then(NotBeforeText::written);
    if write.changes_holders {
        let now = Some(wall_clock());
        text.holder = write.line.holder().map(ToString::to_string);
        text.ttl = Some(FENCE.as_secs());
        text.transitions =
            Record { transitions: text.transitions, ..Record::default() }.next_transition();
        (text.write, text.claim, text.token) = (None, None, None);
        (text.acquired, text.renewed) = (now, now);
    }
    let all = |line: &Line| line.held_by().into_iter().cloned().collect();
    let before = write.base.as_ref().map(|base| all(&base.record.line)).unwrap_or_default();
    Encoded { before, after: all(&write.line), ..Encoded::of(text, writes) }
}

pub(super) fn record_name(kv: &KeyValue) -> RecordName {
    RecordName::stored(keys::name(&kv.key))
}

/// The time since `then`. Zero if `then` is in the future.
fn elapsed_since(then: Timestamp) -> Duration {
    Duration::try_from(wall_clock().duration_since(then)).unwrap_or_default()
}

/// Wall time, for people to read. No decision depends on it.
fn wall_clock() -> Timestamp {
    Timestamp::try_from(environment::wall_clock()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_beyond_the_largest_of_a_lease_counts_as_the_largest() {
        for secs in [2_147_483_647, 2_147_483_648, u64::MAX] {
            let value = json!({ "v": 1, "kind": "lock", "holder": "a", "ttl": secs });
            let kv = KeyValue::example("/p/shop/x", value.to_string());
            let found = decode(&kv).unwrap().record();
            assert_eq!(found.record.ttl, Some(Duration::from_secs(2_147_483_647)), "{secs}");
        }
    }
}
