//! The index of held locks: a key `~held/SESSION/NAME` for each record that a session holds.
//!
//! etcd has no labels, so a session could only watch all records of its namespace. The index lets it watch a range of its
//! own. Each write of a record by this crate keeps the index in the same transaction: it puts the keys of the holders,
//! with a copy of the record, and deletes those of the sessions that hold it no longer. So a key of the index has the
//! revision of its record, and the event brings the grant.
//!
//! The index is a hint. Writes are conditional on the record alone. A key may be out of date, because a person has edited
//! the record or the index. Then the record decides, and [`Index::page`] deletes the key. A session that is over takes
//! its index along when its own record is deleted.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tonic::Status;

use super::{
    codec::{self, Encoded},
    keys::{self, Keys},
    messages::{Compare, KeyValue, RangeRequest, RequestOp, TxnRequest, revision},
    store::Cluster,
};
use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
    },
    protocol::{record::Version, session::SessionId},
    store::sessions::{Cursor, HeldLock, HeldPage},
};

/// How many operations of the index a transaction has. etcd refuses more than 128 (`--max-txn-ops`).
pub(super) const OPERATIONS: usize = 100;
/// How many bytes of copies a transaction has. With more, because of many holders or a long queue, new holders get an
/// empty key and read the record, and the others learn of the change by the watch of the record.
const COPIES: usize = 16 * 1024;
/// How many transactions a list sends at once.
const AT_ONCE: usize = 4;

/// How many records one page of a list has.
const PAGE: i64 = 500;

impl Cluster {
    /// The changes of the index that belong to the write of `value`, whose text is `text`. What new holders need comes
    /// first, because the changes beyond the limit are late.
    pub(super) fn index(
        &self,
        keys: &Keys,
        base: Option<&Version>,
        value: &Encoded,
        text: &[u8],
    ) -> Vec<RequestOp> {
        let Encoded { before, after, .. } = value;
        let name = keys::name(keys.key.as_bytes());
        let key = |session| format!("{}{name}", self.prefix.held(&keys.namespace, session).key);
        let lost = before.difference(after);
        let lost = lost.map(|session| RequestOp::delete(key(session), ""));
        let fits = text.len() * after.len() <= COPIES;
        let copy = if fits && !after.is_empty() { value.copy(base, text) } else { Vec::new() };
        let kept = after.iter().filter(|session| fits || !before.contains(session));
        kept.map(|session| RequestOp::put(key(session), copy.clone())).chain(lost).collect()
    }

    /// Sends the changes of the index that did not fit into the transaction. If they are not stored, those holders read
    /// the record later.
    pub(super) async fn index_late(&self, changes: Vec<RequestOp>, keys: &Keys, revision: i64) {
        for query in late(changes, keys, revision) {
            if let Err(status) = self.client.txn(query).await {
                tracing::debug!(%status, "some holders read the record later");
            }
        }
    }
}

/// The transactions of the changes that come later than the write at `revision`. They have no copies, because the
/// revision of a key would not be that of its record, and change nothing if the record was written since.
fn late(mut changes: Vec<RequestOp>, keys: &Keys, revision: i64) -> Vec<TxnRequest> {
    changes.iter_mut().filter_map(|change| change.put.as_mut()).for_each(|put| put.value.clear());
    let query = |success: &[_]| TxnRequest {
        compare: vec![Compare::modified(keys.key.as_bytes(), revision)],
        success: success.to_vec(),
        ..TxnRequest::default()
    };
    changes.chunks(OPERATIONS).map(query).collect()
}

/// A record as it was at a revision of the store.
pub(super) struct Found {
    pub(super) name: RecordName,
    pub(super) revision: i64,
    pub(super) record: Option<KeyValue>,
}

/// The index of one session.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) cluster: Cluster,
    pub(super) session: SessionId,
    pub(super) keys: Keys,
}

impl Index {
    pub(super) fn new(cluster: &Cluster, namespace: &Namespace, session: &SessionId) -> Self {
        let keys = cluster.prefix.held(namespace, session);
        Self { cluster: cluster.clone(), session: session.clone(), keys }
    }

    /// The key of a record.
    pub(super) fn record(&self, name: &RecordName) -> Keys {
        self.cluster.prefix.record(&self.keys.namespace, name)
    }

    /// The names of its records with the revisions of their keys, and the revision of the store.
    pub(super) async fn names(&self) -> Result<(BTreeMap<RecordName, i64>, i64), Status> {
        let found = self.cluster.client.range(self.query()).await?;
        Ok((found.kvs.iter().map(name).collect(), revision(found.header.as_ref())))
    }

    /// Reads records.
    pub(super) async fn read(&self, names: Vec<RecordName>) -> Result<Vec<Found>, Status> {
        let parts: Vec<_> = names.chunks(OPERATIONS).map(<[_]>::to_vec).collect();
        let parts = stream::iter(parts).map(|names| self.read_some(names)).buffered(AT_ONCE);
        Ok(parts.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn read_some(&self, names: Vec<RecordName>) -> Result<Vec<Found>, Status> {
        let success = names.iter().map(|name| RequestOp::read(self.record(name).range())).collect();
        let query = TxnRequest { success, ..TxnRequest::default() };
        let answer = self.cluster.client.read(query).await?;
        let revision = revision(answer.header.as_ref());
        let found = names.into_iter().zip(answer.responses).map(|(name, response)| {
            let record = response.range.and_then(|range| range.kvs.into_iter().next());
            Found { name, revision, record }
        });
        Ok(found.collect())
    }

    /// The record, if it names the session.
    pub(super) fn judge(&self, record: Option<&KeyValue>) -> Option<HeldLock> {
        record.and_then(|kv| codec::decode_held_by(kv, &self.session))
    }

    /// One page of the records that name the session, among those of the index. Deletes the keys of the others.
    ///
    /// The pages are of several revisions. A key that is there all the time is on one of them, because they are in the
    /// order of the keys.
    pub(super) async fn page(&self, cursor: Option<&Cursor>) -> Result<HeldPage> {
        let listed = async {
            // Zero is the least byte, so this is the first key after the last one.
            let first = || self.keys.key.clone();
            let key = cursor.map_or_else(first, |cursor| format!("{}\0", cursor.place));
            let query = RangeRequest { key: key.into(), limit: PAGE, ..self.query() };
            let page = self.cluster.client.range(query).await?;
            let last = page.kvs.last().filter(|_| page.more);
            // A key of this library is a text. One of a person that is none could name an earlier place.
            let next = |kv: &KeyValue| {
                let place = String::from_utf8(kv.key.clone()).ok();
                let next = place.and_then(|place| Cursor::after(cursor, place));
                next.ok_or_else(|| Status::data_loss("the index has keys that are no text"))
            };
            let cursor = last.map(next).transpose()?;
            let names: BTreeMap<_, _> = page.kvs.iter().map(name).collect();
            let found = self.read(names.keys().cloned().collect()).await?;
            let (mut locks, mut wrong) = (Vec::new(), Vec::new());
            for found in found {
                match self.judge(found.record.as_ref()) {
                    Some(held) => locks.push(held),
                    None => wrong.push((names[&found.name], found)),
                }
            }
            self.clean(&wrong).await;
            Ok(HeldPage::Some(locks, cursor))
        };
        listed.await.map_err(|status| self.keys.error("get", &status))
    }

    /// The request for all of its keys.
    fn query(&self) -> RangeRequest {
        RangeRequest { keys_only: true, ..self.keys.range() }
    }

    /// Deletes keys, with their revisions, of records that do not name the session. The next list goes on.
    async fn clean(&self, wrong: &[(i64, Found)]) {
        for (revision, Found { name, record, .. }) in wrong.iter().take(OPERATIONS) {
            if let Err(status) = self.forget(name, *revision, record.as_ref()).await {
                return tracing::debug!(%status, "keys of the index stay for the next list");
            }
        }
    }

    /// Deletes the key of a record that does not name the session, if both are as they were read.
    async fn forget(
        &self,
        name: &RecordName,
        revision: i64,
        record: Option<&KeyValue>,
    ) -> Result<(), Status> {
        let key = self.record(name).key;
        let unchanged = match record {
            Some(record) => Compare::modified(key.as_bytes(), record.mod_revision),
            None => Compare::created(key.as_bytes(), 0),
        };
        let key = format!("{}{name}", self.keys.key);
        let query = TxnRequest {
            compare: vec![unchanged, Compare::modified(key.as_bytes(), revision)],
            success: vec![RequestOp::delete(key, "")],
            ..TxnRequest::default()
        };
        self.cluster.client.txn(query).await.map(drop)
    }
}

/// The name of a record with the revision of its key in the index.
fn name(kv: &KeyValue) -> (RecordName, i64) {
    (codec::record_name(kv), kv.mod_revision)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::keys::Prefix, *};
    use crate::{
        EtcdOptions,
        api::name::Name,
        protocol::{
            queue::{
                line::Line,
                record::{Condition, LockRecord, LockWrite, Turn},
            },
            record::{Record, Whole, Write, WriteKind},
            session::Stored,
        },
        store::{Kind, RecordKey},
    };

    fn id(number: usize) -> SessionId {
        SessionId::parse(&format!(
            "s15-{}",
            char::from(b'a' + u8::try_from(number).unwrap()).to_string().repeat(20)
        ))
        .unwrap()
    }

    fn key() -> RecordKey {
        RecordKey {
            namespace: Namespace::stored("shop"),
            record: RecordName::stored("x"),
            kind: Kind::Lock,
            name: Name::parse("lock name", "x").unwrap(),
        }
    }

    fn line(holders: std::ops::Range<usize>, waiters: usize) -> Line {
        let holders: Vec<_> =
            holders.map(|number| format!("{}/{number:016x}/shared", id(number))).collect();
        let queue: Vec<_> =
            (0..waiters).map(|number| format!("{}/{number:016x}", id(25))).collect();
        Line::parse(&json!({ "v": 1, "holders": holders, "queue": queue }).to_string()).unwrap()
    }

    /// The keys that are deleted, and those that are put with the length of their values.
    fn changes(value: &Encoded) -> (Vec<SessionId>, Vec<(SessionId, usize)>) {
        let client = EtcdOptions::default().client(&[]).unwrap();
        let cluster = Cluster { client, prefix: Prefix::parse("/p").unwrap() };
        let keys = cluster.prefix.of(&key());
        let session = |key: &[u8]| {
            let path = String::from_utf8_lossy(key).into_owned();
            let path = path.strip_prefix("/p/shop/~held/").unwrap().to_owned();
            SessionId::parse(path.strip_suffix("/x").unwrap()).unwrap()
        };
        let all = cluster.index(&keys, None, value, &value.value());
        let deleted = all.iter().filter_map(|change| change.delete.as_ref());
        let put = all.iter().filter_map(|change| change.put.as_ref());
        (
            deleted.map(|delete| session(&delete.key)).collect(),
            put.map(|put| (session(&put.key), put.value.len())).collect(),
        )
    }

    fn write(before: Line, after: Line) -> Encoded {
        let version = Version { number: 9.try_into().unwrap(), uid: "7".into() };
        let record = LockRecord { line: before, ..LockRecord::default() };
        let base = Some(Stored { version, record, whole: Whole::default() }.into());
        let (condition, turn) = (Condition::Version, Turn::default());
        codec::encode_lock(
            &key(),
            &LockWrite {
                base,
                condition,
                line: after,
                turn,
                changes_holders: true,
                not_before: None,
            },
        )
    }

    #[tokio::test]
    async fn a_write_changes_the_keys_of_the_sessions_that_gain_hold_or_lose_the_lock() {
        let (deleted, put) = changes(&write(line(0..2, 1), line(1..3, 1)));

        assert_eq!(deleted, [id(0)]);
        let (written, lengths): (Vec<_>, Vec<_>) = put.into_iter().unzip();
        assert_eq!(written, [id(1), id(2)]);
        assert!(lengths.iter().all(|length| *length > 200), "copies: {lengths:?}");
    }

    #[tokio::test]
    async fn copies_that_are_large_together_are_not_written() {
        let (deleted, put) = changes(&write(line(0..8, 60), line(1..9, 60)));

        assert_eq!((deleted, put), (vec![id(0)], vec![(id(8), 0)]));
    }

    #[test]
    fn changes_beyond_the_limit_have_no_copies_and_are_conditional_on_the_record() {
        let keys = Prefix::parse("/p").unwrap().of(&key());
        let put = |number: usize| RequestOp::put(format!("{number}"), b"copy".to_vec());
        let changes = (0..=OPERATIONS).map(put).chain([RequestOp::delete("x", "")]).collect();

        let queries = late(changes, &keys, 9);

        let [first, second] = &queries[..] else { panic!("{queries:?}") };
        assert_eq!((first.success.len(), second.success.len()), (OPERATIONS, 2));
        assert!(second.success[1].delete.is_some());
        for query in &queries {
            assert_eq!(query.compare, [Compare::modified(keys.key.as_bytes(), 9)]);
            let mut puts = query.success.iter().filter_map(|change| change.put.as_ref());
            assert!(puts.all(|put| put.value.is_empty()));
        }
    }

    #[tokio::test]
    async fn a_handle_without_a_session_deletes_the_keys_of_the_holders_that_it_replaces() {
        let value = json!([3, {
            "v": 1, "kind": "lock", "name": "x", "holder": id(0).as_str(), "ttl": 60,
            "queue": serde_json::from_str::<serde_json::Value>(&line(0..1, 1).to_text()).unwrap(),
        }]);
        let version = Version { number: 9.try_into().unwrap(), uid: "7".into() };
        let (record, age, whole) = (Record::default(), None, Whole::new(value.to_string()));
        let base =
            crate::protocol::record::Versioned { version, record, age, whole: whole.clone() };
        let record = Record { holder: Some("other".into()), ..Record::default() };
        let claim = Write { base: Some(base.into()), record, kind: WriteKind::Claim };

        for value in [codec::encode_record(&key(), &claim), codec::encode_released(&whole)] {
            assert_eq!(changes(&value), (vec![id(0)], vec![]));
        }
    }
}
