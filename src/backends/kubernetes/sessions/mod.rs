//! The [`SessionStore`] on Lease objects.

pub(super) mod codec;
mod joined;
mod patch;
#[cfg(test)]
mod tests;
mod watch;

use std::{sync::Arc, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};
use kube::api::{GetParams, PostParams};
use serde_json::Value;

use super::{
    codec::{untrack_created, wall_clock},
    error::{PATCH, RequestContext, RequestFailure},
    http::{LEASES, Selection, delete_version, leases},
    page::Page,
    store::Leases,
};
use crate::{
    api::{
        error::Result,
        name::{Namespace, RecordName},
    },
    protocol::{
        queue::record::{Condition, Join, LockRecord, LockWrite, StoredLock},
        session::{SessionId, SessionRecord, Stored},
    },
    store::{
        ListedSession, RecordKey, Scope,
        sessions::{Cursor, HeldEvent, HeldPage, NamedSession, Put, SessionStore},
    },
};

/// One object, as a request names it.
pub(super) struct Address<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) lease: &'a str,
}

impl Address<'_> {
    pub(super) fn context(&self, verb: &'static str) -> RequestContext<'_> {
        RequestContext {
            verb,
            resource: LEASES,
            name: Some(self.lease),
            namespace: self.namespace.as_str(),
        }
    }
}

impl Leases {
    pub(super) async fn get(&self, address: &Address<'_>) -> Result<Option<Value>> {
        let context = address.context("get");
        let request = leases(Some(address.namespace)).get(address.lease, &GetParams::default());
        match self.http.send(request, &context).await {
            Ok(object) => Ok(Some(object)),
            Err(RequestFailure::NotFound) => Ok(None),
            Err(other) => Err(other.into_error(&context)),
        }
    }

    /// Creates or replaces an object. `None` if it is not the one that the write was conditional on.
    pub(super) async fn put(
        &self,
        address: &Address<'_>,
        new: bool,
        object: &Value,
    ) -> Result<Option<Value>> {
        let (leases, params) = (leases(Some(address.namespace)), PostParams::default());
        let body = object.to_string().into_bytes();
        let (request, context) = if new {
            (leases.create(&params, body), address.context("create"))
        } else {
            (leases.replace(address.lease, &params, body), address.context("update"))
        };
        match self.http.send(request, &context).await {
            Ok(mut object) => {
                if new {
                    untrack_created(&mut object);
                }
                Ok(Some(object))
            }
            // 404 to an update: the object that the write was conditional on was deleted.
            Err(RequestFailure::Conflict | RequestFailure::NotFound) => Ok(None),
            Err(other) => Err(other.into_error(&context)),
        }
    }
}

impl Leases {
    /// Changes parts of the record of a lock.
    async fn patch(&self, key: &RecordKey, operations: &[Value]) -> Result<Put<LockRecord>> {
        let (address, lease) = (address(key), key.record.as_str());
        let context = address.context(PATCH);
        let request = patch::request(&key.namespace, lease, operations);
        match self.http.send(request, &context).await {
            Ok(object) => put_lock(key, Some(object)),
            Err(RequestFailure::Conflict | RequestFailure::NotFound) => Ok(Put::Conflict(None)),
            Err(RequestFailure::PatchRefused(patches, error)) => {
                Ok(Put::PatchRefused(patches, error))
            }
            Err(other) => Err(other.into_error(&context)),
        }
    }
}

/// The selector of the records that a session holds.
fn held(namespace: &Namespace, session: &SessionId) -> Selection {
    Selection::Labelled(Some(namespace.clone()), codec::held_label(session.as_str()))
}

impl Leases {
    /// The sessions of a namespace, for people.
    pub(super) async fn listed_sessions(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<Vec<ListedSession>> {
        let selection = Selection::Labelled(namespace.cloned(), codec::session_label());
        let decode = |object| codec::listed_session(&object);
        let (found, _) = self.http.list_objects(&selection, decode).await?;
        Ok(found)
    }
}

impl SessionStore for Leases {
    fn read_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
    ) -> BoxFuture<'a, Result<Option<Arc<Stored<SessionRecord>>>>> {
        Box::pin(async move {
            let address = Address { namespace, lease: id.as_str() };
            let found = self.get(&address).await?;
            found.map(|object| codec::decode_session(id, &object).map(Arc::new)).transpose()
        })
    }

    fn write_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: Option<&'a Stored<SessionRecord>>,
        record: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Put<SessionRecord>>> {
        Box::pin(async move {
            let address = Address { namespace, lease: id.as_str() };
            let object = codec::encode_session(namespace, id, base, record, &self.extras);
            match self.put(&address, base.is_none(), &object).await? {
                Some(object) => Ok(Put::Stored(Arc::new(codec::decode_session(id, &object)?))),
                None => Ok(Put::Conflict(None)),
            }
        })
    }

    fn list_stale<'a>(
        &'a self,
        namespace: &'a Namespace,
        age: Duration,
    ) -> BoxFuture<'a, Result<Vec<NamedSession>>> {
        Box::pin(async move {
            let selection = Selection::Labelled(Some(namespace.clone()), codec::session_label());
            let decode = |object| codec::decode_stale(&object, age);
            let (found, _) = self.http.list_objects(&selection, decode).await?;
            Ok(found)
        })
    }

    fn delete_session<'a>(
        &'a self,
        namespace: &'a Namespace,
        id: &'a SessionId,
        base: &'a Stored<SessionRecord>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let address = Address { namespace, lease: id.as_str() };
            let context = address.context("delete");
            let request = delete_version(namespace, id.as_str(), &base.version);
            match self.http.send(request, &context).await {
                Ok(_) | Err(RequestFailure::NotFound | RequestFailure::Conflict) => Ok(()),
                Err(other) => Err(other.into_error(&context)),
            }
        })
    }

    fn read_lock<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Arc<StoredLock>>>> {
        Box::pin(async move {
            let found = self.get(&address(key)).await?;
            found.map(|object| codec::decode_lock(key, object).map(Arc::new)).transpose()
        })
    }

    fn write_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        write: &'a LockWrite,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>> {
        Box::pin(async move {
            if let (Some(base), Condition::Turn) = (&write.base, write.condition) {
                return self.patch(key, &patch::line(base, write)).await;
            }
            let object = codec::encode_lock(key, write, &self.extras);
            put_lock(key, self.put(&address(key), write.base.is_none(), &object).await?)
        })
    }

    fn join_lock<'a>(
        &'a self,
        key: &'a RecordKey,
        join: &'a Join,
    ) -> BoxFuture<'a, Result<Put<LockRecord>>> {
        Box::pin(async move { self.patch(key, &patch::join(join, wall_clock())).await })
    }

    fn list_held<'a>(
        &'a self,
        namespace: &'a Namespace,
        session: &'a SessionId,
        cursor: Option<&'a Cursor>,
    ) -> BoxFuture<'a, Result<HeldPage>> {
        Box::pin(async move {
            let selection = held(namespace, session);
            Ok(match self.http.page(&selection, cursor, codec::decode_held).await? {
                Page::Further(found, cursor) => HeldPage::Some(found, Some(cursor)),
                Page::Last(found, _) => HeldPage::Some(found, None),
                Page::Expired => HeldPage::Expired,
            })
        })
    }

    fn watch_held(
        &self,
        namespace: &Namespace,
        session: &SessionId,
    ) -> BoxStream<'static, HeldEvent> {
        watch::watch(self.http.clone(), held(namespace, session))
    }

    fn watch_lock(&self, key: &RecordKey) -> BoxStream<'static, HeldEvent> {
        let scope = Scope::Record(key.namespace.clone(), key.record.clone());
        watch::watch(self.http.clone(), Selection::Scope(scope))
    }
}

fn put_lock(key: &RecordKey, stored: Option<Value>) -> Result<Put<LockRecord>> {
    match stored {
        Some(object) => Ok(Put::Stored(Arc::new(codec::decode_lock(key, object)?))),
        None => Ok(Put::Conflict(None)),
    }
}

fn address(key: &RecordKey) -> Address<'_> {
    Address { namespace: &key.namespace, lease: key.record.as_str() }
}

/// The name of a Lease, as an event names it.
fn lease_name(object: &Value) -> RecordName {
    RecordName::stored(super::http::name(object))
}
