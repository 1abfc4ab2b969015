//! The [`Store`] on keys of etcd: one request for each call.

use std::sync::Arc;

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};

use super::{
    BACKEND,
    client::Client,
    codec::{self, Encoded},
    error::Context,
    keys::{Keys, Prefix},
    messages::{
        Compare, DeleteRequest, Event, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest,
    },
    watch::{Report, watch},
};
use crate::{
    api::{
        error::{Error, Result},
        name::Namespace,
    },
    protocol::record::{Version, Versioned, Write, WriteKind},
    store::{Entry, Kind, ListedSession, RecordKey, Scope, Store, WatchEvent, Written},
};

/// The records of a cluster of etcd. Each call is one attempt; the caller sets the timeout.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) client: Client,
    pub(super) prefix: Prefix,
}

impl Records {
    pub(super) async fn get(&self, namespace: &Namespace, keys: Keys) -> Result<Vec<KeyValue>> {
        let context = context("get", namespace, &keys);
        let found = self.client.range(range(&keys)).await;
        Ok(found.map_err(|status| context.error(&status))?.kvs)
    }

    /// Writes the value, if the key is exactly `base`. `None` if it is not.
    pub(super) async fn put(
        &self,
        namespace: &Namespace,
        keys: Keys,
        base: Option<&Version>,
        value: Encoded,
    ) -> Result<Option<KeyValue>> {
        let context = context("put", namespace, &keys);
        let put = PutRequest { key: keys.key.clone().into(), value: value.value() };
        let query = TxnRequest {
            compare: unchanged(&keys, base),
            success: vec![RequestOp { put: Some(put), ..RequestOp::default() }],
            failure: Vec::new(),
        };
        let answer = self.client.txn(query).await.map_err(|status| context.error(&status))?;
        let revision = answer.header.map(|header| header.revision).unwrap_or_default();
        Ok(answer.succeeded.then(|| value.stored(&keys.key, base, revision)))
    }

    /// Deletes the key if it is exactly `base`. Returns whether there is no such key now.
    pub(super) async fn delete(
        &self,
        namespace: &Namespace,
        keys: Keys,
        base: &Version,
    ) -> Result<bool> {
        let context = context("delete", namespace, &keys);
        let delete = DeleteRequest { key: keys.key.clone().into() };
        let count = RangeRequest { count_only: true, ..range(&keys) };
        let query = TxnRequest {
            compare: unchanged(&keys, Some(base)),
            success: vec![RequestOp { delete: Some(delete), ..RequestOp::default() }],
            failure: vec![RequestOp { range: Some(count), ..RequestOp::default() }],
        };
        let answer = self.client.txn(query).await.map_err(|status| context.error(&status))?;
        let counted = answer.responses.first().and_then(|response| response.range.as_ref());
        Ok(answer.succeeded || counted.is_some_and(|found| found.count == 0))
    }

    pub(super) fn watch(&self, namespace: &Namespace, keys: &Keys) -> BoxStream<'static, Report> {
        watch(self.client.clone(), range(keys), context("watch", namespace, keys))
    }

    /// Sends a write on a condition that is never true: etcd checks the permissions, and stores nothing.
    async fn check_permissions(&self, namespace: &Namespace) -> Result<()> {
        let Keys { key, end } = self.prefix.records(namespace);
        let one = Keys { key: format!("{key}~check"), end: String::new() };
        let all = range(&Keys { key, end });
        let context = context("put", namespace, &one);
        let put = PutRequest { key: one.key.clone().into(), value: Vec::new() };
        let delete = DeleteRequest { key: one.key.clone().into() };
        let count = RangeRequest { count_only: true, ..all };
        let query = TxnRequest {
            compare: vec![Compare::created(one.key.as_bytes(), -1)],
            success: vec![RequestOp { put: Some(put), ..RequestOp::default() }],
            failure: vec![
                RequestOp { range: Some(count), ..RequestOp::default() },
                RequestOp { delete: Some(delete), ..RequestOp::default() },
            ],
        };
        self.client.txn(query).await.map(drop).map_err(|status| context.error(&status))
    }

    fn keys(&self, scope: &Scope) -> Result<(Namespace, Keys)> {
        match scope {
            Scope::Record(namespace, lease) => {
                Ok((namespace.clone(), self.prefix.record(namespace, lease)))
            }
            Scope::Elections(namespace, _) | Scope::Records(Some(namespace), None) => {
                Ok((namespace.clone(), self.prefix.records(namespace)))
            }
            Scope::Records(..) => Err(Error::Config {
                backend: BACKEND,
                reason: "only one namespace can be listed, and without a label selector".into(),
                source: None,
            }),
        }
    }
}

fn range(keys: &Keys) -> RangeRequest {
    let (key, range_end) = (keys.key.clone().into(), keys.end.clone().into());
    RangeRequest { key, range_end, count_only: false }
}

fn context(verb: &'static str, namespace: &Namespace, keys: &Keys) -> Context {
    Context { verb, namespace: namespace.to_string(), key: keys.key.clone() }
}

/// The condition that a key is exactly `base`, or absent. The revision of its creation is a part of it, because the
/// revision of the last write alone would also fit a base that was read from another cluster, or before a restore.
fn unchanged(keys: &Keys, base: Option<&Version>) -> Vec<Compare> {
    let key = keys.key.as_bytes();
    let Some(base) = base else { return vec![Compare::created(key, 0)] };
    let modified = i64::try_from(base.number.get()).unwrap_or_default();
    vec![Compare::modified(key, modified), Compare::created(key, codec::created(base))]
}

/// Whether `scope` contains the record. A range of keys contains more than elections.
fn contains(scope: &Scope, entry: &Entry) -> bool {
    let Scope::Elections(_, only) = scope else { return true };
    let election = match &entry.kind {
        Some(Kind::Election) => &entry.lease,
        Some(Kind::Candidate(election)) => election,
        Some(Kind::Lock) | None => return false,
    };
    only.as_ref().is_none_or(|only| only == election)
}

impl Store for Records {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn check<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.check_permissions(namespace))
    }

    fn read<'a>(&'a self, key: &'a RecordKey) -> BoxFuture<'a, Result<Option<Arc<Versioned>>>> {
        Box::pin(async move {
            let found = self.get(&key.namespace, self.prefix.of(key)).await?;
            found.first().map(|kv| codec::decode_record(kv).map(Arc::new)).transpose()
        })
    }

    fn write<'a>(&'a self, key: &'a RecordKey, write: &'a Write) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let (keys, base) = (self.prefix.of(key), write.base.as_ref().map(|base| &base.version));
            if write.kind == WriteKind::Free && matches!(key.kind, Kind::Candidate(_)) {
                let Some(base) = base else { return Ok(Written::Gone) };
                let gone = self.delete(&key.namespace, keys, base).await?;
                return Ok(if gone { Written::Gone } else { Written::Conflict });
            }
            let value = codec::encode_record(key, write);
            match self.put(&key.namespace, keys, base, value).await? {
                Some(kv) => Ok(Written::Stored(Arc::new(codec::decode_record(&kv)?))),
                None => Ok(Written::Conflict),
            }
        })
    }

    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(async move {
            let (namespace, keys) = self.keys(scope)?;
            let found = self.get(&namespace, keys).await?;
            Ok(entries(&namespace, scope, &found))
        })
    }

    fn list_sessions<'a>(
        &'a self,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<Vec<ListedSession>>> {
        Box::pin(async move {
            // Only tools of Kubernetes select all namespaces.
            let Some(namespace) = namespace else { return Ok(Vec::new()) };
            let found = self.get(namespace, self.prefix.sessions(namespace)).await?;
            Ok(found.iter().filter_map(codec::decode_session_entry).collect())
        })
    }

    fn watch(&self, scope: &Scope) -> BoxStream<'static, WatchEvent> {
        let (namespace, keys) = match self.keys(scope) {
            Ok(keys) => keys,
            Err(error) => {
                let blind = futures::stream::iter([WatchEvent::Blind(error.to_string())]);
                return blind.chain(futures::stream::pending()).boxed();
            }
        };
        let reports = Self::watch(self, &namespace, &keys);
        let scope = scope.clone();
        let event = move |report| std::future::ready(event(&namespace, &scope, report));
        reports.filter_map(event).boxed()
    }
}

fn entries(namespace: &Namespace, scope: &Scope, found: &[KeyValue]) -> Vec<Entry> {
    let entries = found.iter().filter_map(|kv| codec::decode_entry(namespace, kv));
    entries.filter(|entry| contains(scope, entry)).collect()
}

fn event(namespace: &Namespace, scope: &Scope, report: Report) -> Option<WatchEvent> {
    match report {
        Report::All(found) => Some(WatchEvent::All(entries(namespace, scope, &found))),
        Report::Change(event) => change(namespace, scope, &event),
        Report::Blind(error) => Some(WatchEvent::Blind(with_cause(&error))),
    }
}

/// The event of a change. The purpose of a deleted record is that of the state before.
fn change(namespace: &Namespace, scope: &Scope, event: &Event) -> Option<WatchEvent> {
    let kv = event.kv.as_ref()?;
    let state = if event.is_deletion() { event.prev_kv.as_ref() } else { Some(kv) };
    let entry = codec::decode_entry(namespace, state?).filter(|entry| contains(scope, entry))?;
    if !event.is_deletion() {
        return Some(WatchEvent::Set(entry));
    }
    let version = u64::try_from(kv.mod_revision).ok()?.try_into().ok()?;
    Some(WatchEvent::Gone(namespace.clone(), entry.lease, version))
}

/// The error and its cause in one line.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_conditional_on_the_revisions_of_the_last_write_and_of_the_creation() {
        let keys = Keys { key: "/p/shop/x".into(), end: String::new() };
        let base = Version { number: 9.try_into().unwrap(), uid: "7".into() };

        let conditions = unchanged(&keys, Some(&base));

        let key = keys.key.as_bytes();
        assert_eq!(conditions, [Compare::modified(key, 9), Compare::created(key, 7)]);
        assert_eq!(unchanged(&keys, None), [Compare::created(key, 0)]);
    }
}
