//! The [`Store`] on keys of etcd: one request for each call.

use std::sync::Arc;

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use tonic::Status;

use super::{
    BACKEND,
    client::Client,
    codec::{self, Decoded, Encoded},
    held::OPERATIONS,
    keys::{Keys, Place, Prefix},
    messages::{Compare, Event, KeyValue, RequestOp, TxnRequest, revision},
    watch::{Report, watch},
};
use crate::{
    api::{error::Result, name::Namespace},
    backends::plain_names::PlainNames,
    protocol::{
        record::{Version, Versioned, Write, WriteKind},
        session::SessionId,
    },
    runtime::watches::{Reporter, Source, Target, Watches},
    store::{Entry, ListedSession, RecordKey, Scope, Store, WatchEvent, Written, names::Names},
};

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    Done,
    /// There was no such key.
    Missing,
    /// The key is not the one that the deletion was conditional on.
    Conflict,
}

/// A cluster of etcd, and the keys of a handle in it. Each call is one attempt; the caller sets the timeout.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) prefix: Prefix,
}

/// The records of a cluster.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) cluster: Cluster,
    names: Arc<dyn Names>,
    watches: Watches,
}

impl Records {
    pub(super) fn new(client: Client, prefix: Prefix) -> Self {
        let cluster = Cluster { client, prefix };
        let watches = Watches::new(cluster.clone());
        // The prefix of keys is no part of the names of records.
        Self { cluster, names: Arc::new(PlainNames::default()), watches }
    }
}

impl Cluster {
    /// Reads a key or a range of keys.
    pub(super) async fn get(&self, keys: &Keys) -> Result<Vec<KeyValue>> {
        let found = self.client.range(keys.range()).await;
        Ok(found.map_err(|status| keys.error("get", &status))?.kvs)
    }

    /// Writes the value, if the key is exactly `base`. Otherwise returns what the key has instead, if that can be read.
    pub(super) async fn put(
        &self,
        keys: &Keys,
        base: Option<&Version>,
        value: Encoded,
    ) -> Result<Result<Decoded, Option<Decoded>>> {
        let failed = |status| keys.error("put", &status);
        let text = value.value();
        let mut index = self.index(keys, base, &value, &text);
        let late = index.split_off(index.len().min(OPERATIONS));
        let put = RequestOp::put(keys.key.clone(), text);
        let success = [put].into_iter().chain(index).collect();
        let failure = vec![RequestOp::read(keys.range())];
        let query = TxnRequest { compare: unchanged(keys, base), success, failure };
        let answer = self.client.txn(query).await.map_err(failed)?;
        if !answer.succeeded {
            let found = answer.found().unwrap_or_default();
            return Ok(Err(found.kvs.first().and_then(|kv| codec::decode(kv).ok())));
        }
        let revision = revision(answer.header.as_ref());
        self.index_late(late, keys, revision).await;
        let unnumbered = || failed(Status::unknown("etcd gave it no revision"));
        value.stored(base, revision).ok_or_else(unnumbered).map(Ok)
    }

    /// Deletes the key if it is exactly `base`, and then these other keys too.
    pub(super) async fn delete(
        &self,
        keys: &Keys,
        base: &Version,
        others: Option<Keys>,
    ) -> Result<Deletion> {
        let all = [keys.clone()].into_iter().chain(others);
        let query = TxnRequest {
            compare: unchanged(keys, Some(base)),
            success: all.map(|keys| RequestOp::delete(keys.key, keys.end)).collect(),
            failure: vec![RequestOp::count(keys.range())],
        };
        let answer =
            self.client.txn(query).await.map_err(|status| keys.error("delete", &status))?;
        if answer.succeeded {
            return Ok(Deletion::Done);
        }
        let missing = answer.found().is_some_and(|found| found.count == 0);
        Ok(if missing { Deletion::Missing } else { Deletion::Conflict })
    }

    /// What `decode` makes of each session among the keys.
    pub(super) async fn sessions<T>(
        &self,
        keys: &Keys,
        decode: impl Fn(&Namespace, &SessionId, &KeyValue) -> Option<T>,
    ) -> Result<Vec<T>> {
        let found = self.get(keys).await?;
        let sessions = found.iter().filter_map(|kv| match self.prefix.place(&kv.key)? {
            Place::Session(namespace, id) => decode(&namespace, &id, kv),
            Place::Record(_) => None,
        });
        Ok(sessions.collect())
    }

    /// Sends a write on a condition that is never true: etcd checks the permissions, and stores nothing.
    async fn check_permissions(&self, namespace: &Namespace) -> Result<()> {
        let all = self.prefix.records(Some(namespace));
        let one = Keys { key: format!("{}~check", all.key), end: String::new(), ..all.clone() };
        let query = TxnRequest {
            compare: vec![Compare::created(one.key.as_bytes(), -1)],
            success: vec![RequestOp::put(one.key.clone(), Vec::new())],
            failure: vec![RequestOp::count(all.range()), RequestOp::delete(one.key.clone(), "")],
        };
        let answer = self.client.read(query).await;
        answer.map(drop).map_err(|status| one.error("put", &status))
    }

    /// The keys of a scope.
    fn keys(&self, scope: &Scope) -> Keys {
        match scope {
            Scope::Record(namespace, record) => self.prefix.record(namespace, record),
            Scope::Elections(..) | Scope::Records(..) => self.prefix.records(scope.namespace()),
        }
    }
}

/// The condition that a key is exactly `base`, or absent. The revision of its creation is a part of it, because the
/// revision of the last write alone would also fit a base that was read from another cluster, or before a restore.
fn unchanged(keys: &Keys, base: Option<&Version>) -> Vec<Compare> {
    let key = keys.key.as_bytes();
    let Some(base) = base else { return vec![Compare::created(key, 0)] };
    let modified = i64::try_from(base.number.get()).unwrap_or_default();
    vec![Compare::modified(key, modified), Compare::created(key, codec::created(base))]
}

impl Store for Records {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn names(&self) -> &Arc<dyn Names> {
        &self.names
    }

    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.cluster.check_permissions(namespace))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        Box::pin(async move {
            let found = self.cluster.get(&self.cluster.prefix.of(key)).await?;
            found.first().map(|kv| Ok(Arc::new(codec::decode(kv)?.record()))).transpose()
        })
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.of(key);
            let base = write.base.as_ref().map(|base| &base.version);
            if write.kind == WriteKind::Delete {
                let Some(base) = base else { return Ok(Written::Gone) };
                return Ok(match self.cluster.delete(&keys, base, None).await? {
                    Deletion::Done | Deletion::Missing => Written::Gone,
                    Deletion::Conflict => Written::Conflict,
                });
            }
            let value = codec::encode_record(key, write);
            match self.cluster.put(&keys, base, value).await? {
                Ok(stored) => Ok(Written::Stored(Arc::new(stored.record()))),
                Err(_) => Ok(Written::Conflict),
            }
        })
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(async move {
            let found = self.cluster.get(&self.cluster.keys(scope)).await?;
            Ok(entries(&self.cluster.prefix, scope, &found))
        })
    }

    fn list_sessions<'a>(
        &'a self,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<Vec<ListedSession>>> {
        Box::pin(async move {
            let keys = self.cluster.prefix.sessions(namespace);
            self.cluster.sessions(&keys, |_, id, kv| codec::decode_session_entry(id, kv)).await
        })
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        self.watches.subscribe(scope)
    }

    fn doubt(&self, scope: &Scope) {
        self.watches.restart(scope);
    }
}

impl Source for Cluster {
    /// All: a watch of a key is no connection, and etcd finds it by its key.
    fn singles(&self) -> usize {
        usize::MAX
    }

    fn follow(&self, target: Target, reporter: Reporter) -> BoxFuture<'static, ()> {
        let scope = match target {
            Target::Scope(scope) => scope,
            Target::Namespace(namespace) => Scope::Records(Some(namespace), None),
        };
        let mut reports = watch(self.client.clone(), self.keys(&scope));
        let prefix = self.prefix.clone();
        Box::pin(async move {
            while let Some(report) = reports.next().await {
                let wanted = match event(&prefix, &scope, report) {
                    Some(all @ WatchEvent::All(_)) => reporter.listed(None, all),
                    Some(WatchEvent::Blind(why)) => reporter.failed(why),
                    Some(change) => reporter.changed(change),
                    None => true,
                };
                if !wanted {
                    return;
                }
            }
        })
    }
}

fn entries(prefix: &Prefix, scope: &Scope, found: &[KeyValue]) -> Vec<Entry> {
    found.iter().filter_map(|kv| entry(prefix, scope, kv)).collect()
}

/// The record of a key, if `scope` selects it. A range of keys has more, and one of all namespaces has sessions too.
fn entry(prefix: &Prefix, scope: &Scope, kv: &KeyValue) -> Option<Entry> {
    let Place::Record(namespace) = prefix.place(&kv.key)? else { return None };
    codec::decode_entry(&namespace, kv).filter(|entry| scope.selects(entry))
}

fn event(prefix: &Prefix, scope: &Scope, report: Report) -> Option<WatchEvent> {
    match report {
        Report::All(found) => Some(WatchEvent::All(entries(prefix, scope, &found))),
        Report::Change(event) => change(prefix, scope, &event),
        Report::Blind(error) => Some(WatchEvent::Blind(error.with_causes().to_string())),
    }
}

/// The event of a change. A record that left the scope, or cannot be read, is gone. Records that were never in the scope
/// are reported as gone too, because the state before the change may be unknown.
fn change(prefix: &Prefix, scope: &Scope, event: &Event) -> Option<WatchEvent> {
    let kv = event.kv.as_ref()?;
    let Place::Record(namespace) = prefix.place(&kv.key)? else { return None };
    let now = if event.is_deletion() { None } else { entry(prefix, scope, kv) };
    if let Some(entry) = now {
        return Some(WatchEvent::Set(entry));
    }
    Some(WatchEvent::Gone(namespace, codec::record_name(kv), codec::number(kv.mod_revision)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::name::RecordName;

    #[test]
    fn what_is_no_record_of_the_scope_any_more_is_gone_even_if_nothing_else_is_known_of_it() {
        let prefix = Prefix::parse("/p").unwrap();
        let scope = Scope::Records(None, None);
        let event = |kind, key: &str, value: &str| {
            let (key, value) = (key.into(), value.into());
            let kv = KeyValue { key, value, mod_revision: 9, ..KeyValue::default() };
            change(&prefix, &scope, &Event { kind, kv: Some(kv) })
        };

        for (kind, value) in [(1, ""), (0, "no record")] {
            let Some(WatchEvent::Gone(namespace, record, version)) =
                event(kind, "/p/shop/x", value)
            else {
                panic!("{kind}");
            };
            assert_eq!((namespace.as_str(), record.as_str(), version.get()), ("shop", "x", 9));
        }
        assert!(event(1, "/p/shop/~sessions/s15-k2j5q7w3x4y6z2a3b4c5", "").is_none());
    }

    #[test]
    fn a_write_is_conditional_on_the_revisions_of_the_last_write_and_of_the_creation() {
        let prefix = Prefix::parse("/p").unwrap();
        let keys = prefix.record(&Namespace::stored("shop"), &RecordName::stored("x"));
        let base = Version { number: 9.try_into().unwrap(), uid: "7".into() };

        let conditions = unchanged(&keys, Some(&base));

        let key = keys.key.as_bytes();
        assert_eq!(conditions, [Compare::modified(key, 9), Compare::created(key, 7)]);
        assert_eq!(unchanged(&keys, None), [Compare::created(key, 0)]);
    }
}
